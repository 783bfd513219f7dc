"""Masked language modelling: some tokens are hidden and asked for (Devlin et al. 2019; masks drawn anew each
epoch, Liu et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from ..order import key, noise
from ..tokenfile import TokenFile
from .base import Objective, Windows, by_epoch

if TYPE_CHECKING:
    from ...text import Tokenizer

_BITS = 24
_CHOOSE, _REPLACE = 0x3A5C, 0x91D7


class Masked(Objective):
    """Windows of `context` tokens, `<cls>` and `<sep>` (or `<bos>` and `<eos>`) included where the tokenizer has them.

    rate: the chance of each ordinary token to be asked for; only those carry weight. split: the shares of them that
    are replaced by `<mask>`, by a random ordinary token, and left as they are. Special tokens are never chosen and
    never drawn. What is chosen depends on (seed, epoch, sample, place) alone. A short window may by chance have
    nothing chosen: all its weights are 0. documents=True: attention stays within each document.
    """

    def __init__(
        self,
        file: TokenFile,
        context: int,
        tokenizer: Tokenizer,
        *,
        rate: float = 0.15,
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        documents: bool = False,
    ) -> None:
        first = tokenizer.bos if tokenizer.cls is None else tokenizer.cls
        last = tokenizer.eos if tokenizer.sep is None else tokenizer.sep
        self._before = [] if first is None else [first]
        self._after = [] if last is None else [last]
        body = context - len(self._before) - len(self._after)
        if body < 1:
            raise ConfigError(
                "the context leaves no room for text", expected=f"more than {context - body}", received=str(context)
            )
        self.file, self.context, self.by_document = file, context, documents
        self.rate, self.split, self._mask = rate, split, _check(file, tokenizer, rate, split)
        self._is_special = np.zeros(file.vocab_size, bool)
        self._is_special[[i for i in file.special.values() if i < file.vocab_size]] = True
        self._ordinary = np.flatnonzero(~self._is_special)
        self._windows = Windows(file, body, body)

    def __len__(self) -> int:
        return self._windows.count

    def too_short(self, batch: int) -> DataError:
        special = self.context - self._windows.span
        return self._windows.too_short(batch, f"the context less {special} special tokens", 0, len(self.file) + special)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        indices = np.asarray(indices, np.int64)
        rows = noise(by_epoch(epoch, lambda e: key(seed, e, _CHOOSE)) + indices.astype(np.uint64))
        return self._batch(self._windows.starts(indices, epoch, seed), rows, None)

    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Every token stands once in a window where it may be chosen; the choice is the same at every call."""
        for starts, skip in self._windows.evaluation(batch, rank, world):
            yield self._batch(starts, noise(starts.astype(np.uint64)), skip)

    def _batch(self, starts: np.ndarray, row_keys: np.ndarray, skip: np.ndarray | None) -> Batch:
        body = self._windows.read(starts).astype(np.int64)
        random = noise(row_keys[:, None] + np.arange(body.shape[1], dtype=np.uint64))
        chosen = (random & np.uint64((1 << _BITS) - 1) < np.uint64(self.rate * (1 << _BITS))) & ~self._is_special[body]
        if skip is not None:
            chosen &= np.arange(body.shape[1]) >= skip[:, None]
        around = self._around(body)
        trained = np.zeros(around.shape, np.float32)
        trained[:, len(self._before) : len(self._before) + body.shape[1]] = chosen
        ids = torch.from_numpy(self._around(self._hide(body, chosen, random)))
        targets, weights = torch.from_numpy(around), torch.from_numpy(trained)
        if not self.by_document:
            return Batch(Tokens(ids), targets, weights)
        return Batch(self._segmented(ids, starts), targets, weights)

    def _hide(self, body: np.ndarray, chosen: np.ndarray, random: np.ndarray) -> np.ndarray:
        places = np.flatnonzero(chosen)
        random = random.ravel()[places]
        fate = (random >> np.uint64(64 - _BITS)).astype(np.float64) / (1 << _BITS)
        to_mask, to_random = fate < self.split[0], fate < self.split[0] + self.split[1]
        drawn = self._ordinary[(noise(random ^ np.uint64(_REPLACE)) % np.uint64(len(self._ordinary))).astype(np.int64)]
        flat = body.ravel()
        flat[places] = np.where(to_mask, self._mask, np.where(to_random, drawn, flat[places]))
        return body

    def _around(self, body: np.ndarray) -> np.ndarray:
        left, right = len(self._before), len(self._after)
        out = np.empty((len(body), left + body.shape[1] + right), np.int64)
        out[:, :left], out[:, left + body.shape[1] :] = self._before, self._after
        out[:, left : left + body.shape[1]] = body
        return out

    def _segmented(self, ids: torch.Tensor, starts: np.ndarray) -> Tokens:
        document, position = self._windows.documents(starts)
        left, right = len(self._before), len(self._after)
        # <cls> belongs to the window's first document and <sep> to its last
        segment = np.concatenate([document[:, :left], document, document[:, document.shape[1] - right :]], 1)
        position = position + np.where(document == 0, left, 0)
        pos = np.concatenate([position[:, :left] * 0, position, position[:, position.shape[1] - right :] + 1], 1)
        return Tokens(ids, pos=torch.from_numpy(pos), segment=torch.from_numpy(segment))


def _check(file: TokenFile, tokenizer: Tokenizer, rate: float, split: tuple[float, float, float]) -> int:
    """The id of <mask>, after all settings were found to make sense."""
    if file.kind != "text":
        raise DataError(f"{file.path} holds {file.kind}", expected="text", change="pack a source of text")
    if tokenizer.mask is None:
        raise ConfigError(
            "masked training needs a tokenizer with a <mask> token",
            received=f"a {tokenizer.kind} tokenizer without one",
            change="train the tokenizer with its default special tokens",
        )
    if tokenizer.vocab_size != file.vocab_size:
        raise DataError(
            f"{file.path} was packed with another tokenizer",
            expected=f"a vocabulary of {file.vocab_size}",
            received=f"{tokenizer.vocab_size}",
            change="pack the corpus again with this tokenizer",
        )
    if not 0 < rate < 1:
        raise ConfigError("the masking rate is a share", expected="between 0 and 1", received=str(rate))
    if len(split) != 3 or min(split) < 0 or abs(sum(split) - 1) > 1e-6:
        raise ConfigError(
            "the split of the chosen tokens must be three shares (mask, random, kept)",
            expected="non-negative numbers with the sum 1",
            received=str(split),
        )
    return tokenizer.mask
