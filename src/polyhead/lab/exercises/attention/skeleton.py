"""Multi-head attention from scratch. What is asked: polyhead lab exercise attention. Is it right? polyhead lab grade attention FILE"""

from __future__ import annotations

from torch import Tensor


def attention(
    x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor, heads: int, causal: bool = False, keep: Tensor | None = None
) -> Tensor:
    """x (B, T, D); wq, wk, wv, wo (D, D); keep (B, T) bool, False at padding. Returns (B, T, D)."""
    raise NotImplementedError("write attention here")
