"""AXIS norm: D → D. LayerNorm, RMSNorm, dynamic tanh, batch norm over tokens, none.

Every module is called `norm(x, valid)`: x (B, T, D); valid (B, T) bool or None says which tokens are real; only batch
norm looks at it. Statistics are computed in fp32 whatever the dtype of x.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .fused import UnitRMS, plain
from .spec import Spec


class LayerNormSpec(Spec):
    """(x − μ) / √(σ² + ε) · γ + β over features (Ba et al. 2016, arXiv 1607.06450, eq. 4).

    form "plus" divides by σ + ε instead, the way many notes write it; the two differ only where σ is small.
    """

    kind: Literal["layer"] = "layer"
    eps: float = Field(1e-5, gt=0)
    gain: bool = True
    bias: bool = True
    form: Literal["sqrt", "plus"] = "sqrt"

    def params(self, width: int) -> int:
        return width * (self.gain + self.bias)

    def build(self, width: int) -> LayerNorm:
        return LayerNorm(self, width)


class RMSNormSpec(Spec):
    """x / √(mean(x²) + ε) · γ (Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4).

    gain "one_plus" multiplies by 1 + w with w starting at 0 (Gemma); "none" has no parameters.
    """

    kind: Literal["rms"] = "rms"
    eps: float = Field(1e-6, gt=0)
    gain: Literal["weight", "one_plus", "none"] = "weight"

    def params(self, width: int) -> int:
        return 0 if self.gain == "none" else width

    def build(self, width: int) -> RMSNorm:
        return RMSNorm(self, width)


class DyTSpec(Spec):
    """γ · tanh(αx) + β: a norm-free stand-in (Zhu et al. 2025, arXiv 2503.10622, eq. 1)."""

    kind: Literal["dyt"] = "dyt"
    alpha: float = Field(0.5, gt=0)

    def params(self, width: int) -> int:
        return 2 * width + 1

    def build(self, width: int) -> DyT:
        return DyT(self, width)


class BatchNormSpec(Spec):
    """Batch norm over all real tokens of the batch (Ioffe & Szegedy 2015, arXiv 1502.03167, alg. 1).

    In training it lets tokens of other rows and later positions through the statistics: it breaks the laws of cache,
    padding, leak and accumulation, and says so in `mixes_tokens`.
    """

    kind: Literal["batch"] = "batch"
    eps: float = Field(1e-5, gt=0)
    momentum: float = Field(0.1, gt=0, le=1)

    def params(self, width: int) -> int:
        return 2 * width

    def build(self, width: int) -> BatchNorm:
        return BatchNorm(self, width)


class NoNormSpec(Spec):
    """The identity."""

    kind: Literal["none"] = "none"

    def params(self, width: int) -> int:
        return 0

    def build(self, width: int) -> NoNorm:
        return NoNorm()


class LayerNorm(nn.Module):
    def __init__(self, spec: LayerNormSpec, width: int) -> None:
        super().__init__()
        self.width, self.eps, self.form = (width,), spec.eps, spec.form
        self.weight = nn.Parameter(torch.ones(width)) if spec.gain else None
        self.bias = nn.Parameter(torch.zeros(width)) if spec.bias else None

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        if self.form == "sqrt":
            return F.layer_norm(x, self.width, self.weight, self.bias, self.eps)
        h = x if x.dtype == torch.float64 else x.float()
        h = h - h.mean(-1, keepdim=True)
        variance = h.square().mean(-1, keepdim=True).clamp(min=torch.finfo(h.dtype).tiny)  # √ has no slope at 0
        h = (h / (variance.sqrt() + self.eps)).to(x.dtype)
        h = h if self.weight is None else h * self.weight
        return h if self.bias is None else h + self.bias


class RMSNorm(nn.Module):
    def __init__(self, spec: RMSNormSpec, width: int) -> None:
        super().__init__()
        self.width, self.eps, self.gain = (width,), spec.eps, spec.gain
        start = {"weight": torch.ones(width), "one_plus": torch.zeros(width)}.get(spec.gain)
        self.weight = None if start is None else nn.Parameter(start)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        if self.gain == "one_plus":
            h, weight = F.rms_norm(x if x.dtype == torch.float64 else x.float(), self.width, None, self.eps), self.weight
            assert weight is not None
            return (h * (1 + weight.to(h.dtype))).to(x.dtype)
        if plain(x):
            return F.rms_norm(x, self.width, self.weight, self.eps)
        y = UnitRMS.apply(x, self.eps)
        return y if self.weight is None else y * self.weight


class DyT(nn.Module):
    def __init__(self, spec: DyTSpec, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), spec.alpha))
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        return torch.tanh(self.alpha * x) * self.weight + self.bias


class BatchNorm(nn.Module):
    mixes_tokens = True
    mean: Tensor
    var: Tensor

    def __init__(self, spec: BatchNormSpec, width: int) -> None:
        super().__init__()
        self.eps, self.momentum = spec.eps, spec.momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        mean, var = self.mean, self.var
        if self.training:
            real = torch.ones_like(x[..., :1]) if valid is None else valid.unsqueeze(-1).to(x.dtype)
            real = real.expand(*x.shape[:-1], 1)
            n = real.sum().clamp(min=1)
            axes = tuple(range(x.dim() - 1))
            mean = (x * real).sum(axes) / n
            var = ((x - mean).square() * real).sum(axes) / n
            with torch.no_grad():
                self.mean.lerp_(mean.to(self.mean.dtype), self.momentum)
                self.var.lerp_(var.to(self.var.dtype), self.momentum)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias


class NoNorm(nn.Module):
    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        return x


Norm = Annotated[LayerNormSpec | RMSNormSpec | DyTSpec | BatchNormSpec | NoNormSpec, Field(discriminator="kind")]
