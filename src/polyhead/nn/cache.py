"""The cache of a decoder: what earlier tokens left behind, so that a step costs one token.

A `Line` holds coordinates and decides slots, one per distinct capacity, shared by layers; a `Store` holds the entries of
one executed layer. The slot of a token is its position modulo the capacity, per row; padding goes to one extra bin slot;
the position in every slot is remembered. So left padding, unequal lengths, ring wrap and rollback need no rules of their
own: masks come from the pattern on remembered positions plus "position ≥ 0".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .at import At
from .heads import Entry


class Plan(NamedTuple):
    """Where this call's tokens go and which keys they see; made outside any compiled graph."""

    slots: Tensor  # (B|1, T) long; the bin for padding and for tokens a ring has already dropped
    keys: At
    fresh: bool  # the keys are the queries themselves
    packed: bool  # the keys are consecutive positions, none missing
    mode: str  # "fresh": see the new; "append": write, then see the slots; "chunk": see old slots and the new, then write
    live: int  # append: slots worth looking at


class Line:
    """Coordinates of `capacity` slots for `batch` rows. ring: old tokens are overwritten (windows)."""

    def __init__(self, batch: int, capacity: int, ring: bool, device: torch.device | str = "cpu") -> None:
        self.capacity, self.ring = capacity, ring
        self.pos = torch.full((batch, capacity + 1), -1, dtype=torch.long, device=device)
        self.mark: Tensor | None = None  # (B, capacity + 1) bool: global and prefix tokens, all of the first call
        self.count = 0  # one more than the largest position seen
        self.even = True  # every row holds the same positions, none missing
        self.level = True  # every row is at the same position (a rolled-back ring is level, not even)

    def advance(self, q: At) -> Plan:
        """Plan the call for tokens at q; q.pos (1, T) means all rows alike."""
        if q.segment is not None:
            raise ValueError("a cache holds one document per row: expected no segments; generate documents as rows")
        length, first = q.pos.shape[1], self.count == 0
        if q.mark is not None and not first:
            raise ValueError("marked tokens must lie in the first call of a cache: expected no marks in a later one")
        start = self.count
        self.level = self.level and q.pos.shape[0] == 1 and not q.padded
        self.even = self.even and self.level
        self.count = max(self.count, start + length if self.even else int(q.pos.max()) + 1)
        if not self.ring and self.count > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens: expected at most that, got {self.count}")
        slots = self._slots(q)
        mode = "fresh" if first else "chunk" if self.ring and length > 1 else "append"
        live = min(self.count, self.capacity)
        keys = q if first else self._keys(q, mode, slots, live)
        self.pos.scatter_(1, slots.expand(self.pos.shape[0], -1), q.pos.expand(self.pos.shape[0], -1))
        self.pos[:, self.capacity] = -1
        self._remember_marks(q, slots)
        if mode == "append":
            keys = self._seen(live)
        return Plan(slots, keys, first, self.even and mode == "append", mode, live)

    def _slots(self, q: At) -> Tensor:
        slots = q.pos.remainder(self.capacity)
        if q.padded:
            slots = slots.masked_fill(q.pos < 0, self.capacity)
        if self.ring and q.pos.shape[1] > self.capacity:
            last = q.pos.max(1, keepdim=True).values
            slots = slots.masked_fill(q.pos <= last - self.capacity, self.capacity)
        return slots

    def _keys(self, q: At, mode: str, slots: Tensor, live: int) -> At:
        if mode != "chunk":
            return q
        rows = max(self.pos.shape[0] if not self.even else 1, q.pos.shape[0])
        old, mark = self.pos[:rows, : self.capacity], None
        if self.mark is not None:
            fresh = torch.zeros(self.mark.shape[0], q.pos.shape[1], dtype=torch.bool, device=old.device)
            mark = torch.cat([self.mark[:, : self.capacity], fresh], 1)
        return At(torch.cat([old, q.pos.expand(rows, -1)], 1), mark=mark, padded=True)

    def _remember_marks(self, q: At, slots: Tensor) -> None:
        if q.mark is not None:
            self.mark = torch.zeros_like(self.pos, dtype=torch.bool)
        if self.mark is not None:
            rows = self.mark.shape[0]
            new = q.mark if q.mark is not None else torch.zeros(1, q.pos.shape[1], dtype=torch.bool, device=slots.device)
            self.mark.scatter_(1, slots.expand(rows, -1), new.expand(rows, -1))

    def _seen(self, live: int) -> At:
        pos = self.pos[:1, :live] if self.even else self.pos[:, :live]
        return At(pos, mark=None if self.mark is None else self.mark[:, :live], padded=not self.even)

    def reorder(self, index: Tensor) -> None:
        self.pos = self.pos.index_select(0, index)
        self.mark = None if self.mark is None else self.mark.index_select(0, index)

    def truncate(self, length: int) -> None:
        """Forget positions ≥ length. A ring then has holes and keeps its position test."""
        self.even = self.even and not self.ring
        self.pos.masked_fill_(self.pos >= length, -1)
        self.count = min(self.count, length)


