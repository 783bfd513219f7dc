"""What the laws share: exact comparison, ids, padded batches and sources, rows for the oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polyhead import nn as ph
from polyhead.nn.rotary import Dynamic, LongRope

from . import specs
from .oracle import Row

EXACT = 1e-12


def close(a: Tensor, b: Tensor, tolerance: float = EXACT, what: str = "") -> None:
    """Equal within tolerance, relative to the largest value."""
    assert a.shape == b.shape, f"{what}: shapes {tuple(a.shape)} and {tuple(b.shape)}"
    assert torch.isfinite(a).all() and torch.isfinite(b).all(), f"{what}: not finite"
    if a.numel() == 0:
        return
    error = (a - b).abs().max().item()
    assert error <= tolerance * max(1.0, b.abs().max().item()), f"{what}: off by {error:.3g}"


def random_ids(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, specs.VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def crossed(spec: ph.ModelSpec) -> bool:
    return spec.encoder is not None and spec.decoder is not None


def length_bound(spec: ph.ModelSpec) -> bool:
    """The rotation depends on the length of the call."""
    rotations = [b.attention.position for s in spec.stacks.values() for b in s.blocks.values()]
    return any(isinstance(getattr(r, "scaling", None), Dynamic | LongRope) for r in rotations)


def source_of(spec: ph.ModelSpec, rows: int, length: int = 7, padded: bool = False) -> ph.Tokens | None:
    """What an encoder–decoder reads; padded: row 0 is three tokens shorter."""
    if not crossed(spec):
        return None
    ids = random_ids(rows, length, seed=9)
    if not padded:
        return ph.Tokens(ids)
    pos = torch.arange(length).repeat(rows, 1)
    pos[0, length - 3 :] = -1
    return ph.Tokens(ids, pos, padded=True)


def pad(rows: Sequence[Tensor], side: str, width: int, fill: int = 0) -> ph.Tokens:
    """Rows of ids of unequal length as one batch."""
    ids = torch.full((len(rows), width), fill, dtype=torch.long)
    pos = torch.full((len(rows), width), -1, dtype=torch.long)
    for i, row in enumerate(rows):
        n = len(row)
        where = slice(width - n, width) if side == "left" else slice(0, n)
        ids[i, where], pos[i, where] = row, torch.arange(n)
    return ph.Tokens(ids, pos, padded=True)


def row_of(tokens: ph.Tokens, i: int, real: Tensor) -> Row:
    def values(t: Tensor | None) -> list | None:
        return None if t is None else t[i][real].tolist()

    pos = torch.arange(tokens.ids.shape[1]) if tokens.pos is None else tokens.pos[i]
    return Row(
        tokens.ids[i][real].tolist(),
        pos[real].tolist(),
        values(tokens.segment),
        values(tokens.mark),
        values(tokens.types),
        real.nonzero()[:, 0].tolist(),
        tokens.ids.shape[1],
    )


def row_source(source: ph.Tokens, i: int) -> ph.Tokens:
    real = torch.ones_like(source.ids[i], dtype=torch.bool) if source.pos is None else source.pos[i] >= 0
    return ph.Tokens(source.ids[i][real][None])


def rows_of(source: ph.Tokens | None, index: list[int]) -> ph.Tokens | None:
    return None if source is None else source._replace(ids=source.ids[index], pos=source.pos[index])
