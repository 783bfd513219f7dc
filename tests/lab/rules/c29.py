from polyhead.lab.claim import Verdict

_REST = {"sum_longer": [5.0, 6.0, 5.5], "count_longer": 4.0, "mean_longer": 0.05, "dropout_sum": 0.997, "dropout_sum_deviation": 0.12}


def _arm(outside=0.0, sum_error=1e-15, mean_error=1e-15, least=0.0):
    return {"outside": outside, "sum_error": sum_error, "mean_error": mean_error, "least_weight": least, **_REST}


_RAW = _arm(outside=0.6, sum_error=3.0, least=-2.0)
CASES = [
    (Verdict.HOLDS, {"softmax": _arm(), "no softmax": _RAW}),
    (Verdict.CONDITION, {"softmax": _arm(mean_error=0.1), "no softmax": _RAW}),
    (Verdict.WRONG, {"softmax": _arm(outside=0.01), "no softmax": _RAW}),
    (Verdict.OPEN, {"softmax": _arm(), "no softmax": _arm(outside=0.01)}),
]
