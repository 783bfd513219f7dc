from polyhead.lab.claim import Verdict


def arm(inside, costs, smooth=0.9):
    return {"inside": inside, "costs": costs, "smooth before": 0.2, "smooth after": smooth}


def case(sinusoidal, learned, sin_costs=1.0, learned_costs=1.2, none=2.4):
    return {"sinusoidal": arm(sinusoidal, sin_costs), "learned": arm(learned, learned_costs), "none": arm(none, 0.0)}


CASES = [
    (Verdict.CONDITION, case([2.00, 2.01, 2.02], [2.01, 2.0, 2.02])),
    (Verdict.WRONG, case([2.10, 2.11, 2.12], 2.0)),
    (Verdict.HOLDS, case(2.0, 2.0, 0.0, 0.01)),
    (Verdict.OPEN, case([2.00, 2.1, 1.95], 2.0)),
    (Verdict.OPEN, case(2.0, 2.0, none=2.01)),
]
SABOTAGED = case(2.0, 2.0, none=2.0)
