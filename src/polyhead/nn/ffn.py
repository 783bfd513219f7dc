"""AXIS feed-forward: D → D, each token on its own. Plain act(xW₁)W₂ or gated (act(xW_g) ⊙ xW_u)W_d.

The union of choices, experts included, closes moe.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .fused import CompiledGELU, CompiledTanhGELU, ReLUSquared, plain
from .heads import fuse_linears
from .spec import Spec, linear_params

Activation = Literal["relu", "relu2", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh"]


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)² (Primer, So et al. 2021, arXiv 2109.08668 §4)."""
    return F.relu(x).square() if plain(x) else ReLUSquared.apply(x)


def gelu(x: Tensor, form: str = "none") -> Tensor:
    """x·Φ(x) (Hendrycks & Gimpel 2016, arXiv 1606.08415 §2), or its tanh approximation."""
    compiled = torch.compiler.is_compiling() and torch.is_grad_enabled()
    if compiled and x.device.type == "cpu" and x.dtype == torch.float32:
        return CompiledGELU.apply(x) if form == "none" else CompiledTanhGELU.apply(x)
    return F.gelu(x, approximate=form)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": relu_squared,
    "gelu": gelu,
    "gelu_tanh": partial(gelu, form="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
    "tanh": torch.tanh,
}

IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {  # for inference: a fresh tensor of that width costs more than the function
    "relu": torch.relu_,
    "gelu": torch.ops.aten.gelu_,
    "gelu_tanh": partial(torch.ops.aten.gelu_, approximate="tanh"),
    "silu": partial(F.silu, inplace=True),
    "tanh": torch.tanh_,
}


def clamped_swiglu(gate: Tensor, up: Tensor, limit: float = 7.0, alpha: float = 1.702) -> Tensor:
    """(u + 1) · g · σ(αg) with g ≤ limit and |u| ≤ limit (gpt-oss)."""
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (up + 1) * gate * torch.sigmoid(alpha * gate)


class _Inner(Spec):
    inner: int | None = Field(None, gt=0, description="hidden width; or give ratio")
    ratio: float | None = Field(None, gt=0, description="hidden width as a multiple of the model's width")

    @model_validator(mode="after")
    def _one_size(self) -> _Inner:
        if (self.inner is None) == (self.ratio is None):
            raise ValueError("give exactly one of inner (a width) and ratio (a multiple of the model's width)")
        return self

    def hidden(self, width: int) -> int:
        if self.inner is not None:
            return self.inner
        assert self.ratio is not None, "exactly one of the two"
        return int(width * self.ratio)


class PlainSpec(_Inner):
    """act(xW₁ + b₁)W₂ + b₂ (Vaswani et al. 2017, arXiv 1706.03762, eq. 2)."""

    kind: Literal["plain"] = "plain"
    act: Activation = "gelu"
    bias: bool = True

    def params(self, width: int) -> int:
        inner = self.hidden(width)
        return linear_params(width, inner, self.bias) + linear_params(inner, width, self.bias)

    def flops(self, width: int, tokens: int) -> int:
        return 4 * tokens * width * self.hidden(width)

    def build(self, width: int, dropout: float = 0.0) -> Plain:
        return Plain(self, width, dropout)


class GatedSpec(_Inner):
    """(act(xW_gate) ⊙ xW_up)W_down: SwiGLU, GEGLU, … (Shazeer 2020, arXiv 2002.05202, eq. 6)."""

    kind: Literal["gated"] = "gated"
    act: Activation | Literal["clamped_swiglu"] = "silu"
    bias: bool = False

    def params(self, width: int) -> int:
        inner = self.hidden(width)
        return 2 * linear_params(width, inner, self.bias) + linear_params(inner, width, self.bias)

    def flops(self, width: int, tokens: int) -> int:
        return 6 * tokens * width * self.hidden(width)

    def build(self, width: int, dropout: float = 0.0) -> Gated:
        return Gated(self, width, dropout)


class Plain(nn.Module):
    def __init__(self, spec: PlainSpec, width: int, dropout: float) -> None:
        super().__init__()
        inner = spec.hidden(width)
        self.spec, self.act, self.dropout = spec, ACTIVATIONS[spec.act], dropout
        self.up = nn.Linear(width, inner, bias=spec.bias)
        self.down = nn.Linear(inner, width, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.up(x))
        return self.down(F.dropout(h, self.dropout) if self.dropout and self.training else h)

    def fuse(self) -> None:
        """The activation in place, for inference."""
        self.act = IN_PLACE.get(self.spec.act, self.act)


def gate_function(act: str) -> Callable[[Tensor, Tensor], Tensor]:
    """(gate, up) → hidden, for a gated feed-forward or expert."""
    if act == "clamped_swiglu":
        return clamped_swiglu
    f = ACTIVATIONS[act]
    return lambda gate, up: f(gate) * up


class Gated(nn.Module):
    def __init__(self, spec: GatedSpec, width: int, dropout: float) -> None:
        super().__init__()
        inner = spec.hidden(width)
        self.spec, self.join, self.dropout = spec, gate_function(spec.act), dropout
        self.gate = nn.Linear(width, inner, bias=spec.bias)
        self.up = nn.Linear(width, inner, bias=spec.bias)
        self.down = nn.Linear(inner, width, bias=spec.bias)
        self.gate_up: nn.Linear | None = None  # set by fuse(): one product at inference

    def forward(self, x: Tensor) -> Tensor:
        gate, up = (self.gate(x), self.up(x)) if self.gate_up is None else self.gate_up(x).chunk(2, -1)
        h = self.join(gate, up)
        return self.down(F.dropout(h, self.dropout) if self.dropout and self.training else h)

    def fuse(self) -> None:
        """Gate and up by one product, joined in place, for inference."""
        self.gate_up = fuse_linears([self.gate, self.up])
        self.gate = self.up = None  # type: ignore[assignment]  # from here on forward reads the one product alone
        if f := IN_PLACE.get(self.spec.act):
            self.join = lambda gate, up: f(gate).mul_(up)
