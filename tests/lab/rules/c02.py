"""Synthetic numbers for the rule of C02."""

from polyhead.lab.claim import Verdict


def arms(rotary, alibi, start=2.0):
    def numbers(gap):
        return {"at 64": start, "at 256": start + gap, "at 256, window": start + 0.05, "unigram": 3.1} | {
            f"at 256, {name}": start + gap / 2 for name in ("interpolated", "NTK-aware", "base × 50")
        }

    return {"rotary": numbers(rotary), "sinusoidal": numbers(1.0), "ALiBi": numbers(alibi)}


CASES = [
    (Verdict.WRONG, arms(0.7, 0.0)),
    (Verdict.HOLDS, arms(0.02, 0.0)),
    (Verdict.CONDITION, arms(0.2, 0.0)),
    (Verdict.OPEN, arms(0.7, 0.7)),
    (Verdict.OPEN, arms(0.7, 0.0, start=2.9)),
]
