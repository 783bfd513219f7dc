"""Mixing of tokens whose weights do not depend on what the tokens hold, in the place of a block's attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from polyhead.nn import Transformer


class StaticMixing(nn.Module):
    """Learned weights per head for each pair of places, softmax over what came before: o = softmax(R)·v (the Random
    Synthesizer, Tay et al. 2020, arXiv 2005.00743, §3.1). Rows of at most `length` tokens; d² for values, d² for the way out."""

    def __init__(self, width: int, heads: int, length: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.pairs = nn.Parameter(torch.zeros(heads, length, length))
        self.v, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, view: Any, store: Any = None, memory: Any = None, first: Any = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D) → (B, T, D), and its values, as polyhead's attention gives them."""
        n = x.shape[1]
        if n > self.pairs.shape[1]:
            raise ValueError(f"there are weights for {self.pairs.shape[1]} places: expected at most that, got {n} tokens")
        scores = self.pairs[:, :n, :n]
        if self.causal:
            scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), float("-inf"))
        v = self.v(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)), v


def mix(model: Transformer, kind: type[StaticMixing], length: int, seed: int) -> Transformer:
    """The decoder's attention replaced by `kind`, initialised as the model's other matrices are."""
    generator, stack = torch.Generator().manual_seed(seed), model.top
    for block in stack.layers:
        heads = block.attention.heads
        mixing = kind(stack.spec.width, getattr(heads, "heads", 1), length, causal=True)
        for product in (mixing.v, mixing.o):
            nn.init.normal_(product.weight, std=0.02 * 4, generator=generator)
        block.attention = mixing  # type: ignore[assignment]  # it is called alike
    return model
