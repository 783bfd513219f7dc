"""Masked language modelling: some tokens are hidden and asked for (Devlin et al. 2019; masks drawn anew each
epoch, Liu et al. 2019); with the pair tasks of BERT and ALBERT beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch
from ..tokenfile import TokenFile
from .masking import Masking
from .pooled import Pooled
from .rows import PairRows, Rows, WindowRows

if TYPE_CHECKING:
    from ...text import Tokenizer


class Masked(Pooled):
    """Windows of `context` tokens, `<cls>` and `<sep>` (or `<bos>` and `<eos>`) included where the tokenizer has them.

    rate: the share of the ordinary tokens that are asked for; only those carry weight. split: the shares of them that
    are replaced by `<mask>`, by a random ordinary token, and left as they are. unit: what is hidden together, "token",
    "word" or "span" (`Masking`). Special tokens are never chosen and never drawn. What is chosen depends on (seed, epoch,
    sample, place) alone. A short window may by chance have nothing chosen: all its weights are 0. documents=True:
    attention stays within each document.

    pairing: a second question about two segments (`PairRows`), answered in `Batch.labels`: "next", does the second follow
    the first (0) or come from another document (1); "order", are they in order (0) or swapped (1). short: with
    a pairing, the share of texts that are cut short (BERT's code has 0.1).

    targets are the original ids at every place, special tokens and all: replaced-token detection needs nothing else.
    """

    def __init__(
        self,
        file: TokenFile,
        context: int,
        tokenizer: Tokenizer,
        *,
        rate: float = 0.15,
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        unit: str = "token",
        pairing: str | None = None,
        short: float = 0.1,
        documents: bool = False,
    ) -> None:
        super().__init__()
        _check(file, tokenizer, pairing, documents)
        self.masking = Masking(tokenizer, rate, split, unit)
        self.file, self.context, self.by_document = file, context, documents
        self._rows: WindowRows | PairRows
        if pairing is None:
            self._rows = WindowRows(file, context, tokenizer, documents, unit != "token")
        else:
            self._rows = PairRows(file, context, tokenizer, pairing, short)

    def __len__(self) -> int:
        return len(self._rows)

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Tokens of each sample, special ones included."""
        return self._rows.lengths(indices)

    def too_short(self, batch: int) -> DataError:
        return self._rows.too_short(batch)

    def fits(self) -> int | None:
        return self._rows.fits()

    def order(self, start: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows are of one length and come as they do; pairs of segments by length."""
        ordered = super().order if self._rows.ragged else super(Pooled, self).order
        return ordered(start, count, seed)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        return self._batch(self._rows.make(indices, epoch, seed))

    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Every token stands once where it may be chosen; the choice is the same at every call."""
        for rows in self._rows.evaluation(batch, rank, world):
            yield self._batch(rows)

    def _batch(self, rows: Rows) -> Batch:
        chosen, fate = self.masking.choose(rows.ids, rows.keys, rows.allowed, rows.breaks)
        if rows.counted is not None:
            chosen &= rows.counted
        hidden = torch.from_numpy(self.masking.hide(rows.ids, rows.keys, chosen, fate))
        labels = None if rows.labels is None else torch.from_numpy(rows.labels)
        weights = torch.from_numpy(chosen.astype(np.float32))
        return Batch(rows.tokens._replace(ids=hidden), torch.from_numpy(rows.ids), weights, labels=labels)


def _check(file: TokenFile, tokenizer: Tokenizer, pairing: str | None, documents: bool) -> None:
    if file.kind != "text":
        raise DataError(f"{file.path} holds {file.kind}", expected="text", change="pack a source of text")
    same_vocabulary(file, tokenizer)
    if pairing is not None and documents:
        raise ConfigError(
            "a pair task asks about two documents, which must see each other", expected="documents=False",
            received=f"documents=True with pairing={pairing!r}", change="leave out one of them",
        )  # fmt: skip


def same_vocabulary(file: TokenFile, tokenizer: Tokenizer) -> None:
    if tokenizer.vocab_size != file.vocab_size:
        raise DataError(
            f"{file.path} was packed with another tokenizer",
            expected=f"a vocabulary of {file.vocab_size}",
            received=f"{tokenizer.vocab_size}",
            change="pack the corpus again with this tokenizer",
        )
