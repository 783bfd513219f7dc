from polyhead.lab.claim import Verdict


def arm(middle: float, ece: list[float], sure: float, accuracy: float) -> dict:
    other = (1 - middle) / 2
    return {"target": [[other, middle, other]] * 3, "ece": ece, "confidence": sure, "accuracy": accuracy}


NONE, MORE = arm(1.0, [0.28, 0.27, 0.29], 0.82, 0.53), arm(0.8, [0.02, 0.03, 0.02], 0.45, 0.47)
PAPER, SAID = arm(0.9333, [0.11, 0.12, 0.11], 0.59, 0.48), arm(0.8, [0.11, 0.12, 0.11], 0.59, 0.48)

CASES = [
    (Verdict.WRONG, {"ε = 0": NONE, "ε = 0.1": PAPER, "ε = 0.3": MORE}),
    (Verdict.HOLDS, {"ε = 0": NONE, "ε = 0.1": SAID, "ε = 0.3": MORE}),
    (Verdict.CONDITION, {"ε = 0": NONE, "ε = 0.1": {**SAID, "ece": [0.28, 0.27, 0.29]}, "ε = 0.3": MORE}),
]
