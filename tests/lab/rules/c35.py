from polyhead.lab.claim import Verdict

_GOOD, _BAD = [[0.0] * 3] * 4, [[-1.0] * 3, [1.0, 1.0, -1.0], [1.0] * 3, [0.0] * 3]


def _arms(content=0.0, alone=1e-15, control=0.3, empty=_BAD):
    arms = {name: {"content": content, "alone": alone} for name in ("encoder", "decoder", "encoder–decoder")}
    arms["encoder, no mask"] = {"content": control, "alone": control}
    arms["encoder, BatchNorm"] = {"content": 0.0, "alone": 0.5}
    return {name: {**numbers, "empty_row": [empty] * 3, "wasted": [[0.6, 0.01, 0.02]] * 3} for name, numbers in arms.items()}


CASES = [
    (Verdict.CONDITION, _arms()),
    (Verdict.HOLDS, _arms(empty=_GOOD)),
    (Verdict.WRONG, _arms(content=0.01)),
    (Verdict.WRONG, _arms(alone=0.01)),
    (Verdict.OPEN, _arms(control=0.0)),
]
