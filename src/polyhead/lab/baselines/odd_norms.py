"""LayerNorms that are changed in one respect, to find out what makes a LayerNorm work."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polyhead.nn import Transformer
from polyhead.nn.norm import LayerNorm

Change = Literal["none", "noise", "detached"]


class Noisy(nn.Module):
    """A norm and, while training, noise that brings back what a norm takes away (Santurkar et al. 2018, arXiv 1805.11604, §2.1): at each
    call each feature is moved and stretched anew, its mean by up to ±shift and its deviation by up to a factor of 1 ± stretch."""

    def __init__(self, norm: LayerNorm, seed: int, shift: float = 0.5, stretch: float = 0.25) -> None:
        super().__init__()
        self.norm, self.shift, self.stretch = norm, shift, stretch
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        y = self.norm(x, valid)
        if not self.training:
            return y
        drawn = 2 * torch.rand(2, y.shape[-1], generator=self.generator) - 1
        return y * (1 + self.stretch * drawn[0]) + self.shift * drawn[1]


class Detached(nn.Module):
    """The same output, but no gradient through mean and deviation (DetachNorm, Xu et al. 2019, arXiv 1911.07013, §4)."""

    def __init__(self, norm: LayerNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        mean = x.mean(-1, keepdim=True).detach()
        deviation = (x.var(-1, keepdim=True, correction=0) + self.norm.eps).sqrt().detach()
        y = (x - mean) / deviation
        y = y if self.norm.weight is None else y * self.norm.weight
        return y if self.norm.bias is None else y + self.norm.bias


def with_odd_norms(model: Transformer, change: Change, seed: int = 0) -> Transformer:
    """The same model with each of its LayerNorms changed, in place."""
    places = [(parent, name, norm) for parent in model.modules() for name, norm in parent.named_children() if isinstance(norm, LayerNorm)]
    for number, (parent, name, norm) in enumerate(places):
        if change != "none":
            setattr(parent, name, Noisy(norm, 1000 * seed + number) if change == "noise" else Detached(norm))
    return model
