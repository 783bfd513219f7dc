"""Coordinates of tokens: the only thing patterns and positions see."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .tokens import Tokens


class At(NamedTuple):
    """pos (B|1, T) long, −1 = padding or an empty cache slot; segment (B|1, T) document number or None = one document;
    mark (B|1, T) bool prefix (or global) token, None = none; padded: a Python fact, "some pos may be −1"."""

    pos: Tensor
    segment: Tensor | None = None
    mark: Tensor | None = None
    padded: bool = False

    @staticmethod
    def of(tokens: Tokens, length: int | None = None) -> At:
        """The coordinates a stream of tokens states, or 0..T−1. length: T, where a signal does not tell it."""
        pos = tokens.pos
        if pos is None:
            read = tokens.ids if tokens.signal is None else tokens.signal
            pos = torch.arange(read.shape[1] if length is None else length, device=read.device).unsqueeze(0)
        return At(pos, tokens.segment, tokens.mark, tokens.padded)

    def map(self, f: object) -> At:
        """The same coordinates with `f` applied to every tensor."""
        return At(*(None if t is None else f(t) for t in self[:3]), self.padded)

    def rows(self) -> At:
        """Fields as (B|1, 1, T, 1): these tokens ask."""
        return self.map(lambda t: t[:, None, :, None])

    def cols(self) -> At:
        """Fields as (B|1, 1, 1, T): these tokens are asked."""
        return self.map(lambda t: t[:, None, None, :])

    def valid(self) -> Tensor | None:
        """(B|1, T) bool of real tokens, or None when all are."""
        return self.pos >= 0 if self.padded else None
