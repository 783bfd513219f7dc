"""Synthetic numbers for the rule of C34."""

from polyhead.lab.claim import Verdict


def shares(best, mean, other, exact=0.95):
    same = {"exact": exact, "gradient": 0.8}
    return {"cross-attention": {**same, "best head": best, "mean over heads": mean}, "decoder alone": {**same, "best head": other, "mean over heads": 0.3}}


CASES = [
    (Verdict.CONDITION, shares([0.9, 0.92, 0.94], [0.5, 0.6, 0.55], [0.85, 0.9, 0.95])),
    (Verdict.CONDITION, shares([0.9, 0.92, 0.94], 0.9, 0.9)),
    (Verdict.HOLDS, shares(0.95, [0.9, 0.92, 0.94], 0.6)),
    (Verdict.WRONG, shares([0.3, 0.4, 0.35], 0.3, 0.4)),
    (Verdict.OPEN, shares([0.5, 0.9, 0.6], 0.5, 0.5)),
    (Verdict.OPEN, shares(0.9, 0.5, 0.9, exact=0.4)),
]
SABOTAGED = shares(0.15, 0.15, 0.15)  # weights that know nothing of the words
