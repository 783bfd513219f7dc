from polyhead.lab.claim import Verdict

SHARES = {"scores_share GPT-3": 0.027, "scores_share BERT": 0.1, "scores_share GPT-2": 0.18, "scores_share Llama 3.1 8B": 0.8}
DENSE = {"flops_exponent": 2.0, "ms_exponent": 2.3, "peak_bytes_exponent": 2.0, "largest_difference": 1e-6, **SHARES}
TILED = {**DENSE, "peak_bytes_exponent": 0.1}
LARGE = {**DENSE, **dict.fromkeys(SHARES, 0.7)}

CASES = [
    (Verdict.WRONG, {"all scores at once": DENSE, "tile by tile": TILED}),
    (Verdict.CONDITION, {"all scores at once": DENSE, "tile by tile": DENSE}),
    (Verdict.HOLDS, {"all scores at once": LARGE, "tile by tile": LARGE}),
    (Verdict.OPEN, {"all scores at once": DENSE, "tile by tile": {**TILED, "largest_difference": 0.3}}),
]
