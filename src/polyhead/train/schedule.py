"""Learning-rate schedules: how the rate moves over a run, as a pure function of the update's number.

Each choice is a frozen spec with `factor(step, total)`, by which the optimizer's rates are multiplied. It is called
once per optimizer update, never per micro-batch, and its result depends on nothing but its arguments, so that a
resumed run needs the step number and no state. The closed union of the choices is on the last line.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Warmed(_Spec, ABC):
    """What all schedules share: a linear warm-up, then `_after`.

    warmup: 1 and above, the number of updates; below 1, a share of all updates.
    """

    warmup: float = Field(default=0.0, ge=0)

    @field_validator("warmup")
    @classmethod
    def _whole_updates(cls, value: float) -> float:
        if value > 1 and value != round(value):
            raise ValueError("a warm-up of more than 1 counts updates and must be a whole number")
        return value

    def peak(self, total: int) -> int:
        """The update (counted from 1) that ends the warm-up; 1 = the first update, no warm-up at all."""
        return max(1, round(self.warmup if self.warmup >= 1 else self.warmup * total))

    def factor(self, step: int, total: int) -> float:
        """The multiplier of update `step`, counted from 0, in a run of `total` updates.

        The first update's is above 0, the update that ends the warm-up has exactly 1, the last update of a decaying
        schedule exactly its `final`; later updates keep the last value.
        """
        t, peak = step + 1, self.peak(total)
        return t / peak if t < peak else self._after(t, peak, total)

    @abstractmethod
    def _after(self, t: int, peak: int, total: int) -> float:
        """The multiplier of update t >= peak, counted from 1."""


def _share(t: int, start: int, end: int) -> float:
    """How far update t is from `start` (0) to `end` (1)."""
    return min(1.0, (t - start) / (end - start)) if end > start else float(t > start)


class Constant(_Warmed):
    """Warm-up, then the full rate."""

    kind: Literal["constant"] = "constant"

    def _after(self, t: int, peak: int, total: int) -> float:
        return 1.0


class Linear(_Warmed):
    """Warm-up, then a straight line down to `final` at the last update (BERT, arXiv:1810.04805, A.2)."""

    kind: Literal["linear"] = "linear"
    final: float = Field(default=0.0, ge=0, le=1)

    def _after(self, t: int, peak: int, total: int) -> float:
        return 1.0 - (1.0 - self.final) * _share(t, peak, total)


class Cosine(_Warmed):
    """Warm-up, then half a period of a cosine down to `final` (SGDR, arXiv:1608.03983, eq. 5, without restarts)."""

    kind: Literal["cosine"] = "cosine"
    final: float = Field(default=0.1, ge=0, le=1)

    def _after(self, t: int, peak: int, total: int) -> float:
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * _share(t, peak, total)))


class InverseSqrt(_Warmed):
    """Warm-up, then sqrt(warmup / t) (T5, arXiv:1910.10683, §3.1.2: 1 / sqrt(max(t, warmup)), here with peak 1)."""

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"

    def _after(self, t: int, peak: int, total: int) -> float:
        return math.sqrt(peak / t)


class WSD(_Warmed):
    """Warm-up, stable, decay (MiniCPM, arXiv:2404.06395, §4; the 1−sqrt shape: arXiv:2405.18392, eq. 2).

    cooldown: share of all updates spent decaying. shape: "linear", or "sqrt" for 1 − sqrt(progress).
    """

    kind: Literal["wsd"] = "wsd"
    cooldown: float = Field(default=0.2, ge=0, le=1)
    shape: Literal["linear", "sqrt"] = "linear"
    final: float = Field(default=0.0, ge=0, le=1)

    def _after(self, t: int, peak: int, total: int) -> float:
        begin = max(peak, total - round(self.cooldown * total))
        if t <= begin or begin >= total:
            return 1.0
        progress = _share(t, begin, total)
        return self.final + (1.0 - self.final) * (1.0 - (progress if self.shape == "linear" else math.sqrt(progress)))


class Noam(_Warmed):
    """The original Transformer's schedule (arXiv:1706.03762, eq. 3): d_model^-0.5 · min(t^-0.5, t · warmup^-1.5), t from 1.

    An absolute learning rate, not a share of a peak: run it with the optimizer's `lr` = 1 (`scale` multiplies it).
    Its peak, at t = warmup, is (d_model · warmup)^-0.5: 6.988e-4 for 512 and 4,000.
    """

    kind: Literal["noam"] = "noam"
    d_model: int = Field(default=512, gt=0)
    warmup: float = Field(default=4000.0, ge=0)
    scale: float = Field(default=1.0, gt=0)

    def factor(self, step: int, total: int) -> float:
        return self.scale * (self.d_model * self.peak(total)) ** -0.5 * super().factor(step, total)

    def _after(self, t: int, peak: int, total: int) -> float:
        return math.sqrt(peak / t)


Schedule = Annotated[Constant | Linear | Cosine | InverseSqrt | WSD | Noam, Field(discriminator="kind")]
