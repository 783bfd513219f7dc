"""Pairs for embeddings: each text is asked to be nearer to its partner than to the others of its batch (Henderson et al. 2017,
arXiv 1705.00652 §4.4; with itself under another dropout, Gao et al. 2021, SimCSE, arXiv 2104.08821 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import DataError
from ...nn.tokens import Batch, Tokens
from ..examplefile import ExampleFile
from ..tokenfile import PairFile, TokenFile
from .enclosed import Enclosing, Side
from .masked import same_vocabulary
from .pooled import Pooled
from .texts import bare

if TYPE_CHECKING:
    from ...text import Tokenizer


class Partners(Pooled):
    """Two texts per sample, each a row by itself: 2n rows for n samples, the firsts and then their seconds, between the tokens
    that the tokenizer puts around one text.

    sides: both, or the one that is its own partner, over all samples. Longer texts than `context` are cut, `notes` counts
    them; a sample with an empty side is left out, `kept` holds the others. Batches hold texts of about one length.
    """

    def __init__(
        self,
        file: TokenFile | ExampleFile,
        sides: list[Side],
        context: int,
        tokenizer: Tokenizer,
        multiple: int,
        pool: int,
    ) -> None:
        super().__init__(multiple, pool)
        self.file, self.context = file, context
        self._frame = Enclosing(tokenizer, file.special, False, types=True)
        room = self._frame.room(context, 1)
        self.kept = np.flatnonzero(np.minimum.reduce([side.length for side in sides]) > 0)
        long = np.logical_or.reduce([side.length[self.kept] > room for side in sides])
        self._sides = [Side(values, begin[self.kept], np.minimum(length[self.kept], room)) for values, begin, length in sides]
        self.notes = [f"{long.sum()} of {len(self.kept)} texts are longer than {room} tokens: cut"] if long.any() else []
        if empty := len(sides[0].length) - len(self.kept):
            self.notes.append(f"{empty} of {len(sides[0].length)} have an empty side: left out")

    def __len__(self) -> int:
        return len(self.kept)

    def too_short(self, batch: int) -> DataError:
        return DataError(
            f"the corpus is shorter than one batch: {len(self)} texts",
            expected=f"at least {batch} texts", received=f"{len(self)} texts",
            change=f"set the batch to {len(self)} or less, or add texts",
        )  # fmt: skip

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Tokens of both sides, special ones included."""
        return tuple(side.length[indices] + self._frame.extra for side in self._sides)

    def rows(self, indices: np.ndarray) -> Tokens:
        """(2n, T): the firsts of these samples, then their seconds."""
        self.file.check()
        sides = [Side(s.values, s.begin[indices], s.length[indices]) for s in (self._sides[0], self._sides[-1])]
        return self._frame.rows(_joined(sides), None, self.multiple, self.context).tokens


class Contrast(Partners):
    """inputs: 2n rows for n samples, the anchors and then their positives, see Partners; targets: 0 … n − 1, the positive of
    each anchor; weights: (n,) ones.

    data: a PairFile gives its sources and targets. A TokenFile gives each document twice: only dropout tells the two
    apart. The negatives of an anchor are the positives of its micro-batch: another split is another loss.
    """

    def __init__(
        self, data: PairFile | TokenFile, context: int, tokenizer: Tokenizer, *, multiple: int = 1, pool: int = 64
    ) -> None:
        file = data.file if isinstance(data, PairFile) else data
        same_vocabulary(file, tokenizer)
        super().__init__(file, _sides(data), context, tokenizer, multiple, pool)
        if len(self) < 2:
            raise DataError(
                f"contrastive training needs other texts to tell from: {self.file.path} holds {len(self)}",
                expected="at least 2", received=str(len(self)),
                change='say where texts begin: data.split=line or blank, a folder of files, or rows with a text each',
            )  # fmt: skip

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        return Batch(self.rows(indices), torch.arange(len(indices)), torch.ones(len(indices)))


def _sides(data: PairFile | TokenFile) -> list[Side]:
    """Both sides, or the one that is its own partner."""
    if isinstance(data, TokenFile):
        return [Side(data.tokens, *bare(data))]
    return [Side(data.file.tokens, begin, end - begin) for begin, end in (data.sources, data.targets)]


def _joined(sides: list[Side]) -> Side:
    """Some texts of several columns as texts of one."""
    texts = []
    for values, begin, length in sides:
        first = np.cumsum(length) - length  # of each text among those gathered
        texts.append(values[np.repeat(begin - first, length) + np.arange(int(length.sum()))])
    length = np.concatenate([side.length for side in sides])
    return Side(np.concatenate(texts), np.cumsum(length) - length, length)
