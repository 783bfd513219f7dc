from polyhead.lab.claim import Verdict


def _case(held: float, used: float | list[float], learnt: float = 2.0) -> dict:
    return {"with the mask": {"held": learnt, "in use": learnt, "unigram": 3.2}, "without": {"held": held, "in use": used, "unigram": 3.2}}


CASES = [
    (Verdict.HOLDS, _case(0.1, [3.6, 3.9, 3.7])),
    (Verdict.WRONG, _case(0.1, 1.99)),
    (Verdict.CONDITION, _case(0.1, [2.2, 2.3, 2.25])),
    (Verdict.OPEN, _case(0.1, [1.9, 2.3, 2.4])),
    (Verdict.OPEN, _case(0.1, 3.7, learnt=2.9)),
]
