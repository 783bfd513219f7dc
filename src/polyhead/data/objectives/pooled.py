"""Samples of unequal length: batches hold some of about one length, padded on the right; by length, never by an id."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch

from ...errors import ConfigError
from ...nn.tokens import Batch, Tokens
from ..order import permute
from .base import Objective


class Pooled(Objective):
    """An objective whose samples differ in length: `pool` batches are sorted together and taken in a random order.

    A subclass supplies `lengths` beside what every objective supplies. multiple: lengths are padded up to one of it.
    """

    def __init__(self, multiple: int = 1, pool: int = 64) -> None:
        if multiple < 1 or pool < 1:
            raise ConfigError("multiple and pool", expected="at least 1", received=f"{multiple} and {pool}")
        self.multiple, self.pool = multiple, pool
        self._memo: dict[tuple[int, int, int, int], np.ndarray] = {}

    @abstractmethod
    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """(B,) tokens of each sample, for each of its sides (source and target, say) one array."""

    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """In the corpus' order; the last batch may be smaller."""
        for at in range(rank * batch, len(self), world * batch):
            yield self.make(np.arange(at, min(at + batch, len(self))), 0, 0)

    def order(self, start: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """As Objective's, but the samples of one batch are of about one length. `count` is the batch size, and
        `start` a multiple of it: slices of pools fall on the batches, also where a batch straddles two epochs."""
        n, at, end = len(self), start, start + count
        epochs: list[int] = []
        parts: list[np.ndarray] = []
        while at < end:
            epoch, place = divmod(at, n)
            pool = max(0, (place - self._head(epoch, count)) // (count * self.pool))
            first = self._pool_start(epoch, pool, count)
            parts.append(self._sorted_pool(seed, epoch, pool, count)[place - first : place - first + end - at])
            epochs += [epoch] * len(parts[-1])
            at += len(parts[-1])
        return np.array(epochs), np.concatenate(parts)

    def _head(self, epoch: int, batch: int) -> int:
        """The samples at an epoch's beginning that complete the last batch of the epoch before."""
        return -epoch * len(self) % batch

    def _pool_start(self, epoch: int, pool: int, batch: int) -> int:
        return self._head(epoch, batch) + pool * batch * self.pool if pool else 0

    def _sorted_pool(self, seed: int, epoch: int, pool: int, batch: int) -> np.ndarray:
        name = (seed, epoch, pool, batch)
        if (known := self._memo.get(name)) is not None:
            return known
        n, head = len(self), self._head(epoch, batch)
        first, last = self._pool_start(epoch, pool, batch), min(n, self._pool_start(epoch, pool + 1, batch))
        members = permute(np.arange(first, last), n, seed, epoch)
        lengths = self.lengths(members)
        members = members[np.lexsort((lengths[0], np.maximum.reduce(lengths)))]
        cuts = [first, *range(first + (head if pool == 0 and head else batch), last, batch), last]
        out, taken = np.empty_like(members), 0
        for i in permute(np.arange(len(cuts) - 1), len(cuts) - 1, seed, epoch, pool, 1).tolist():
            size = cuts[i + 1] - cuts[i]
            out[cuts[i] - first : cuts[i + 1] - first] = members[taken : taken + size]
            taken += size
        self._memo = {**dict(list(self._memo.items())[-3:]), name: out}  # replaced whole: other threads may read
        return out

    def _width(self, lengths: np.ndarray) -> int:
        return -(-int(lengths.max()) // self.multiple) * self.multiple

    def padded_share(self, batch: int, seed: int = 0) -> float:
        """The share of padding among all places of the first epoch's batches, all sides together."""
        places = used = 0
        for step in range(max(1, len(self) // batch)):
            _, indices = self.order(step * batch, batch, seed)
            for lengths in self.lengths(indices):
                places += len(lengths) * self._width(lengths)
                used += int(lengths.sum())
        return 1 - used / places


def padded(ids: np.ndarray, length: np.ndarray, types: np.ndarray | None = None) -> Tokens:
    """(B, W) ids of which each row's first `length` (B,) are real; types: (B, W) token types. No padding, no positions."""
    kinds = None if types is None else torch.from_numpy(types)
    width = ids.shape[1]
    if int(length.min()) == width:
        return Tokens(torch.from_numpy(ids), types=kinds)
    position = np.arange(width)
    pos = np.where(position < length[:, None], position, -1)
    return Tokens(torch.from_numpy(ids), pos=torch.from_numpy(pos), types=kinds, padded=True)
