"""Exact attention tile by tile, to be read: no more than one tile of scores is alive at a time.

The softmax of a row is put together from its tiles with a running maximum and a running sum (Milakov & Gimelshein 2018,
arXiv 1805.02867; Rabe & Staats 2021, arXiv 2112.05682; FlashAttention, Dao et al. 2022, arXiv 2205.14135, algorithm 1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def attend_tiled(q: Tensor, k: Tensor, v: Tensor, tile: int = 64) -> Tensor:
    """softmax(q·kᵀ/√d)·v for q, k, v (n, d)."""
    out = torch.empty_like(q)
    for start in range(0, len(q), tile):
        out[start : start + tile] = _rows(q[start : start + tile], k, v, tile)
    return out


def _rows(q: Tensor, k: Tensor, v: Tensor, tile: int) -> Tensor:
    """The answers of one tile of queries."""
    largest = q.new_full((len(q), 1), float("-inf"))
    total, mixed = q.new_zeros(len(q), 1), torch.zeros_like(q)
    for start in range(0, len(k), tile):
        scores = q @ k[start : start + tile].T / q.shape[1] ** 0.5
        higher = torch.maximum(largest, scores.amax(1, keepdim=True))
        weights, shrink = torch.exp(scores - higher), torch.exp(largest - higher)
        total = total * shrink + weights.sum(1, keepdim=True)
        mixed = mixed * shrink + weights @ v[start : start + tile]
        largest = higher
    return mixed / total


def attend_at_once(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same with the whole table of scores."""
    return (q @ k.T / q.shape[1] ** 0.5).softmax(1) @ v
