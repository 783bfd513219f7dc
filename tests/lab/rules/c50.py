"""Synthetic numbers for the rule of C50."""

from polyhead.lab.claim import Verdict
from polyhead.lab.claims.c50_convolutional_translation import ATTENDING, DILATED, PLAIN, TRANSFORMER


def shares(attending, plain, dilated, transformer=1.0, near=1.0, off=0):
    far = {TRANSFORMER: transformer, ATTENDING: attending, PLAIN: plain, DILATED: dilated}
    return {arm: {"far": share, "near": near, "formula off by": off} for arm, share in far.items()}


CASES = [
    (Verdict.CONDITION, shares([0.97, 0.98, 1.0], 0.08, [0.1, 0.2, 0.15])),
    (Verdict.HOLDS, shares(0.3, 0.08, 0.1)),
    (Verdict.WRONG, shares(1.0, 0.08, [0.95, 0.97, 0.99])),
    (Verdict.OPEN, shares([0.6, 0.8, 1.0], 0.08, 0.1)),
    (Verdict.OPEN, shares(1.0, 0.08, 0.1, transformer=0.5)),
    (Verdict.OPEN, shares(1.0, 0.08, 0.1, off=2)),
]
