from polyhead.lab.claim import Verdict

GOOD = {
    "convolution_error": [[0.5, 0.2, 1e-2, 1e-5, 1e-9, 1e-14]] * 3, "recurrence_error": 1e-15,
    "rank_softmax": [[16, 32, 64, 128, 256]] * 3, "rank_linear": [[16] * 5] * 3,
}  # fmt: skip
COARSE = {**GOOD, "convolution_error": [[0.5, 0.4, 0.3, 0.3, 0.3, 0.3]] * 3}

CASES = [
    (Verdict.HOLDS, {"attention": GOOD}),
    (Verdict.CONDITION, {"attention": {**GOOD, "rank_softmax": [[16] * 5] * 3}}),
    (Verdict.WRONG, {"attention": COARSE}),
]
SABOTAGED = {"attention": {**GOOD, "rank_linear": GOOD["rank_softmax"]}}  # softmax in both places
