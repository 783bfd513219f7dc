from polyhead.lab.claim import Verdict


def arm(variance: float, mean: float, median: float, gradient: float, loss: float) -> dict:
    lists = {"variance": variance, "mean": mean, "jacobian_median": median}
    return {**{name: [[number]] * 3 for name, number in lists.items()}, "qk_gradient": gradient, "held_loss": loss}


NONE, ROOT, FULL = arm(4096, 0.3, 2.5e-8, 3.8, 2.8), arm(1.0, 0.3, 0.18, 0.3, 2.5), arm(2.4e-4, 0.3, 0.12, 0.01, 2.5)
GROWS = arm(4096, 4096, 2.5e-8, 0.1, 2.8)

CASES = [
    (Verdict.WRONG, {"none": NONE, "√d_k": ROOT, "d_k": FULL}),
    (Verdict.HOLDS, {"none": GROWS, "√d_k": ROOT, "d_k": FULL}),
    (Verdict.CONDITION, {"none": {**GROWS, "qk_gradient": 3.8}, "√d_k": ROOT, "d_k": FULL}),
    (Verdict.OPEN, {"none": NONE, "√d_k": arm(5.0, 0.3, 0.18, 0.3, 2.5), "d_k": FULL}),
]
