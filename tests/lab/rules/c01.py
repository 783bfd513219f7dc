"""Synthetic numbers for the rule of C01."""

from polyhead.lab.claim import Verdict


def arms(sinusoidal, other, start=2.0):
    def numbers(at):
        return {"at 64": start, "at 80": start + at[0], "at 128": start + at[1], "at 512": start + at[2], "unigram": 3.1, "loss": [[start] * 5] * 3}

    return {"sinusoidal": numbers(sinusoidal), "ALiBi": numbers(other)}


CASES = [
    (Verdict.WRONG, arms((0.5, 0.8, 1.0), (0.0, 0.1, 0.2))),
    (Verdict.HOLDS, arms((0.0, 0.02, 0.04), (0.0, 0.0, 0.0))),
    (Verdict.OPEN, arms((0.5, 0.8, 1.0), (0.0, 0.1, 0.2), start=3.0)),
    (Verdict.OPEN, arms((0.5, 0.8, 1.0), (0.5, 0.75, 1.0))),
]
