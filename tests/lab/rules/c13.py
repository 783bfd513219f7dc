"""Synthetic numbers for the rule of C13."""

from polyhead.lab.claim import Verdict
from polyhead.lab.claims.c13_translation import ADDED, BOTH, TURNED


def shares(both, turned, added, ways=(0.6, 0.6, 0.6)):
    ends = {BOTH: both, TURNED: turned, ADDED: added}
    return {arm: {"at the end": end, "over training": way} for (arm, end), way in zip(ends.items(), ways, strict=True)}


CASES = [
    (Verdict.WRONG, shares([0.95, 0.98, 0.96], [0.96, 0.97, 0.98], 0.97)),
    (Verdict.HOLDS, shares([0.95, 0.98, 0.96], [0.5, 0.6, 0.7], 0.6)),
    (Verdict.CONDITION, shares(0.97, 0.96, [0.4, 0.6, 0.5])),
    (Verdict.CONDITION, shares(0.97, 0.96, 0.96, ways=(0.6, 0.6, 0.3))),
    (Verdict.OPEN, shares(0.97, [0.8, 0.97, 0.99], 0.9)),
    (Verdict.OPEN, shares(0.5, 0.6, 0.3)),
]
SABOTAGED = shares(0.3, 0.3, 0.3)  # nothing was learnt
