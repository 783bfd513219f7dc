"""Synthetic numbers for the rule of C16."""

from polyhead.lab.claim import Verdict


def arms(r2, kaplan=0.73, fits=(0.50, 0.49, 0.46, 0.51), printed=93.0):
    published = {"exponents": [[kaplan, *fits]] * 3, "tokens per parameter, printed": printed, "tokens per parameter, refit": 18.4}
    return {"published constants": published, "own runs": {"R2": r2, "E": 2.6, "entropy": 2.67, "exponent": 0.5}}


CASES = [
    (Verdict.CONDITION, arms([0.985, 0.99, 0.98])),
    (Verdict.HOLDS, arms([0.985, 0.99, 0.98], kaplan=0.52, printed=21.0)),
    (Verdict.OPEN, arms([0.95, 0.96, 0.94])),
    (Verdict.WRONG, arms([0.6, 0.7, 0.5])),
    (Verdict.WRONG, arms([0.985, 0.99, 0.98], fits=(0.5, 0.73, 0.46, 0.51))),
]
SABOTAGED = arms([0.0, 0.1, -0.2])  # runs whose losses have nothing to do with size and tokens
