from polyhead.lab.claim import Verdict


def _arm(touched, *accuracy):
    return {"touched": touched, "accuracy": list(accuracy)}


_SLICED = _arm(0.125, 0.2, 0.22, 0.21)
CASES = [
    (Verdict.WRONG, {"as built": _arm(1.0, 0.99, 1.0, 1.0), "truly sliced": _SLICED}),
    (Verdict.HOLDS, {"as built": _arm(0.125, 0.99, 1.0, 1.0), "truly sliced": _SLICED}),
    (Verdict.CONDITION, {"as built": _arm(0.6, 0.99, 1.0, 1.0), "truly sliced": _SLICED}),
    (Verdict.OPEN, {"as built": _arm(1.0, 0.22, 0.2, 0.21), "truly sliced": _SLICED}),
]
