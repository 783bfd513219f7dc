from polyhead.lab.claim import Verdict

FULL, WINDOW, WIDE = "full", "window", "window and a global token"


def arm(near: float, far: float, support: int = 30) -> dict:
    buckets = {f"bucket {alike}": [[0.3, 0.5, 0.7, 0.9]] * 3 for alike in ("0.6", "0.8", "0.95")}
    return {
        "right": [[near, near, far, far]] * 3, "right near": near, "right far": far, "worst": min(near, far), "support": support, "pairs": 200,
        "looked at": [[0.03, 0.06, 0.12, 0.2]] * 3, **buckets,
    }  # fmt: skip


CASES = [
    (Verdict.CONDITION, {FULL: arm(1, 1), WINDOW: arm(1, 0.13, 9), WIDE: arm(1, 0.99)}),
    (Verdict.HOLDS, {FULL: arm(1, 1), WINDOW: arm(1, 0.99), WIDE: arm(1, 1)}),
    (Verdict.WRONG, {FULL: arm(1, 1), WINDOW: arm(1, 0.13, 9), WIDE: arm(1, 0.2)}),
    (Verdict.OPEN, {FULL: arm(0.6, 0.5), WINDOW: arm(1, 0.13, 9), WIDE: arm(1, 0.99)}),
    (Verdict.OPEN, {FULL: arm(1, 1), WINDOW: arm(1, 0.13, 12), WIDE: arm(1, 0.99)}),
]
