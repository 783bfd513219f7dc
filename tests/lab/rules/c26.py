from polyhead.lab.claim import Verdict


def _arm(spread, error=1e-13, found=1.0):
    return {"linear_error": error, "found": [[found] * 4] * 3, "worst_spread": spread}


CASES = [
    (Verdict.CONDITION, {"dot product": _arm(1e-14), "after W_Q and W_K": _arm([0.9, 0.95, 1.0])}),
    (Verdict.HOLDS, {"dot product": _arm(1e-14), "after W_Q and W_K": _arm([0.01, 0.02, 0.01])}),
    (Verdict.WRONG, {"dot product": _arm(1e-14, error=0.1), "after W_Q and W_K": _arm(0.9)}),
    (Verdict.WRONG, {"dot product": _arm(1e-14, found=0.2), "after W_Q and W_K": _arm(0.9)}),
    (Verdict.OPEN, {"dot product": _arm(0.5), "after W_Q and W_K": _arm(0.9)}),
]
