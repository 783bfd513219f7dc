from polyhead.lab.claim import Verdict


def arm(loss, alone=1.0, whole=1.0, parameters=480):
    return {"loss": loss, "unigram": 3.2, "parameters": parameters, "alone": alone, "whole": whole}


LAYER = arm([2.1, 2.12, 2.11])

CASES = [
    (Verdict.HOLDS, {"LayerNorm": LAYER, "RMSNorm": arm([2.11, 2.12, 2.1], [0.8, 0.82, 0.85], [0.97, 0.98, 0.96], 240)}),
    (Verdict.CONDITION, {"LayerNorm": LAYER, "RMSNorm": arm([2.11, 2.12, 2.1], [0.8, 0.82, 0.85], [0.97, 1.02, 1.0])}),
    (Verdict.WRONG, {"LayerNorm": LAYER, "RMSNorm": arm([2.21, 2.22, 2.2], 0.8, 0.9)}),
    (Verdict.OPEN, {"LayerNorm": LAYER, "RMSNorm": arm([2.21, 2.12, 2.0], 0.8, 0.9)}),
    (Verdict.OPEN, {"LayerNorm": arm(3.1), "RMSNorm": arm(3.1, 0.8, 0.9)}),
]
