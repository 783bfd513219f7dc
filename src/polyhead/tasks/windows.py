"""Texts longer than a model reads: windows that overlap, each token judged where it has most around it."""

from __future__ import annotations

import numpy as np


def windows(n: int, room: int, stride: int) -> list[tuple[int, int]]:
    """(begin, end) of windows of `room` tokens, `stride` apart, over n tokens; the last ends with them."""
    found, begin = [], 0
    while begin + room < n:
        found.append((begin, begin + room))
        begin += min(stride, room)
    return [*found, (begin, n)]


def judged(n: int, spans: list[tuple[int, int]]) -> np.ndarray:
    """(n,) the window of each token: of those that hold it the one where the shorter side around it is longest, which is
    BERT's maximum context (google-research/bert, run_squad.py)."""
    best, chosen = np.full(n, -1.0), np.zeros(n, np.int64)
    for number, (begin, end) in enumerate(spans):
        at = np.arange(begin, end)
        score = np.minimum(at - begin, end - 1 - at) + 0.01 * (end - begin)
        better = score > best[begin:end]
        best[begin:end] = np.where(better, score, best[begin:end])
        chosen[begin:end] = np.where(better, number, chosen[begin:end])
    return chosen
