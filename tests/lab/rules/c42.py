from polyhead.lab.claim import Verdict

ARMS = ("softmax", "sigmoid", "ReLU", "entmax 1.5")


def arm(near: float, far: float, right: float = 0.99, left: float = 0.6) -> dict:
    four = [0.99, 0.9, 0.4, 0.04]
    return {
        "share at 16": near, "share at 8192": far, "right at 16": right, "right at 8192": left, "tied": [four] * 3, "right_sharper": [four] * 3,
        "share": [four] * 3, "right": [four] * 3,
    }  # fmt: skip


def table(**numbers: float) -> dict:
    return {**{name: arm(0.9, 0.9) for name in ARMS}, "softmax": arm(**numbers)}


CASES = [
    (Verdict.CONDITION, table(near=0.9, far=0.2)),
    (Verdict.HOLDS, table(near=0.9, far=0.88)),
    (Verdict.WRONG, table(near=0.3, far=0.1)),
    (Verdict.OPEN, table(near=0.9, far=0.6)),
    (Verdict.OPEN, table(near=0.9, far=0.2, right=0.5)),
]
SABOTAGED = {name: arm(0.9, 0.9) for name in ARMS}
