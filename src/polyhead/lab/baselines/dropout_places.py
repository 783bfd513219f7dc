"""Attention with dropout where it belongs, or before the softmax, in the two ways that this can be read."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.nn import Transformer
from polyhead.nn.attention import Attention, View
from polyhead.nn.heads import Grouped

Place = Literal["none", "weights", "keys", "scores"]


def mix(q: Tensor, k: Tensor, v: Tensor, place: Place, p: float, *, scale: float, causal: bool = False) -> Tensor:
    """softmax(q·kᵀ·scale)·v, (B, h, T, d) each, with dropout of probability p. weights: on the softmax's output, by torch's
    own kernel. keys: a dropped score becomes −∞ (DropKey, Li et al. 2022, arXiv 2208.02646). scores: a dropped score
    becomes 0 and the others are divided by 1 − p, as dropout does anywhere else."""
    if place in ("none", "weights"):
        p = p if place == "weights" else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=causal, scale=scale)
    scores = q @ k.transpose(-1, -2) * scale
    if place == "scores":
        scores = F.dropout(scores, p)
    else:
        drop = torch.rand_like(scores) < p
        alone = torch.eye(scores.shape[-2], scores.shape[-1], dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(drop & ~alone, float("-inf"))  # a token may keep itself, so that no row is empty
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-1) @ v


class DroppedAttention(nn.Module):
    """Causal self-attention with an attention's own weights, and dropout at `place` while training."""

    def __init__(self, attention: Attention, place: Place, p: float) -> None:
        super().__init__()
        assert isinstance(attention.heads, Grouped)
        self.heads, self.place, self.p = attention.heads, place, p

    def forward(self, x: Tensor, view: View, store: Any = None, memory: Any = None, first: Any = None) -> tuple[Tensor, Tensor]:
        q, (k, v) = self.heads.project(x, view.turn)
        place: Place = self.place if self.training else "none"
        return self.heads.output(mix(q, k, v, place, self.p, scale=self.heads.scale, causal=True)), v


def with_dropout(model: Transformer, place: Place, p: float) -> Transformer:
    """The model with dropout at `place` in each of its decoder's self-attentions."""
    for block in model.top.layers:
        block.attention = DroppedAttention(block.attention, place, p)  # type: ignore[assignment]
    return model
