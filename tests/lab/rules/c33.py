"""Synthetic numbers for the rule of C33."""

from polyhead.lab.claim import Verdict


def shares(own, other, begun=0.95):
    return {"attention": {"shortest": 1.0, "longest": own}, "one vector": {"shortest": begun, "longest": other}}


CASES = [
    (Verdict.HOLDS, shares([0.9, 0.95, 0.92], [0.0, 0.05, 0.02])),
    (Verdict.CONDITION, shares([0.9, 0.95, 0.92], [0.4, 0.5, 0.45])),
    (Verdict.WRONG, shares([0.9, 0.95, 0.92], [0.9, 0.93, 0.95])),
    (Verdict.OPEN, shares([0.3, 0.95, 0.6], [0.2, 0.5, 0.3])),
    (Verdict.OPEN, shares(0.9, 0.0, begun=0.4)),
]
