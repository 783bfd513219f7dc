"""Reformer's buckets (Kitaev et al. 2020, arXiv 2001.04451, §2): tokens whose vectors point alike fall into one bucket and look
only there. What it looks at and what it misses; not its sorting and its chunks, which change the cost alone."""

from __future__ import annotations

import torch
from torch import Tensor


def buckets(x: Tensor, count: int, rounds: int, generator: torch.Generator) -> Tensor:
    """x (…, n, d) → (rounds, …, n) bucket numbers below `count` (even): argmax of [xR; −xR], R (d, count / 2) drawn once per
    round (§2, "Locality sensitive hashing")."""
    turned = x @ torch.randn(rounds, *[1] * (x.dim() - 2), x.shape[-1], count // 2, generator=generator)
    return torch.cat([turned, -turned], -1).argmax(-1)


def together(asking: Tensor, asked: Tensor) -> Tensor:
    """(rounds, …, n) buckets of queries and of keys → (…, n, n) whether they share one in any round."""
    return (asking.unsqueeze(-1) == asked.unsqueeze(-2)).any(0)
