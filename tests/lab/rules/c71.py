from polyhead.lab.claim import Verdict


def arm(one, three, seven, different=0.99):
    return {"in one pass": one, "in three passes": three, "in seven passes": seven, "different": different}


DECODER = arm(0.99, 0.99, [0.98, 0.99, 0.99])


def case(encoder, decoder=DECODER):
    return {"decoder, word by word": decoder, "encoder, masks filled": encoder}


CASES = [
    (Verdict.CONDITION, case(arm([0.001, 0.002, 0.0], 0.4, [0.96, 0.97, 0.98]))),
    (Verdict.HOLDS, case(arm(0.01, 0.1, 0.3))),
    (Verdict.WRONG, case(arm(0.9, 0.95, 0.97))),
    (Verdict.OPEN, case(arm(0.01, 0.1, 0.7))),
    (Verdict.OPEN, case(arm(0.01, 0.4, 0.97, different=0.02))),
    (Verdict.OPEN, case(arm(0.01, 0.4, 0.97), arm(0.5, 0.5, 0.5))),
]
