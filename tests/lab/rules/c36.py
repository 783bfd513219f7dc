from polyhead.lab.claim import Verdict

GOOD, COPIES = {"by_entropy": 1.02, "own": 40.0}, {"by_entropy": 0.001, "own": 170.0}
ARMS = {
    "shift, usual mask": GOOD, "no shift, usual mask": COPIES, "shift, strict mask": GOOD, "no shift, strict mask": COPIES,
    "no shift, strict mask, no skip": {"by_entropy": 0.2, "own": 300.0},
}  # fmt: skip
SAFE = {"by_entropy": 1.02, "own": 0.0}

CASES = [
    (Verdict.CONDITION, ARMS),
    (Verdict.HOLDS, {**ARMS, "no shift, usual mask": SAFE, "no shift, strict mask": SAFE}),
    (Verdict.WRONG, {**ARMS, "shift, usual mask": {"by_entropy": 0.3, "own": 40.0}}),
    (Verdict.OPEN, {**ARMS, "shift, usual mask": {"by_entropy": 1.7, "own": 40.0}}),
]
