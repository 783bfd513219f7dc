from polyhead.lab.claim import Verdict


def arm(ms: list[float], flops: list[float], slope: float, apart: float = 1e-6) -> dict:
    return {"ms": [ms] * 3, "flops": [flops] * 3, "flops_slope": slope, "largest_difference": apart, "numbers_per_token LLaMA-2-7B": 262144}


WITHOUT, CACHED = arm([1.6, 31, 103], [1e8, 1e9, 3e9], 1.2), arm([0.6, 0.7, 0.7], [2e6, 3e6, 4e6], 0.15)
QUADRATIC = arm([1.6, 31, 103], [1e7, 1e9, 1e11], 1.95)

CASES = [
    (Verdict.CONDITION, {"without": WITHOUT, "with a cache": CACHED}),
    (Verdict.HOLDS, {"without": QUADRATIC, "with a cache": arm([0.6, 2, 20], [1e6, 1e7, 1e8], 1.0)}),
    (Verdict.WRONG, {"without": WITHOUT, "with a cache": arm([0.6, 0.7, 0.7], [2e6, 3e6, 4e6], 0.15, apart=0.5)}),
]
