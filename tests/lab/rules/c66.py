from polyhead.lab.claim import Verdict


def arm(cosine: list[float], probe: list[float]) -> dict:
    return {"cosine": [cosine] * 3, "probe": [probe] * 3}


FULL, ALONE = arm([1.0, 0.8, 0.3], [0.5, 0.9, 1.0]), arm([1.0, 1.0, 1.0], [0.5, 0.5, 0.5])

CASES = [
    (Verdict.HOLDS, {"attention": FULL, "attention to itself alone": ALONE}),
    (Verdict.CONDITION, {"attention": arm([1.0, 0.99, 0.95], [0.5, 0.9, 1.0]), "attention to itself alone": ALONE}),
    (Verdict.WRONG, {"attention": ALONE, "attention to itself alone": ALONE}),
    (Verdict.OPEN, {"attention": arm([0.9, 0.8, 0.3], [0.7, 0.9, 1.0]), "attention to itself alone": ALONE}),
]
