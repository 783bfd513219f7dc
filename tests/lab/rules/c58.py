from polyhead.lab.claim import Verdict


def arm(new, trained, first=1.0):
    return {
        "untrained": [[first, new]] * 3, "untrained at the top": new, "trained at the top": trained, "commonest": 0.2, "loss": 2.3,
    }  # fmt: skip


CUT = arm(0.4, [0.2, 0.22, 0.21])

CASES = [
    (Verdict.HOLDS, {"residual connections": arm(0.99, [0.97, 0.98, 0.96]), "cut": CUT}),
    (Verdict.CONDITION, {"residual connections": arm(0.99, 0.8), "cut": CUT}),
    (Verdict.WRONG, {"residual connections": arm(0.99, 0.4), "cut": CUT}),
    (Verdict.WRONG, {"residual connections": arm(0.99, 0.97), "cut": arm(0.97, 0.95)}),
    (Verdict.OPEN, {"residual connections": arm(0.9, 0.9, first=0.8), "cut": CUT}),
    (Verdict.OPEN, {"residual connections": arm(0.99, 0.97), "cut": arm(0.9, 0.3)}),
]
