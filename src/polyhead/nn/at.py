"""Coordinates of tokens: the only thing patterns and positions see."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .tokens import Tokens


class Grid(NamedTuple):
    """Places in the rows of a call, padding included, for patterns that cut rows into blocks.

    place (B|1, T) long 0..T−1, −1 = beyond the row; length: T, a Python fact; drawn (n, n) bool: which of the n blocks
    (columns) were drawn for each block of queries (rows), None = none were.
    """

    place: Tensor
    length: int
    drawn: Tensor | None = None


class At(NamedTuple):
    """pos (B|1, T) long, −1 = padding or an empty cache slot; segment (B|1, T) document number or None = one document;
    mark (B|1, T) bool prefix (or global) token, None = none; padded: a Python fact, "some pos may be −1"; grid: places
    in the row, only where a pattern needs them (`pattern.placed`)."""

    pos: Tensor
    segment: Tensor | None = None
    mark: Tensor | None = None
    padded: bool = False
    grid: Grid | None = None

    @staticmethod
    def of(tokens: Tokens, length: int | None = None) -> At:
        """The coordinates a stream of tokens states, or 0..T−1. length: T, where a signal does not tell it."""
        pos = tokens.pos
        if pos is None:
            read = tokens.ids if tokens.signal is None else tokens.signal
            assert read is not None, "tokens are ids or a signal"
            pos = torch.arange(read.shape[1] if length is None else length, device=read.device).unsqueeze(0)
        return At(pos, tokens.segment, tokens.mark, tokens.padded)

    def map(self, f: Callable[[Tensor], Tensor]) -> At:
        """The same coordinates with `f` applied to every tensor."""
        segment = None if self.segment is None else f(self.segment)
        mark = None if self.mark is None else f(self.mark)
        grid = None if self.grid is None else self.grid._replace(place=f(self.grid.place))
        return At(f(self.pos), segment, mark, self.padded, grid)

    def rows(self) -> At:
        """Fields as (B|1, 1, T, 1): these tokens ask."""
        return self.map(lambda t: t[:, None, :, None])

    def cols(self) -> At:
        """Fields as (B|1, 1, 1, T): these tokens are asked."""
        return self.map(lambda t: t[:, None, None, :])

    def take(self, index: Tensor) -> At:
        """The coordinates of the tokens at index (B|1, n)."""
        rows = max(index.shape[0], self.rows_of_batch())
        index = index.expand(rows, -1)
        return self.map(lambda t: t.expand(rows, -1).gather(1, index))

    def rows_of_batch(self) -> int:
        """Rows these coordinates tell apart: 1 = all rows alike."""
        return max(t.shape[0] for t in self[:3] if t is not None)

    def valid(self) -> Tensor | None:
        """(B|1, T) bool of real tokens, or None when all are."""
        return self.pos >= 0 if self.padded else None
