"""Synthetic numbers for the rule of C44."""

from polyhead.lab.claim import Verdict

APART = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] * 2


def numbers(relations, one, right=0.98):
    return {"heads": {"right": right, "weight": [APART] * 3, "relations with a head": relations, "heads with one role": one, "heads with several": 0.2, "heads with none": 0.2}}


CASES = [
    (Verdict.CONDITION, numbers([3, 4, 4], [0.25, 0.5, 0.375])),
    (Verdict.HOLDS, numbers(4, [0.875, 1.0, 0.875])),
    (Verdict.WRONG, numbers([0, 1, 1], 0.1)),
    (Verdict.OPEN, numbers([2, 3, 4], 0.4)),
    (Verdict.OPEN, numbers(4, 0.4, right=0.5)),
]
SABOTAGED = numbers(0, 0.0)  # heads that look everywhere
