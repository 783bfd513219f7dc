"""The pattern that cuts rows into blocks (BigBird), and how its random blocks are drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from .at import At, Grid
from .pattern_base import FULL, Hubs, PatternSpec, Reach

if TYPE_CHECKING:
    from .pattern import Pattern


class BlockSparse(PatternSpec):
    """BigBird (Zaheer et al. 2020, arXiv 2007.14062 §2): rows are cut into blocks of `block`; a block sees itself, its
    two neighbours, the first and the last block, and `random` others; the first and the last see everything. Rows of at
    most (5 + 2·random)·block tokens see everything, as in Hugging Face.

    draw "seeded": the random blocks are a fixed function of the seed and the number of blocks, none of them visible
    otherwise; every head of a layer sees the same. Layers with other blocks are kinds of their own with other seeds.
    draw "block0": every random block is block 0, drawn again: its keys count 1 + random times (what Hugging Face
    computes outside training). Both are one function, the same in training and in evaluation.

    Blocks are cut along the batch's rows, padding included, and the last block is that of the batch's length: a row's
    result depends on how long the batch is, and on nothing else of it.
    """

    kind: Literal["block_sparse"] = "block_sparse"
    block: int = Field(gt=0)
    random: int = Field(0, ge=0)
    draw: Literal["seeded", "block0"] = "seeded"
    seed: int = Field(0, ge=0, lt=2**31)

    def dense(self, length: int) -> bool:
        return length <= (5 + 2 * self.random) * self.block

    def grid(self, at: At) -> Grid:
        """The places of a call's queries and the blocks drawn for them."""
        length = at.pos.shape[1]
        index = torch.arange(length, device=at.pos.device).unsqueeze(0)
        if self.draw == "block0" or self.random == 0 or self.dense(length):
            return Grid(index, length)
        return Grid(index, length, draw_blocks(self.seed, -(-length // self.block), self.random, index.device))

    def allows(self, q: At, k: At) -> Tensor:
        grid = places(q)
        if self.dense(grid.length):
            return FULL.allows(q, k)
        (i, ends), (j, others) = self._blocks(q), self._blocks(k)
        seen = ((i - j).abs() <= 1) | ends | others
        return seen if grid.drawn is None else seen | grid.drawn[i, j]

    def bias(self, q: At, k: At) -> Tensor:
        """ln(1 + random) on the keys of block 0 for the queries of the inner blocks: seen 1 + random times."""
        (_, ends), (j, _) = self._blocks(q), self._blocks(k)
        return torch.where(~ends & (j == 0), math.log1p(self.random), 0.0)

    def repeats(self, length: int) -> bool:
        """Whether `bias` is anything but 0."""
        return self.draw == "block0" and self.random > 0 and not self.dense(length)

    def _blocks(self, at: At) -> tuple[Tensor, Tensor]:
        """(block number, is it the first or the last)."""
        grid = places(at)
        i = grid.place // self.block
        return i, (i == 0) | (i == (grid.length - 1) // self.block)

    def simplify(self, q: At, n: int | None) -> Pattern:
        return FULL if n is not None and self.dense(n) else self

    def hubs(self, at: At) -> Hubs:
        ends = self._blocks(at)[1]
        return Hubs(ends, ends)

    def near(self) -> Reach:
        return 2 * self.block - 1, 2 * self.block - 1


def places(at: At) -> Grid:
    """The grid of coordinates that have been through `pattern.placed`."""
    assert at.grid is not None
    return at.grid


def draw_blocks(seed: int, n: int, count: int, device: torch.device) -> Tensor:
    """(n, n) bool: `count` columns of each inner row, none of them the row itself, a neighbour, the first or the last.

    The columns with the smallest values of a hash of (seed, row, column): the same on every device, within a compiled
    graph too, and no generator's state is touched.
    """
    place = torch.arange(n, device=device)
    rows, columns = place[:, None], place[None]
    worth = _mix(_mix(_mix(torch.full_like(rows, seed)) + rows) + columns) * n + columns  # · n + columns: no ties
    closed = ((rows - columns).abs() <= 1) | (columns == 0) | (columns == n - 1)
    worth = worth.masked_fill(closed, torch.iinfo(worth.dtype).max)
    drawn = torch.zeros(n, n, dtype=torch.bool, device=device)
    drawn = drawn.scatter(1, worth.topk(count, 1, largest=False).indices, True)
    return drawn & (rows > 0) & (rows < n - 1)


def _mix(x: Tensor) -> Tensor:
    """An integer hash of 32 bits; products stay below 2^63."""
    for _ in range(2):
        x = (((x >> 16) ^ x) * 0x45D9F3B) & 0xFFFFFFFF
    return (x >> 16) ^ x
