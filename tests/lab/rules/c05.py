"""Synthetic numbers for the rule of C05."""

from polyhead.lab.claim import Verdict


def arm(stream, diversity, loss):
    return {"stream at 32": stream, "diversity at 32": diversity, "scores at 32": 1e-3, "loss": loss}


WITH = arm(2.0, 0.6, [2.3, 2.4, 2.35])

CASES = [
    (Verdict.WRONG, {"with skips": WITH, "without skips": arm([0.9, 1.2, 1.1], 1e-6, 3.2)}),
    (Verdict.HOLDS, {"with skips": WITH, "without skips": arm([1e-5, 1e-4, 1e-5], 0.5, 3.2)}),
    (Verdict.OPEN, {"with skips": WITH, "without skips": arm(1.0, 1e-6, 2.37)}),
    (Verdict.OPEN, {"with skips": WITH, "without skips": arm(0.05, 1e-6, 3.2)}),
]
