from polyhead.lab.claim import Verdict


def arm(exponent: float, chain: float, ms: float) -> dict:
    lists = {"span": [40, chain], "ms": [ms] * 4, "ms_rows": [ms] * 2}
    return {**{name: [values] * 3 for name, values in lists.items()}, "span_exponent": exponent}


BLOCK, LSTM, CONVOLUTION = arm(0.05, 60, 10), arm(0.99, 8000, 6), arm(0.0, 25, 5)

CASES = [
    (Verdict.CONDITION, {"Transformer block": BLOCK, "LSTM": LSTM, "convolution": CONVOLUTION}),
    (Verdict.HOLDS, {"Transformer block": BLOCK, "LSTM": arm(0.99, 8000, 60), "convolution": CONVOLUTION}),
    (Verdict.WRONG, {"Transformer block": arm(0.9, 8000, 10), "LSTM": LSTM, "convolution": CONVOLUTION}),
]
