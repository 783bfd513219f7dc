from polyhead.lab.claim import Verdict

_ORDERED = {"invariance": 0.9, "equivariance": 0.5, "pooled": 0.3, "swap": 1.2}


def _case(**neither: float) -> dict:
    return {"neither": neither, "causal mask": _ORDERED, "positions added": _ORDERED}


CASES = [
    (Verdict.WRONG, _case(invariance=0.95, equivariance=3e-16, pooled=6e-17, swap=1.1)),
    (Verdict.HOLDS, _case(invariance=2e-16, equivariance=2e-16, pooled=1e-16, swap=3e-16)),
    (Verdict.CONDITION, _case(invariance=2e-16, equivariance=2e-16, pooled=1e-16, swap=0.8)),
    (Verdict.OPEN, _case(invariance=1e-9, equivariance=3e-16, pooled=6e-17, swap=1.1)),
]
