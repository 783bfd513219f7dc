from polyhead.lab.claim import Verdict

GELU = {"far_from_x_phi": 0.0, "largest_change_of_slope": 8e-4, "lowest": -0.17, "lowest_at": -0.753, "far_from_gate_in_errors": 2.5}
RELU = {**GELU, "far_from_x_phi": 0.17, "largest_change_of_slope": 1.0, "lowest": 0.0, "far_from_gate_in_errors": 900.0}
TANH = {**GELU, "far_from_x_phi": 4.7e-4}
OTHERS = {"ReLU": RELU, "tanh form": TANH, "quick form": TANH}

CASES = [
    (Verdict.HOLDS, {"GELU": GELU, **OTHERS}),
    (Verdict.CONDITION, {"GELU": {**GELU, "largest_change_of_slope": 0.4}, **OTHERS}),
    (Verdict.WRONG, {"GELU": {**GELU, "far_from_gate_in_errors": 40.0}, **OTHERS}),
]
