"""What every objective supplies, and the windows that Causal and Masked cut from a packed corpus.

To add an objective: subclass Objective in a new file of this folder. `make` must be a pure function of its
arguments; resume, ranks, accumulation and prefetch then work without further code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...nn.tokens import Batch
from ..order import BLOCK, key, permuted_block
from ..tokenfile import TokenFile


class Objective(ABC):
    """A corpus seen as n numbered samples per epoch."""

    @abstractmethod
    def __len__(self) -> int:
        """Samples in one epoch, the same in every epoch; 0 when the corpus is too short for one."""

    @abstractmethod
    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """The samples `indices` (B,) of `epoch` (one, or one per sample): the same arguments, the same bits."""

    @abstractmethod
    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """The whole corpus once, in order, nothing counted twice; rank r of w gets the batches r, r + w, …"""

    @abstractmethod
    def too_short(self, batch: int) -> DataError:
        """The error for a corpus with fewer than `batch` samples, with its numbers and the change to make."""

    def fits(self) -> int | None:
        """The longest context that leaves a sample; None where none does, or the context is not what decides."""
        return None

    def order(self, start: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(epochs, indices) of the `count` samples from number `start` of the endless stream: one step's batch."""
        n, at, end = len(self), start, start + count
        epochs: list[int] = []
        parts: list[np.ndarray] = []
        while at < end:
            epoch, place = divmod(at, n)
            block, offset = divmod(place, BLOCK)
            parts.append(permuted_block(n, block, seed, epoch)[offset : offset + end - at])
            epochs += [epoch] * len(parts[-1])
            at += len(parts[-1])
        return np.array(epochs), np.concatenate(parts)


class Cut(NamedTuple):
    """Windows of an evaluation pass. starts: (B,) first token; skip: (B,) leading targets that count for nothing."""

    starts: np.ndarray
    skip: np.ndarray


class Windows:
    """Windows of `span` tokens, `stride` apart, over a packed corpus.

    Each epoch shifts all windows by a phase of its own, so that a token does not always stand at the same place of
    its window; the shift costs at most one window's worth of tokens at the ends of the corpus per epoch.
    """

    def __init__(self, file: TokenFile, span: int, stride: int) -> None:
        n = len(file)
        self.file, self.span, self.stride = file, span, stride
        self.count = 0 if n < span else max(1, (n - span - (stride - 1)) // stride + 1)
        self._phases = min(n - span - (self.count - 1) * stride, stride - 1) + 1
        self.width = min(span, n)  # of a row: a corpus shorter than `span` gives rows of its own length

    def too_short(self, batch: int, need: str, more: int, context: int | None) -> DataError:
        """The error for fewer than `batch` windows. need: what one window takes; more: tokens beside the windows; context:
        the longest that would fit, None: none would."""
        n, width = len(self.file), self.stride
        if self.count == 0:
            return DataError(
                f"the corpus is shorter than one context: {n} tokens", expected=f"at least {self.span} tokens ({need})",
                received=f"{n} tokens", change="add text" if context is None or context < 1 else f"set the context to {context} or less, or add text",
            )  # fmt: skip
        return DataError(
            f"the corpus is shorter than one batch: {self.count} windows of {width} tokens",
            expected=f"at least {batch} windows, about {(batch + 1) * width + more} tokens",
            received=f"{n} tokens", change=f"set the batch to {self.count} or less, use a shorter context, or add text",
        )  # fmt: skip

    def starts(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> np.ndarray:
        """(B,) first token of each window in its epoch."""
        phase = by_epoch(epoch, lambda e: key(seed, e, 0xFA5E) % self._phases)
        return np.asarray(indices, np.int64) * self.stride + phase.astype(np.int64)

    def read(self, starts: np.ndarray) -> np.ndarray:
        """(B, width) ids in the file's own dtype."""
        self.file.check()
        return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(self.file.tokens, self.width)[starts])

    def documents(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, width) document number within its window, and (B, width) position within the document's visible part."""
        bounds = self.file.documents
        at = starts[:, None] + np.arange(self.width)
        document = np.searchsorted(bounds[1:], at, side="right")
        return document - document[:, :1], at - np.maximum(bounds[document], starts[:, None])

    def evaluation(self, batch: int, rank: int, world: int) -> Iterator[Cut]:
        """Covers every target once. The last window is moved back to full length and what it repeats is skipped;
        the last batch is filled with rows that are skipped whole: all batches have one shape."""
        width = self.width
        stride = self.stride - (self.span - width)
        total = len(self.file) - (width - stride)
        count = -(-total // stride)
        for at in range(rank * batch, count, world * batch):
            number = np.arange(at, at + batch)
            ideal = np.minimum(number, count - 1) * stride
            starts = np.minimum(ideal, len(self.file) - width)
            yield Cut(starts, np.where(number < count, ideal - starts, width))


def by_epoch(epoch: int | np.ndarray, value: Callable[[int], int]) -> np.ndarray:
    """`value` of each epoch as uint64: one for all samples where they share an epoch, as in nearly every batch."""
    if isinstance(epoch, np.ndarray) and (epoch != epoch[0]).any():
        return np.array([value(e) for e in epoch.tolist()], np.uint64)
    return np.array([value(int(epoch if isinstance(epoch, int) else epoch[0]))], np.uint64)
