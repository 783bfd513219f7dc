"""Synthetic numbers for the rule of C39."""

from polyhead.lab.claim import Verdict


def arm(held, drift=0.1):
    return {"held": held, "drift": drift, "unigram": 3.1}


CASES = [
    (Verdict.WRONG, {"LayerNorm": arm(2.4), "and noise": arm([2.45, 2.5, 2.42], 0.5), "no gradient": arm([2.8, 2.9, 3.0])}),
    (Verdict.HOLDS, {"LayerNorm": arm(2.4), "and noise": arm([2.9, 2.8, 3.0], 0.5), "no gradient": arm(2.42)}),
    (Verdict.OPEN, {"LayerNorm": arm(2.4), "and noise": arm(2.42, 0.5), "no gradient": arm(2.42)}),
    (Verdict.OPEN, {"LayerNorm": arm(2.4), "and noise": arm(2.42, 0.12), "no gradient": arm(3.0)}),
    (Verdict.OPEN, {"LayerNorm": arm(3.0), "and noise": arm(3.0, 0.5), "no gradient": arm(3.2)}),
]
