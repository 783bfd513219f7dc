"""Synthetic numbers for the rule of C12."""

from polyhead.lab.claim import Verdict


def matrix(ahead):
    return [[[ahead if j > i else 1.0 for j in range(8)] for i in range(8)]] * 3


def arm(use, alone, ahead, gap=0.5):
    return {
        "in use": use, "in use, one row": alone, "trained on one row": 3.0, "trained on one row, in use": 3.0 + gap, "leak": matrix(ahead), "unigram": 3.1,
    }  # fmt: skip


LAYER = arm(2.2, 2.2, 0.0, 0.0)

CASES = [
    (Verdict.WRONG, {"LayerNorm": LAYER, "BatchNorm": arm(2.4, 2.4, 0.05)}),
    (Verdict.HOLDS, {"LayerNorm": LAYER, "BatchNorm": arm(2.4, [2.9, 2.8, 3.0], 0.05)}),
    (Verdict.OPEN, {"LayerNorm": LAYER, "BatchNorm": arm(2.9, 2.9, 0.05)}),
    (Verdict.OPEN, {"LayerNorm": LAYER, "BatchNorm": arm(2.4, 2.45, 0.05)}),
]
