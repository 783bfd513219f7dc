from polyhead.lab.claim import Verdict


def _arm(n, d, r, chain, route, route_r=0, whole=None):
    found = {"n": n, "d": d, "r": r, "chain": chain, "route": route, "route_r": route_r}
    return found | {"whole_n": (whole or (n, d))[0], "whole_d": (whole or (n, d))[1]}


def _arms(**changed):
    arms = {
        "self-attention": _arm(2, 1, 0, 0, 0, whole=(1.7, 1.3)), "restricted self-attention": _arm(1, 1, 0.98, 0, 1.02, -1),
        "recurrent (LSTM)": _arm(1, 2, 0, 0.99, 1), "convolution": _arm(1, 2, 1, 0, 1.01, -1), "dilated convolution": _arm(1, 2, 1, 0, 0.2, -0.4),
    }  # fmt: skip
    return arms | {name.replace("_", " "): arm for name, arm in changed.items()}


CASES = [
    (Verdict.CONDITION, _arms()),
    (Verdict.HOLDS, _arms(**{"self-attention": _arm(2, 1, 0, 0, 0)})),
    (Verdict.WRONG, _arms(convolution=_arm(2, 2, 1, 0, 1, -1))),
    (Verdict.WRONG, _arms(**{"dilated convolution": _arm(1, 2, 1, 0, 1, -0.4)})),
    (Verdict.WRONG, _arms(**{"recurrent (LSTM)": _arm(1, 2, 0, 0, 1)})),
]
