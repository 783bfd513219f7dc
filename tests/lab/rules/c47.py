from polyhead.lab.claim import Verdict


def _arm(flops, wide, misfit):
    return {"flops": flops, "params": flops, "wide_flops": wide, "misfit": misfit}


CASES = [
    (Verdict.CONDITION, {"1 head": _arm(100, 100, [1e-4, 2e-4, 1e-4]), "8 heads": _arm(100, 800, [0.5, 0.6, 0.55])}),
    (Verdict.HOLDS, {"1 head": _arm(100, 100, 1e-4), "8 heads": _arm(20, 800, 0.5)}),
    (Verdict.HOLDS, {"1 head": _arm(100, 100, 1e-4), "8 heads": _arm(100, 800, 1e-4)}),
    (Verdict.WRONG, {"1 head": _arm(100, 100, 1e-4), "8 heads": _arm(800, 800, 0.5)}),
    (Verdict.OPEN, {"1 head": _arm(100, 100, 0.3), "8 heads": _arm(100, 800, 0.5)}),
]
