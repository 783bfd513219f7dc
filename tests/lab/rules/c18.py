"""Synthetic numbers for the rule of C18."""

from polyhead.lab.claim import Verdict


def shares(*both):
    return {arm: {"both": share} for arm, share in zip(("1", "2", "4", "8"), both, strict=True)}


CASES = [
    (Verdict.CONDITION, shares([0.1, 0.15, 0.2], [0.9, 0.95, 1.0], 0.85, 0.1)),
    (Verdict.HOLDS, shares([0.1, 0.15, 0.2], [0.9, 0.95, 1.0], 0.95, 0.95)),
    (Verdict.WRONG, shares([0.8, 0.85, 0.9], 0.6, 0.5, 0.1)),
    (Verdict.OPEN, shares(1.0, 1.0, 1.0, 0.95)),
    (Verdict.OPEN, shares(0.1, 0.2, 0.3, 0.1)),
    (Verdict.OPEN, shares([0.1, 0.9, 0.2], [0.9, 0.3, 1.0], 0.5, 0.1)),
]
