"""Synthetic numbers for the rule of C43."""

from polyhead.lab.claim import Verdict
from polyhead.lab.claims.c43_attention_as_explanation import DEEP, SHALLOW


def numbers(near, far, adversarial=0.2, right=0.98):
    same = {"right": right, "gradient and leaving out": 0.8, "adversarial": adversarial}
    return {SHALLOW: {**same, "attention and leaving out": near}, DEEP: {**same, "attention and leaving out": far}}


CASES = [
    (Verdict.CONDITION, numbers([0.8, 0.85, 0.9], [0.2, 0.3, 0.5])),
    (Verdict.CONDITION, numbers(0.85, [0.8, 0.85, 0.9], adversarial=0.8)),
    (Verdict.HOLDS, numbers(0.85, [0.8, 0.85, 0.9])),
    (Verdict.WRONG, numbers([0.3, 0.4, 0.5], 0.2)),
    (Verdict.OPEN, numbers([0.5, 0.8, 0.9], 0.2)),
    (Verdict.OPEN, numbers(0.85, 0.2, right=0.6)),
]
