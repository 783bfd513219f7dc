"""How sure a measured number is: the percentile bootstrap over examples (Efron & Tibshirani 1993, §13.3).

What an example adds to a metric is a row of numbers (right or wrong, counts of n-grams, of spans); the metric of a resample
follows from the sum of its rows, so that a thousand corpus BLEUs cost a thousand sums and no second look at a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Combine = Callable[[np.ndarray], np.ndarray]
_CELLS = 1 << 22  # numbers held at a time


def bootstrap(stats: np.ndarray, combine: Combine, n: int = 1000, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """(low, high): the middle `level` of the metric over n resamples of the examples.

    stats: (N, k) numbers per example, or (N,). combine: sums (R, k) → the metric (R,) of each resample. The same seed gives
    the same resamples, so that two systems measured on the same examples are resampled alike. A resample whose metric is not
    a number (a correlation of equal numbers) is left out; (nan, nan) where none has one.
    """
    stats = _columns(stats)
    found = [combine(counts @ stats) for counts in _resamples(len(stats), n, seed)]
    return _middle(np.concatenate(found), level)


def bootstrap_means(stats: np.ndarray, n: int = 1000, seed: int = 0, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each (k,), of the mean of every column of stats (N, k), as `bootstrap` gives them one by one; NaN where a
    column has a number that is not finite."""
    means = np.concatenate([counts @ stats / len(stats) for counts in _resamples(len(stats), n, seed)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    known = np.isfinite(stats).all(0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def bootstrap_examples(stats: np.ndarray, combine: Combine, n: int = 1000, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """As `bootstrap`, for metrics that are no function of sums, such as Spearman's: combine takes the examples of each
    resample, (R, N, k)."""
    stats = _columns(stats)
    found = []
    for counts in _resamples(len(stats), n, seed):
        index = np.stack([np.repeat(np.arange(len(stats)), row) for row in counts.astype(np.int64)])
        found.append(combine(stats[index]))
    return _middle(np.concatenate(found), level)


def paired(first: np.ndarray, second: np.ndarray, combine: Combine, n: int = 1000, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """(low, high) of second's metric less first's, both on the same resamples (paired bootstrap, Koehn 2004, EMNLP): zero
    outside means that the difference is not one of the examples drawn. first, second: as `stats`, of one length."""
    first, second = _columns(first), _columns(second)
    if len(first) != len(second):
        raise ValueError(f"two systems are paired on the same examples: got {len(first)} and {len(second)}")
    found = [combine(counts @ second) - combine(counts @ first) for counts in _resamples(len(first), n, seed)]
    return _middle(np.concatenate(found), level)


def _columns(stats: np.ndarray) -> np.ndarray:
    stats = np.asarray(stats, dtype=np.float64)
    return stats[:, None] if stats.ndim == 1 else stats


def _resamples(examples: int, n: int, seed: int) -> Iterator[np.ndarray]:
    """How often each example is drawn, (R, N) at a time, n resamples in all."""
    if examples < 1 or n < 1:
        raise ValueError(f"a bootstrap needs examples and resamples: got {examples} and {n}")
    draw, size = np.random.default_rng(seed), max(1, _CELLS // examples)
    for start in range(0, n, size):
        rows = [np.bincount(draw.integers(0, examples, examples), minlength=examples) for _ in range(start, min(start + size, n))]
        yield np.stack(rows).astype(np.float64)


def _middle(found: np.ndarray, level: float) -> tuple[float, float]:
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
