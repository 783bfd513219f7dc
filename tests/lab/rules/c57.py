"""Synthetic numbers for the rule of C57."""

from polyhead.lab.claim import Verdict


def numbers(without, rise=(0.4, 0.5, 0.6), loss=0.1, own=0.05):
    return {
        "with residuals": {"loss": own, "along training": 10.0, "at the end": 5.0, "rise": 0.1},
        "without": {"loss": loss, "along training": without, "at the end": 20.0, "rise": list(rise)},
    }


CASES = [
    (Verdict.HOLDS, numbers([20.0, 40.0, 60.0])),
    (Verdict.CONDITION, numbers([20.0, 40.0, 60.0], rise=(0.0, 0.1, 0.2))),
    (Verdict.WRONG, numbers([5.0, 6.0, 7.0])),
    (Verdict.OPEN, numbers([5.0, 20.0, 40.0])),
    (Verdict.OPEN, numbers([20.0, 40.0, 60.0], loss=1.3)),
    (Verdict.OPEN, numbers([20.0, 40.0, 60.0], own=1.0)),
]
