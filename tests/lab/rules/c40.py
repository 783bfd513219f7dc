from polyhead.lab.claim import Verdict

SCALES = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003]


def _arm(near, far, logits=0.0):
    return {"scale": [SCALES] * 3, "at_1": near, "at_0.001": far, "deviation": [[0.5] * 8] * 3, "logits": logits}


def _arms(near, far):
    return {"√(σ² + ε)": _arm(0.0, 0.0), "σ + ε": _arm(near, far, 0.01), "unbiased σ + ε": _arm(0.01, far)}


CASES = [
    (Verdict.CONDITION, _arms([2e-5, 3e-5, 2e-5], [3.1, 3.2, 3.3])),
    (Verdict.HOLDS, _arms(1e-6, 5e-4)),
    (Verdict.WRONG, _arms(0.1, 3.0)),
    (Verdict.OPEN, _arms(1e-5, 0.02)),
]
