"""Rows of ids → batches: padded on one side, like lengths side by side, computed without dropout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ..nn import Tokens


def batch(rows: Sequence[Sequence[int]], device: torch.device, left: bool = False) -> Tokens:
    """Rows of ids as one stream; unequal ones padded (position −1) on the right, or on the left."""
    longest = max(map(len, rows))
    if min(map(len, rows)) == longest:
        return Tokens(torch.tensor([list(row) for row in rows], dtype=torch.long, device=device))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    pos = torch.full_like(ids, -1)
    for i, row in enumerate(rows):
        place = slice(longest - len(row), None) if left else slice(0, len(row))
        ids[i, place], pos[i, place] = torch.tensor(list(row)), torch.arange(len(row))
    return Tokens(ids.to(device), pos.to(device), padded=True)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Dropout off inside; a model in training is handed back as it was."""
    if not net.training:
        yield
        return
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
