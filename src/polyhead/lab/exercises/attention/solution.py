"""Multi-head attention from scratch: a solution."""

from __future__ import annotations

import torch
from torch import Tensor


def attention(
    x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor, heads: int, causal: bool = False, keep: Tensor | None = None
) -> Tensor:
    """x (B, T, D); wq, wk, wv, wo (D, D); keep (B, T) bool, False at padding. Returns (B, T, D)."""
    rows, length, width = x.shape

    def split(y: Tensor) -> Tensor:
        """(B, T, D) → (B, h, T, D/h)"""
        return y.view(rows, length, heads, width // heads).transpose(1, 2)

    q, k, v = split(x @ wq), split(x @ wk), split(x @ wv)
    scores = q @ k.transpose(-1, -2) / (width // heads) ** 0.5  # (B, h, T, T)
    allowed = torch.ones(length, length, dtype=torch.bool, device=x.device)
    if causal:
        allowed = allowed.tril()
    allowed = allowed[None, None]
    if keep is not None:
        allowed = allowed & keep[:, None, None, :]
    blind = ~allowed.any(-1, keepdim=True)  # tokens that see nothing
    scores = scores.masked_fill(~allowed & ~blind, float("-inf"))  # their rows stay finite, and are taken off below
    weights = scores.softmax(-1).masked_fill(blind, 0.0)
    mixed = (weights @ v).transpose(1, 2).reshape(rows, length, width)
    return mixed @ wo