class Store:
    """Entries of one executed layer: tensors (B, n_i, capacity + 1, d_i), zeros at first, for a masked NaN still counts."""

    def __init__(
        self, batch: int, capacity: int, shapes: tuple[tuple[int, int], ...], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.slots = [torch.zeros(batch, n, capacity + 1, d, dtype=dtype, device=device) for n, d in shapes]

    def update(self, entry: Entry, plan: Plan) -> Entry:
        """Write this call's entry and return what its queries see."""
        if plan.mode == "fresh":
            self._write(entry, plan.slots)
            return entry
        if plan.mode == "chunk":
            seen = tuple(torch.cat([s[:, :, :-1], e], 2) for s, e in zip(self.slots, entry, strict=True))
            self._write(entry, plan.slots)
            return seen
        self._write(entry, plan.slots)
        return tuple(s[:, :, : plan.live] for s in self.slots)

    def _write(self, entry: Entry, slots: Tensor) -> None:
        for store, new in zip(self.slots, entry, strict=True):
            if slots.shape[0] == 1:
                store.index_copy_(2, slots[0], new.to(store.dtype))
            else:
                index = slots[:, None, :, None].expand(-1, store.shape[1], -1, store.shape[3])
                store.scatter_(2, index, new.to(store.dtype))

    def reorder(self, index: Tensor) -> None:
        self.slots = [s.index_select(0, index) for s in self.slots]


class Running(Store):
    """What a layer that sums all tokens holds of them: one state per row, (B, …), in place of slots; its layer writes it."""

    def __init__(self, batch: int, shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> None:
        self.slots = [torch.zeros(batch, *shape, dtype=dtype, device=device)]


class Cache:
    """Everything a decoder remembers between calls: lines by block kind, stores by executed layer, cross entries."""

    def __init__(self, lines: dict[str, Line], stores: list[Store], length: int) -> None:
        self.lines, self.stores, self.length = lines, stores, length
        self.memory: list[Entry | None] | None = None  # per executed layer: keys and values of the source; None = it does not look
        self.memory_at: At | None = None

    @property
    def count(self) -> int:
        """Tokens remembered (the longest row's)."""
        return max((line.count for line in self.lines.values()), default=0)

    @property
    def level(self) -> bool:
        """Whether all rows stand at one position, so that a call need not say where its tokens are."""
        return all(line.level or line.pos.shape[0] == 1 for line in self.lines.values())

    def reorder(self, index: Tensor) -> None:
        """Row i becomes what row index[i] was: beams, finished rows."""
        for line in set(self.lines.values()):
            line.reorder(index)
        for store in self.stores:
            store.reorder(index)
        if self.memory is not None:
            self.memory = [
                None if entry is None else tuple(t.index_select(0, index) for t in entry) for entry in self.memory
            ]
        if self.memory_at is not None:
            self.memory_at = self.memory_at.map(lambda t: t if t.shape[0] == 1 else t.index_select(0, index))

    def truncate(self, length: int) -> None:
        """Roll back to `length` positions; a ring only as far as its slack. ValueError where layers hold sums."""
        if any(isinstance(store, Running) for store in self.stores):
            raise ValueError("sums over tokens cannot be rolled back: expected attention that keeps its keys (mixing linear and performer do not)")
        for line in set(self.lines.values()):
            line.truncate(length)

    def bytes(self) -> int:
        stores = sum(t.numel() * t.element_size() for s in self.stores for t in s.slots)
        return stores + sum(t.numel() * t.element_size() for entry in self.memory or [] for t in entry or ())
