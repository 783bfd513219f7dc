"""Synthetic numbers for the rule of C06."""

from polyhead.lab.claim import Verdict


def arm(right, kept):
    return {f"right at {n}": share for n, share in zip((8, 32, 96), right, strict=True)} | {"kept": kept}


GOOD = arm((1.0, 1.0, 1.0), 0.5)

CASES = [
    (Verdict.HOLDS, {"Transformer": GOOD, "LSTM": arm((1.0, 0.2, [0.1, 0.15, 0.12]), 1e-9), "convolutions": arm((0.2, 0.1, 0.1), 0.0)}),
    (Verdict.WRONG, {"Transformer": GOOD, "LSTM": arm((1.0, 1.0, 0.98), 1e-9)}),
    (Verdict.OPEN, {"Transformer": arm((1.0, 1.0, 0.4), 0.5), "LSTM": arm((1.0, 0.2, 0.1), 1e-9)}),
    (Verdict.OPEN, {"Transformer": GOOD, "LSTM": arm((0.3, 0.2, 0.1), 1e-9)}),
    (Verdict.OPEN, {"Transformer": GOOD, "LSTM": arm((1.0, 0.9, 0.7), 1e-9)}),
]
