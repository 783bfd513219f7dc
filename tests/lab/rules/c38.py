"""Synthetic numbers for the rule of C38."""

from polyhead.lab.claim import Verdict


def arm(xavier, normal, gradient=5.0):
    return {"xavier, loss": xavier, "normal, loss": normal, "xavier, gradient": gradient, "normal, gradient": 1.0, "unigram": 3.1}


NORMED = arm(2.6, 2.6)

CASES = [
    (Verdict.WRONG, {"pre-norm": NORMED, "none": arm(10.0, [2.6, 2.65, 2.62], 1e12), "none, ReZero": arm(2.5, 2.5)}),
    (Verdict.HOLDS, {"pre-norm": NORMED, "none": arm(10.0, 3.3, 1e12), "none, ReZero": arm(3.2, [3.3, 3.2, 3.4])}),
    (Verdict.OPEN, {"pre-norm": NORMED, "none": arm(10.0, 2.9, 1e12), "none, ReZero": arm(2.9, 2.9)}),
    (Verdict.OPEN, {"pre-norm": arm(3.05, 3.05), "none": arm(10.0, 3.1, 1e12), "none, ReZero": arm(3.1, 3.1)}),
]
