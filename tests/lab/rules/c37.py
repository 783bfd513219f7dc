from polyhead.lab.claim import Verdict


def _arm(within, across, stepwise=1e-15):
    return {"within": within, "across": across, "stepwise": stepwise}


def _arms(causal, encoder=None, leak=0.5):
    return {
        "causal rows": causal, "encoder rows": encoder or _arm(1.0, 0.0), "packed, documents apart": _arm(0.55, 0.0),
        "packed, documents ignored": _arm(0.55, leak),
    }  # fmt: skip


CASES = [
    (Verdict.CONDITION, _arms(_arm(0.55, 0.0))),
    (Verdict.HOLDS, _arms(_arm(1.0, 1.0))),
    (Verdict.WRONG, _arms(_arm(0.55, 0.0, stepwise=0.1))),
    (Verdict.OPEN, _arms(_arm(0.55, 0.0), leak=0.0)),
    (Verdict.OPEN, _arms(_arm(0.55, 0.0), encoder=_arm(0.9, 0.0))),
]
