from polyhead.lab.claim import Verdict


def arm(right: float, exponent: float = 1.0, causal: float = 1.0) -> dict:
    return {
        "cost": [[1e6, 2e6, 4e6]] * 3, "exponent": exponent, "right": [[1.0, 0.9, right]] * 3, "right at 48": right, "causal": causal,
        "error": [[1.3, 1.1, 0.8, 0.5, 0.3]] * 3,
    }  # fmt: skip


def table(recall: float = 0.3, exponent: float = 1.0, softmax: float = 1.0) -> dict:
    return {
        "softmax": arm(softmax, 2.0), "Linformer": arm(recall, exponent, 0.0), "Performer": arm(recall, exponent),
        "linear (elu + 1)": arm(recall, exponent),
    }  # fmt: skip


CASES = [
    (Verdict.CONDITION, table()),
    (Verdict.HOLDS, table(recall=0.99)),
    (Verdict.WRONG, table(exponent=1.5)),
    (Verdict.OPEN, table(softmax=0.5)),
    (Verdict.OPEN, table(recall=0.92)),
]
