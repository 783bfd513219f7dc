from polyhead.lab.claim import Verdict


def _arm(change, steps):
    return {"change_at_1000": change, "copy_steps": steps, "change_exact": [[change] * 6] * 3}


def _arms(rotary=1e-5, absolute=2.0, relative_steps=(40, 50, 45), absolute_steps=(100, 120, 110)):
    return {
        "rotary": _arm(rotary, list(relative_steps)), "T5 buckets": _arm(0.0, list(relative_steps)),
        "sinusoidal": _arm(absolute, list(absolute_steps)), "learned": _arm(absolute, list(absolute_steps)), "none": _arm(0.0, 600),
    }  # fmt: skip


CASES = [
    (Verdict.HOLDS, _arms()),
    (Verdict.CONDITION, _arms(absolute_steps=(44, 50, 46))),
    (Verdict.WRONG, _arms(rotary=0.5)),
    (Verdict.OPEN, _arms(absolute=0.01)),
]
