"""Synthetic numbers for the rule of C03."""

from polyhead.lab.claim import Verdict


def case(encoder, decoder, known=1.0):
    arms = {"encoder, none": encoder, "decoder, none": decoder, "encoder, rotary": known, "encoder, sinusoidal": known}
    return {arm: {"accuracy": accuracy, "moved": 1e-6} for arm, accuracy in arms.items()}


CASES = [
    (Verdict.CONDITION, case([0.5, 0.52, 0.49], 0.99)),
    (Verdict.HOLDS, case(0.5, [0.5, 0.51, 0.5])),
    (Verdict.WRONG, case(0.99, 0.99)),
    (Verdict.OPEN, case(0.5, 0.75)),
    (Verdict.OPEN, case(0.5, 0.99, known=0.8)),
]
