"""Banded attention: patterns of short reach as blocks of plain products, linear in the length, with a backward.

    keys_per_query(…)  can this pattern be a band, and how many keys would a query look at?
    lower_banded(…)    once per call and kind: the band, keys beside it, queries that look at everything, and their masks
    spread, collect    tokens into blocks that are rows of a batch, and back
Each block looks at itself and its neighbours. Hubs, the few tokens that are seen from far (global tokens, BigBird's first
and last block), are gathered as columns beside the band and masked out of it, so that every key counts once; BigBird's
random blocks are columns of one block of queries. Hubs that see far are computed again as a few rows over all keys.
Assumes that the distance in a row is the distance of positions, which holds for padding on either side and for documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .at import At
from .block_sparse import BlockSparse, places
from .pattern import Marked, Pattern, Prefix, blocked, leaves
from .pattern_base import Reach

MaskOf = Callable[[At, At, Tensor | None], Tensor]  # (rows, keys, which of the keys count) → mask


class Some(NamedTuple):
    """A few tokens of each row: place (B|1, n) long, all different; keep (B|1, n) bool, which are meant (None = all)."""

    place: Tensor
    keep: Tensor | None = None


class Band(NamedTuple):
    """How a band is cut."""

    block: int  # tokens per block
    sides: tuple[int, int]  # blocks looked at before and after
    columns: Tensor | None = None  # (B|1, blocks, C) long: keys beside the band
    far: Some | None = None  # queries that look at all keys
    far_mask: Tensor | None = None  # (B|1, 1|h, n, T): what they may see


# ---------------------------------------------------------------- a few tokens of each row


def some(flags: Tensor) -> Some:
    """The tokens where flags (B|1, T) is true, as many per row as the richest row has; all, where a compiled graph must
    not look."""
    if torch.compiler.is_compiling():
        return Some(torch.arange(flags.shape[1], device=flags.device).expand(flags.shape[0], -1), flags)
    count = int(flags.sum(1).max()) if flags.numel() else 0
    index = flags.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
    return Some(index, flags.gather(1, index))


def take(t: Tensor, chosen: Some) -> Tensor:
    """The chosen tokens of t (B, h, T, d) → (B, h, n, d)."""
    index = chosen.place[:, None, :, None]
    return t.gather(2, index.expand(*t.shape[:2], -1, t.shape[3]))


def put(t: Tensor, chosen: Some, new: Tensor) -> Tensor:
    """t (B, h, T, d) with the chosen tokens replaced by new (B, h, n, d)."""
    if chosen.keep is not None:
        new = torch.where(chosen.keep[:, None, :, None], new, take(t, chosen))
    index = chosen.place[:, None, :, None].expand(*t.shape[:2], -1, t.shape[3])
    return t.scatter(2, index, new.to(t.dtype))


# ---------------------------------------------------------------- lowering


def keys_per_query(pattern: Pattern, q: At, count: bool = True) -> int | None:
    """Keys a query of a band would look at, or None if the pattern is no band. count: hubs too (one look at a tensor)."""
    reach = _both(pattern.reach())
    if reach is not None:
        return sum(reach) + 1
    near, sparse = _both(pattern.near()), blocked(pattern)
    marks = any(isinstance(leaf, Marked | Prefix) for leaf in leaves(pattern))
    if near is None or marks and (sparse is not None or torch.compiler.is_compiling()):
        return None  # how many are marked is no static fact, which a compiled graph needs
    width = sum(near) + 1
    if sparse is not None:
        return width + (2 + sparse.random) * sparse.block
    hubs = [] if not count else [_real(flags, q) for flags in pattern.hubs(q) if flags is not None]
    return width + max([0, *(some(flags).place.shape[1] for flags in hubs)])


def _both(reach: Reach) -> tuple[int, int] | None:
    """A reach with limits on both sides, or None."""
    back, ahead = reach
    return None if back is None or ahead is None else (back, ahead)


def _real(flags: Tensor, q: At) -> Tensor:
    return flags & (q.pos >= 0) if q.padded else flags


def lower_banded(pattern: Pattern, q: At, mask_of: MaskOf, far: bool = True) -> tuple[Band, Tensor]:
    """The band, and its mask (B·blocks | blocks, 1 | h, block, keys). far: compute the hubs that see far as well."""
    reach = _both(pattern.reach())
    hubs = None if reach is not None else pattern.hubs(q)
    near, sparse = (reach, None) if hubs is None else (_both(pattern.near()), blocked(pattern))
    assert near is not None, "keys_per_query said that this is a band"
    block = max(16, *near) if sparse is None else sparse.block
    back, ahead = near
    sides = (-(-back // block), -(-ahead // block)) if sparse is None else (min(back, 1), min(ahead, 1))
    batch = q.rows_of_batch()
    at = q._replace(padded=True).map(lambda t: t.expand(batch, -1))  # blocks of all rows become one axis below
    rows = at.map(lambda t: _blocks(t, block, _nothing(t)))
    keys = rows.map(lambda t: _neighbours(t, *sides, _nothing(t)))
    flat_rows, flat_keys = (x.map(lambda t: t.flatten(0, 1)) for x in (rows, keys))
    if hubs is None:
        return Band(block, sides), mask_of(flat_rows, flat_keys, None)
    blocks, ordinary, columns = rows.pos.shape[1], None, None
    if hubs.keys is not None:
        hub = _real(hubs.keys, q).expand(batch, -1)
        ordinary = ~_neighbours(_blocks(hub, block, False), *sides, False).flatten(0, 1)
        columns, keep = _columns(_hubs(hub, sparse, q), sparse, q, batch, blocks)
    mask = mask_of(flat_rows, flat_keys, ordinary)
    if columns is not None:
        beside = at.take(columns.flatten(1)).map(lambda t: t.unflatten(1, (blocks, -1)).flatten(0, 1))
        mask = torch.cat([mask, mask_of(flat_rows, beside, keep.flatten(0, 1))], -1)
    band = Band(block, sides, columns)
    if far and hubs.queries is not None:
        chosen = _hubs(_real(hubs.queries, q).expand(batch, -1), sparse, q)
        band = band._replace(far=chosen, far_mask=mask_of(at.take(chosen.place), at, None))
    return band, mask


def _hubs(flags: Tensor, sparse: BlockSparse | None, q: At) -> Some:
    """The tokens that flags names. Those of blocks are known without a look at the tensor."""
    if sparse is None:
        return some(flags)
    length, block = places(q).length, sparse.block
    place = torch.arange(length, device=flags.device)
    last = (length - 1) // block * block
    return Some(torch.cat([place[:block], place[last:]]).expand(flags.shape[0], -1))


def _columns(hubs: Some, sparse: BlockSparse | None, q: At, batch: int, blocks: int) -> tuple[Tensor, Tensor]:
    """Keys beside the band for each block of queries, (batch, blocks, C), and which of them count."""
    keep = torch.ones_like(hubs.place, dtype=torch.bool) if hubs.keep is None else hubs.keep
    columns, keep = (t[:, None].expand(batch, blocks, -1) for t in (hubs.place, keep))
    drawn = None if sparse is None else places(q).drawn
    if sparse is None or drawn is None:
        return columns, keep
    chosen = drawn.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : sparse.random]  # (blocks, random)
    inside = torch.arange(sparse.block, device=chosen.device)
    more = (chosen[:, :, None] * sparse.block + inside).flatten(1)
    also = drawn.gather(1, chosen)[:, :, None].expand(-1, -1, sparse.block).flatten(1)
    more, also = (t.expand(batch, -1, -1) for t in (more, also))
    return torch.cat([columns, more], 2), torch.cat([keep, also], 2)


def _nothing(t: Tensor) -> int | bool:
    return False if t.dtype == torch.bool else -1


def _blocks(t: Tensor, block: int, fill: float) -> Tensor:
    """(B, T, …) → (B, n, block, …), the end filled up."""
    short = -t.shape[1] % block
    if short:
        t = torch.cat([t, t.new_full((t.shape[0], short, *t.shape[2:]), fill)], 1)
    return t.unflatten(1, (-1, block))


def _neighbours(t: Tensor, before: int, after: int, fill: float) -> Tensor:
    """(B, n, b, …) → (B, n, (before + 1 + after)·b, …): each block with its neighbours."""
    edge = [t.new_full((t.shape[0], m, *t.shape[2:]), fill) for m in (before, after)]
    wide = torch.cat([edge[0], t, edge[1]], 1)
    return torch.cat([wide[:, i : i + t.shape[1]] for i in range(before + 1 + after)], 2)


# ---------------------------------------------------------------- tokens to blocks and back


def spread(q: Tensor, k: Tensor, v: Tensor, band: Band, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v (B, heads, T, d) with blocks as rows: (B·blocks, heads, tokens, d); and the mask for all of them."""
    batch = q.shape[0]
    queries = _blocks(q.transpose(1, 2), band.block, 0.0).flatten(0, 1).transpose(1, 2)
    keys = []
    for t in (k, v):
        t = t.transpose(1, 2)  # (B, T, heads, d)
        near = _neighbours(_blocks(t, band.block, 0.0), *band.sides, 0.0)
        if band.columns is not None:
            index = band.columns.flatten(1).expand(batch, -1)[:, :, None, None].expand(-1, -1, *t.shape[2:])
            near = torch.cat([near, t.gather(1, index).unflatten(1, (near.shape[1], -1))], 2)
        keys.append(near.flatten(0, 1).transpose(1, 2))
    if mask.shape[0] != queries.shape[0]:  # one row of coordinates serves the whole batch
        mask = mask.repeat(batch, 1, 1, 1)
    return queries, keys[0], keys[1], mask


def collect(out: Tensor, batch: int, length: int) -> Tensor:
    """(B·blocks, h, block, d) → (B, h, T, d)."""
    return out.transpose(1, 2).unflatten(0, (batch, -1)).flatten(1, 2)[:, :length].transpose(1, 2)
