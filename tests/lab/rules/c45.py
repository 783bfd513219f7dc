"""Synthetic numbers for the rule of C45."""

from polyhead.lab.claim import Verdict


def numbers(removable, same, right=0.98):
    return {"as usual": {"right": right, "removable": removable, "shared": 0.4}, "heads alike at the start": {"right": right, "removable": 0.75, "shared": same}}


CASES = [
    (Verdict.WRONG, numbers([0.5, 0.625, 0.75], 1.0)),
    (Verdict.HOLDS, numbers([0.125, 0.25, 0.125], [0.5, 0.6, 0.7])),
    (Verdict.CONDITION, numbers([0.125, 0.25, 0.125], 1.0)),
    (Verdict.OPEN, numbers([0.25, 0.75, 0.5], 1.0)),
    (Verdict.OPEN, numbers(0.75, 1.0, right=0.5)),
]
SABOTAGED = numbers(0.0, 1.0)  # no head does anything that another could do as well
