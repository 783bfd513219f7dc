"""The numbers of a claim by arm and seed, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from polyhead.tasks.bootstrap import bootstrap_means

Numbers = Mapping[str, Any]  # what one measurement found: numbers, or lists of numbers, by name; JSON


class Interval(NamedTuple):
    """A mean over seeds, and the middle 95 % of the means of resampled seeds (one seed: low = high = mean)."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g}" if self.low == self.high else f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"


class Table:
    """arms: arm → seed → numbers. Every arm has the same seeds; all means are over seeds."""

    def __init__(self, arms: Mapping[str, Mapping[int, Numbers]]) -> None:
        self.arms = {arm: dict(sorted(seeds.items())) for arm, seeds in arms.items()}

    @property
    def seeds(self) -> list[int]:
        return list(next(iter(self.arms.values())))

    def values(self, arm: str, name: str) -> np.ndarray:
        """(seeds,) of a number, (seeds, points) of a list."""
        return np.asarray([numbers[name] for numbers in self.arms[arm].values()], dtype=np.float64)

    def mean(self, arm: str, name: str) -> float:
        return float(self.values(arm, name).mean())

    def curve(self, arm: str, name: str) -> np.ndarray:
        """(points,) of a list: its mean over seeds."""
        return self.values(arm, name).mean(0)

    def interval(self, arm: str, name: str) -> Interval:
        return interval(self.values(arm, name))

    def gap(self, arm: str, other: str, name: str) -> Interval:
        """other less arm, seed by seed: an interval without zero in it says that they differ."""
        return interval(self.values(other, name) - self.values(arm, name))

    def difference(self, arm: str, name: str, other: str) -> Interval:
        """The number `other` less the number `name` of one arm, seed by seed."""
        return interval(self.values(arm, other) - self.values(arm, name))


def interval(values: np.ndarray) -> Interval:
    """Of (seeds,) numbers."""
    return Interval(*(float(number) for number in band(values)))


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """values (seeds,) or (seeds, points) → mean, low, high, each () or (points,), point by point as `Interval`."""
    mean = values.mean(0)
    if len(values) < 2:
        return mean, mean, mean
    low, high = bootstrap_means(values.reshape(len(values), -1))
    return mean, low.reshape(mean.shape), high.reshape(mean.shape)
