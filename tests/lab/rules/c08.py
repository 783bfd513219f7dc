from polyhead.lab.claim import Verdict

N = [1024, 2048, 4096, 8192]


def _arm(pairs):
    return {"length": [N] * 3, "pairs": [[pairs(n) for n in N]] * 3, "per_query": [[pairs(n) / n for n in N]] * 3}


def _log(n):
    return n * n.bit_length()


_CONTROLS = {"full": _arm(lambda n: n * n), "Sparse Transformer": _arm(lambda n: 2 * n**1.5), "LogSparse": _arm(_log)}
_LINEAR = _arm(lambda n: 133 * n - 4000)
CASES = [
    (Verdict.WRONG, {**_CONTROLS, "Longformer": _LINEAR, "BigBird": _arm(lambda n: 512 * n)}),
    (Verdict.HOLDS, {**_CONTROLS, "Longformer": _arm(_log), "BigBird": _arm(lambda n: 3 * _log(n))}),
    (Verdict.CONDITION, {**_CONTROLS, "Longformer": _LINEAR, "BigBird": _arm(_log)}),
    (Verdict.OPEN, {**_CONTROLS, "LogSparse": _LINEAR, "Longformer": _LINEAR, "BigBird": _LINEAR}),
]
