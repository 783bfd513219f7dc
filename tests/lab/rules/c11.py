from polyhead.lab.claim import Verdict

ALONE = {"additivity": 0.7, "additivity_frozen": 1e-15, "sign_accuracy": 0.52, "facts_known": 0.3}
FULL = {**ALONE, "sign_accuracy": 0.99, "facts_known": 0.9}
ARMS = {"attention alone": ALONE, "attention alone, 6 layers": ALONE, "with feed-forward": FULL}
LINEAR = {arm: {**numbers, "additivity": 1e-15} for arm, numbers in ARMS.items()}

CASES = [
    (Verdict.WRONG, ARMS),
    (Verdict.HOLDS, LINEAR),
    (Verdict.OPEN, {**ARMS, "with feed-forward": {**FULL, "sign_accuracy": 0.55}}),
]
