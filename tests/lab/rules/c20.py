"""Synthetic numbers for the rule of C20."""

from polyhead.lab.claim import Verdict


def case(following, same, text=2.52, own=1.0):
    rest = {"next": 0.95, "same": 1.0, "text": 2.5}
    return {"separate": rest | {"next": own}, "tied": rest, "raw": {"next": following, "same": same, "text": text}}


CASES = [
    (Verdict.CONDITION, case([0.7, 0.72, 0.69], [1.0, 0.98, 1.0])),
    (Verdict.HOLDS, case([0.7, 0.72, 0.69], [0.6, 0.65, 0.6])),
    (Verdict.WRONG, case(0.99, 1.0)),
    (Verdict.OPEN, case(0.5, 1.0, own=0.8)),
    (Verdict.OPEN, case([0.7, 0.98, 1.0], 1.0)),
]
