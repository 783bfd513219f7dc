"""Encoded examples that never were on a disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SPECIAL = dict(pad=0, bos=1, eos=2)


class Packed:
    """The interface of `ExampleFile` over arrays in memory."""

    path, fingerprint, vocab_size, bytes = "packed", "", 1000, 0

    def __init__(self, kind: str, arrays: dict[str, Any], facts: dict[str, Any] | None = None) -> None:
        self.kind, self.special, self.facts, self.notes, self._arrays = kind, dict(SPECIAL), facts or {}, [], arrays

    def ragged(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._arrays[name]

    def array(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def check(self) -> None:
        pass


def ragged(rows: Sequence[Sequence[int]], dtype: type = np.uint16) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return np.array([n for row in rows for n in row], dtype), offsets


def chats_of(rows: Sequence[tuple[Sequence[int], Sequence[int]]], kind: str = "chat") -> Packed:
    return Packed(kind, {"text": ragged([a for a, _ in rows]), "trained": ragged([b for _, b in rows], np.uint8)})


def preferences_of(rows: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]]) -> Packed:
    return Packed("preferences", {name: ragged([row[i] for row in rows]) for i, name in enumerate(("prompt", "chosen", "rejected"))})


def pictures_of(images: np.ndarray, labels: Sequence[int], names: Sequence[str]) -> Packed:
    """images: (n, H, W, C) uint8."""
    return Packed("images", {"image": images, "label": np.array(labels, np.int64)}, {"labels": list(names)})
