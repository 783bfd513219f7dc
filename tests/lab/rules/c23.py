from polyhead.lab.claim import Verdict


def arm(wrong=0, answered=5, fails=(9, 15, 29, 55, 105, 210, 400), grows=(0.48, 0.5, 0.52), single=1500, double=2500):
    return {"written by hand": {
        "wrong": wrong, "answered": answered, "fails": [list(fails)] * 3, "doublings per bit": list(grows), "fp32": single, "fp64": double, "run": 2500,
        "steps": [[12, 300, 40, 21, 107]] * 3,
    }}  # fmt: skip


CASES = [
    (Verdict.CONDITION, arm()),
    (Verdict.WRONG, arm(wrong=1)),
    (Verdict.WRONG, arm(double=400)),
    (Verdict.HOLDS, arm(fails=(600,) * 7, grows=(0.0, 0.0, 0.0), single=2500)),
    (Verdict.OPEN, arm(answered=4)),
    (Verdict.OPEN, arm(fails=(9,) * 7, grows=(0.0, 0.01, 0.0))),
]
SABOTAGED = arm(wrong=5, double=0)
