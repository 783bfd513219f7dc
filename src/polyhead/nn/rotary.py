"""Rotary positions, a choice of the position axis (position.py): queries and keys are turned by angles that grow with the position.

A scaling changes the angles' frequencies for rows longer than those the model was trained on.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from .at import At
from .fused import RotateHalf, plain
from .position import Position
from .spec import Spec


class Linear(Spec):
    """Position interpolation: every angle divided by factor (Chen et al. 2023, arXiv 2306.15595, eq. 4)."""

    kind: Literal["linear"] = "linear"
    factor: float = Field(gt=0)


class Dynamic(Spec):
    """Dynamic NTK: the base grows with the length once it passes `original`: θ·(f·T/M − (f − 1))^(r/(r−2))."""

    kind: Literal["dynamic"] = "dynamic"
    factor: float = Field(gt=0)
    original: int = Field(gt=0)


class Llama3(Spec):
    """Long wavelengths divided by factor, short ones kept, a ramp between (Llama 3.1, arXiv 2407.21783 §3.4.3)."""

    kind: Literal["llama3"] = "llama3"
    factor: float = Field(gt=0)
    original: int = Field(gt=0)
    low: float = Field(1.0, gt=0)
    high: float = Field(4.0, gt=0)


class Yarn(Spec):
    """Interpolation by parts and a temperature on the scores (Peng et al. 2023, arXiv 2309.00071, eq. 13–15).

    attention is the resolved factor on cos and sin; None takes the paper's 0.1·ln(factor) + 1.
    """

    kind: Literal["yarn"] = "yarn"
    factor: float = Field(gt=0)
    original: int = Field(gt=0)
    fast: float = Field(32.0, gt=0)
    slow: float = Field(1.0, gt=0)
    truncate: bool = True
    attention: float | None = None


class LongRope(Spec):
    """A factor per frequency, one list for calls within `original`, one beyond (Ding et al. 2024, arXiv 2402.13753)."""

    kind: Literal["longrope"] = "longrope"
    original: int = Field(gt=0)
    short: tuple[float, ...]
    long: tuple[float, ...]
    attention: float = 1.0


Scaling = Annotated[Linear | Dynamic | Llama3 | Yarn | LongRope, Field(discriminator="kind")]


class RotarySpec(Spec):
    """RoPE: pairs of query and key features turn by pos·θ^(−2k/r) (Su et al. 2021, arXiv 2104.09864, eq. 34).

    dim is the number of rotated features r, the first of each head (None = all of head_dim). interleaved pairs
    (2k, 2k+1) as the paper writes it; otherwise (k, k + r/2), "rotate half".
    """

    kind: Literal["rotary"] = "rotary"
    dim: int | None = Field(None, gt=0)
    theta: float = Field(10000.0, gt=0)
    interleaved: bool = False
    scaling: Scaling | None = None

    @model_validator(mode="after")
    def _even(self) -> RotarySpec:
        if self.dim is not None and self.dim % 2:
            raise ValueError(f"rotary dim must be even: got {self.dim}")
        if isinstance(self.scaling, LongRope) and self.dim is not None:
            sizes = len(self.scaling.short), len(self.scaling.long)
            if sizes != (self.dim // 2,) * 2:
                raise ValueError(f"longrope needs {self.dim // 2} factors in short and in long: got {sizes}")
        return self

    def params(self, width: int, heads: int, head_dim: int = 0) -> int:
        return 0

    def build(self, width: int, heads: int, head_dim: int = 0) -> Rotary:
        return Rotary(self, head_dim)


def rotary_frequencies(spec: RotarySpec, dim: int, length: int) -> tuple[Tensor, float]:
    """(inverse frequencies (dim/2,) fp32, factor on cos and sin) after scaling; formulas in each scaling's source."""
    k = torch.arange(0, dim, 2, dtype=torch.float32)
    inv, s = spec.theta ** (-k / dim), spec.scaling
    if s is None:
        return inv, 1.0
    if isinstance(s, Linear):
        return inv / s.factor, 1.0
    if isinstance(s, Dynamic):
        stretch = s.factor * max(length, s.original) / s.original - (s.factor - 1)
        return (spec.theta * stretch ** (dim / (dim - 2))) ** (-k / dim), 1.0
    if isinstance(s, Llama3):
        t = ((s.original * inv / (2 * math.pi) - s.low) / (s.high - s.low)).clamp(0, 1)
        return torch.lerp(inv / s.factor, inv, t), 1.0
    if isinstance(s, Yarn):
        ramp = _yarn_ramp(s, dim, spec.theta)
        attention = s.attention if s.attention is not None else 0.1 * math.log(max(s.factor, 1.0)) + 1
        return torch.lerp(inv, inv / s.factor, ramp), attention
    return inv / torch.tensor(s.short if length <= s.original else s.long), s.attention


def _yarn_ramp(s: Yarn, dim: int, theta: float) -> Tensor:
    def corner(rotations: float) -> float:
        return dim * math.log(s.original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = corner(s.fast), corner(s.slow)
    if s.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    high += 0.001 if low == high else 0.0
    return ((torch.arange(dim // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)


class Rotary(Position):
    def __init__(self, spec: RotarySpec, head_dim: int) -> None:
        super().__init__()
        self.spec, self.interleaved = spec, spec.interleaved
        self.dim = spec.dim or head_dim
        self.fixed_length = isinstance(spec.scaling, Dynamic | LongRope)

    def prepare(self, q: At, length: int) -> tuple[Tensor, Tensor]:
        """(cos, sin), each (B|1, 1, T, r/2) fp32."""
        inv, factor = rotary_frequencies(self.spec, self.dim, length)
        angle = q.pos.clamp(min=0).float()[:, None, :, None] * inv.to(q.pos.device)
        return angle.cos() * factor, angle.sin() * factor

    def rotate(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        cos, sin = (t.to(x.dtype) for t in table)
        r = self.dim
        turned, rest = (x, None) if r == x.shape[-1] else (x[..., :r], x[..., r:])
        if self.interleaved:
            a, b = turned[..., 0::2], turned[..., 1::2]
            out = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
        elif not plain(x):
            out = RotateHalf.apply(turned, cos, sin)
        else:
            a, b = turned[..., : r // 2], turned[..., r // 2 :]
            out = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        return out if rest is None else torch.cat([out, rest], -1)
