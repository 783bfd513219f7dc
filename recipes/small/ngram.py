"""The peer of autocomplete: an interpolated Kneser–Ney trigram (Kneser & Ney 1995; Chen & Goodman 1999, §3), over tables, for
vocabularies of a few hundred words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DISCOUNT = 0.75


class Trigram:
    """counted: documents as rows of ids below `vocab`; each begins behind two of `begin`."""

    def __init__(self, documents: Sequence[Sequence[int]], vocab: int, begin: int) -> None:
        counts = np.zeros((vocab, vocab, vocab), np.int32)
        for row in documents:
            ids = np.array([begin, begin, *row])
            np.add.at(counts, (ids[:-2], ids[1:-1], ids[2:]), 1)
        self.begin = begin
        ones = (counts > 0).sum(0)  # of how many words each pair is the end: what a pair is worth when it continues
        first = np.full(vocab, 1.0 / vocab)
        self.one = _interpolated((ones > 0).sum(0)[None], first[None])[0]
        self.two = _interpolated(ones, self.one[None])
        self.three = counts

    def after(self, row: Sequence[int]) -> np.ndarray:
        """(n, vocab): the probability of each word at every place of a document, given those before it."""
        ids = np.array([self.begin, self.begin, *row])
        return _interpolated(self.three[ids[:-2], ids[1:-1]], self.two[ids[1:-1]])


def _interpolated(counts: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """(n, vocab) counts with DISCOUNT taken off each and given to the lower order, (n or 1, vocab)."""
    total = counts.sum(1, keepdims=True)
    left = DISCOUNT * (counts > 0).sum(1, keepdims=True)
    mixed = (np.maximum(counts - DISCOUNT, 0) + left * lower) / np.maximum(total, 1)
    return np.where(total > 0, mixed, lower)
