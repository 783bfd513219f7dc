"""Hand-written gradients for three elementwise pieces that eager autograd takes apart on a CPU, where they cost a
quarter of a small model's step. Same values as the plain formulas, fewer passes over memory; a compiler does this by
itself, so `plain(x)` says when the plain formula is the better one.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def plain(x: Tensor) -> bool:
    """Whether the plain formula serves better: compiled, off the CPU, half precision, or no gradient asked for. On the meta
    device, where a step is only counted, it is what a CPU would do."""
    trains = torch.is_grad_enabled() and x.requires_grad
    full = x.dtype in (torch.float32, torch.float64)
    return torch.compiler.is_compiling() or not trains or not full or x.device.type not in ("cpu", "meta")


class UnitRMS(torch.autograd.Function):
    """y = x·r with r = 1/√(mean(x²) + ε);  dx = r·(g − y·mean(g·y))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        r = square.mul_(1 / x.shape[-1]).add_(eps).rsqrt_()
        y = x * r
        ctx.save_for_backward(y, r)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        y, r = ctx.saved_tensors
        along = (g * y).mean(-1, keepdim=True)
        return torch.addcmul(g, y, along, value=-1).mul_(r), None


class ReLUSquared(torch.autograd.Function):
    """y = h² with h = max(x, 0);  dx = 2·g·h."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        h = x.clamp_min(0)
        ctx.save_for_backward(h)
        return h * h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (h,) = ctx.saved_tensors
        return (g * h).mul_(2)


# Φ(−|x|) = ½·P(t)·exp(−x²/2), t = 1/(1 + p|x|/√2): Abramowitz & Stegun 7.1.26, within 7.5e-8 of the exact value
_P, _A = 0.3275911, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


class CompiledGELU(torch.autograd.Function):
    """x·Φ(x) in fp32 for a compiled CPU step: one exponential gives the value and the derivative Φ(x) + x·φ(x), which
    is kept, so that the backward pass is a product. A compiled erf costs three times as much, and twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        bell = torch.exp(-0.5 * x * x)
        t = 1 / (1 + (_P / math.sqrt(2)) * x.abs())
        tail = 0.5 * bell * t * (_A[0] + t * (_A[1] + t * (_A[2] + t * (_A[3] + t * _A[4]))))
        share = torch.where(x < 0, tail, 1 - tail)
        ctx.save_for_backward(share + x * bell * (1 / math.sqrt(2 * math.pi)))
        return x * share

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return g * slope


class CompiledTanhGELU(torch.autograd.Function):
    """x·σ(2u), u = √(2/π)·(x + 0.044715·x³), which is the tanh form of GELU; again one exponential, the slope kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root, cubic = math.sqrt(2 / math.pi), 0.044715
        fall = torch.exp((-2 * root * x * (1 + cubic * x * x)).clamp(max=80))  # beyond, share is 0 in fp32 anyway
        share = 1 / (1 + fall)
        ctx.save_for_backward(share + 2 * root * x * fall * share * share * (1 + 3 * cubic * x * x))
        return x * share

    backward = CompiledGELU.backward  # type: ignore[assignment]  # a static method, which the checker takes for a bound one


class RotateHalf(torch.autograd.Function):
    """Pairs (k, k + r/2) turned by an angle; the gradient is turned back by it. x (…, r); cos, sin (…, r/2)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(g, cos, sin, -1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    out = torch.empty_like(x)
    torch.mul(a, cos, out=out[..., :half]).addcmul_(b, sin, value=-sign)
    torch.mul(b, cos, out=out[..., half:]).addcmul_(a, sin, value=sign)
    return out
