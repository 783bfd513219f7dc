from polyhead.lab.claim import Verdict


def arm(sure, named, right=1.0, shifted=0.4):
    return {
        "known right": right, "sure of known": 0.98, "sure of unknown": sure, "named a city": named, "shifted right": shifted,
        "shifted": [[shifted] * 4] * 3,
    }  # fmt: skip


TAUGHT = arm([0.2, 0.1, 0.15], 0.2)

CASES = [
    (Verdict.HOLDS, {"facts alone": arm([0.8, 0.82, 0.85], 1.0), "unknown is an answer": TAUGHT}),
    (Verdict.OPEN, {"facts alone": arm(0.8, 1.0, right=0.7), "unknown is an answer": TAUGHT}),
    (Verdict.CONDITION, {"facts alone": arm(0.8, 1.0, shifted=0.95), "unknown is an answer": TAUGHT}),
    (Verdict.WRONG, {"facts alone": arm(0.2, 1.0, shifted=0.95), "unknown is an answer": arm(0.02, 0.0)}),
]
