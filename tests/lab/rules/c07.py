from polyhead.lab.claim import Verdict

AFTER = {"row_sum_spread": 0.12, "struck_weight": 0.0, "struck_weight_low_scores": 0.0, "held_loss": 2.1}
KEYS = {"row_sum_spread": 0.0, "struck_weight": 0.0, "struck_weight_low_scores": 0.0, "held_loss": 2.1}
ZEROED = {"row_sum_spread": 0.0, "struck_weight": 0.04, "struck_weight_low_scores": 0.33, "held_loss": 2.2}
NONE = {"row_sum_spread": 0.0, "struck_weight": 0.0, "struck_weight_low_scores": 0.0, "held_loss": 2.3}
ARMS = {"after softmax": AFTER, "before, −∞": KEYS, "before, zeroed": ZEROED, "no dropout": NONE}

CASES = [
    (Verdict.WRONG, ARMS),
    (Verdict.HOLDS, {**ARMS, "after softmax": {**AFTER, "row_sum_spread": 0.0}}),
    (Verdict.CONDITION, {**ARMS, "before, zeroed": KEYS}),
]
