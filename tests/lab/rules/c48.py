from polyhead.lab.claim import Verdict


def _arm(error=1e-6, tiled=1.0, dense=2.0, contexts=(512, 4096, 131072)):
    return {"one layer": {"error": error, "tiled_slope": tiled, "dense_slope": dense, "longest": 16384, "contexts": [list(contexts)] * 3}}


CASES = [
    (Verdict.WRONG, _arm()),
    (Verdict.CONDITION, _arm(tiled=2.0)),
    (Verdict.HOLDS, _arm(tiled=2.0, contexts=(512, 1024, 4096))),
    (Verdict.OPEN, _arm(dense=1.0)),
]
SABOTAGED = _arm(tiled=2.0)  # the tiled pass made as the plain one
