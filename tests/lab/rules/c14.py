"""Synthetic numbers for the rule of C14."""

from polyhead.lab.claim import Verdict


def arm(low, high):
    """low, high: (without, with warm-up) at each rate."""
    names = [f"{rate}, warm-up {warmup}" for rate in ("0.001", "0.003") for warmup in (0, 100)]
    return dict(zip(names, (*low, *high), strict=True)) | {"unigram": 3.1}


PRE = arm((2.6, 2.6), (2.55, 2.55))

CASES = [
    (Verdict.CONDITION, {"post-norm": arm((2.6, 2.6), ([3.3, 3.2, 3.3], 2.7)), "pre-norm": PRE}),
    (Verdict.HOLDS, {"post-norm": arm((3.0, 2.6), ([3.3, 3.2, 3.3], 2.7)), "pre-norm": PRE}),
    (Verdict.WRONG, {"post-norm": arm((2.6, 2.6), (2.5, 2.5)), "pre-norm": PRE}),
    (Verdict.OPEN, {"post-norm": arm((2.6, 2.6), ([2.5, 3.3, 2.6], 2.6)), "pre-norm": PRE}),
    (Verdict.OPEN, {"post-norm": arm((3.0, 3.0), (3.1, 3.0)), "pre-norm": arm((3.1, 3.1), (3.05, 3.05))}),
]
