from polyhead.lab.claim import Verdict

ATTENTION, STATIC = "attention", "learned weights per place"


def arm(right: float, excess: float) -> dict:
    return {"right": right, "excess": excess, "loss": 1.2 * (1 + excess), "entropy": 1.2, "parameters": 4096}


CASES = [
    (Verdict.CONDITION, {ATTENTION: arm(1, 0.02), STATIC: arm(0.2, 0.04)}),
    (Verdict.HOLDS, {ATTENTION: arm(1, 0.02), STATIC: arm(0.2, 0.4)}),
    (Verdict.WRONG, {ATTENTION: arm(1, 0.02), STATIC: arm(0.99, 0.04)}),
    (Verdict.OPEN, {ATTENTION: arm(0.4, 0.02), STATIC: arm(0.2, 0.04)}),
    (Verdict.OPEN, {ATTENTION: arm(1, 0.02), STATIC: arm(0.7, 0.04)}),
]
