"""Synthetic numbers for the rule of C24."""

from polyhead.lab.claim import Verdict


def arm(after, end, before=1.0):
    return {"after": after, "before": before, "sentence": end}


BOTH = arm(1.0, 1.0)

CASES = [
    (Verdict.CONDITION, {"both sides": BOTH, "one side": arm([0.5, 0.52, 0.49], 1.0)}),
    (Verdict.HOLDS, {"both sides": BOTH, "one side": arm(0.5, [0.6, 0.7, 0.65])}),
    (Verdict.WRONG, {"both sides": BOTH, "one side": arm(0.97, 1.0)}),
    (Verdict.OPEN, {"both sides": arm(0.8, 1.0), "one side": arm(0.5, 1.0)}),
    (Verdict.OPEN, {"both sides": BOTH, "one side": arm(0.8, 1.0)}),
]
