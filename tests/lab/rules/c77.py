from polyhead.lab.claim import Verdict


def _arm(reads=0.3, unplugged=0.0, encoder=1, same=0.0):
    return {"reads": reads, "reads_unplugged": unplugged, "encoder": encoder, "self_less_cross_of_itself": same}


def _arms(alone=None, **changes):
    arms = {name: _arm(**changes) for name in ("Transformer (2017)", "T5", "BART")}
    return arms | {"decoder without an encoder": alone or _arm(encoder=0, **{k: v for k, v in changes.items() if k == "same"})}


CASES = [
    (Verdict.WRONG, _arms()),
    (Verdict.HOLDS, _arms(unplugged=0.2)),
    (Verdict.CONDITION, _arms(same=0.1)),
    (Verdict.OPEN, _arms(reads=0.0)),
]
