"""Pairs for contrastive training: each text is asked to be nearer to its partner than to the others of its batch (Henderson
et al. 2017, arXiv 1705.00652 §4.4; with itself under another dropout, Gao et al. 2021, SimCSE, arXiv 2104.08821 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import DataError
from ...nn.tokens import Batch
from ..tokenfile import PairFile, TokenFile
from .enclosed import Enclosing, Side
from .masked import same_vocabulary
from .pooled import Pooled
from .texts import bare

if TYPE_CHECKING:
    from ...text import Tokenizer


class Contrast(Pooled):
    """inputs: 2n rows for n samples, the anchors and then their positives, between the tokens that the tokenizer puts around
    one text; targets: 0 … n − 1, the positive of each anchor; weights: (n,) ones.

    data: a PairFile gives its sources and targets. A TokenFile gives each document twice: only dropout tells the two
    apart. Longer texts than `context` are cut, `notes` counts them; a sample with an empty side is left out. Batches hold texts
    of about one length. The negatives of an anchor are the positives of its micro-batch: another split is another loss.
    """

    def __init__(
        self, data: PairFile | TokenFile, context: int, tokenizer: Tokenizer, *, multiple: int = 1, pool: int = 64
    ) -> None:
        super().__init__(multiple, pool)
        self.file, self.context = data.file if isinstance(data, PairFile) else data, context
        same_vocabulary(self.file, tokenizer)
        self._frame = Enclosing(tokenizer, self.file.special, False, types=True, marks=False)
        room = self._frame.room(context, 1)
        sides = _sides(data)
        kept = np.flatnonzero(np.minimum.reduce([length for _, length in sides]) > 0)
        self._sides = [(begin[kept], np.minimum(length[kept], room)) for begin, length in sides]
        long = np.logical_or.reduce([length[kept] > room for _, length in sides])
        self.notes = [f"{long.sum()} of {len(kept)} texts are longer than {room} tokens: cut"] if long.any() else []
        if empty := len(sides[0][0]) - len(kept):
            self.notes.append(f"{empty} of {len(sides[0][0])} have an empty side: left out")
        if len(self) < 2:
            raise DataError(
                f"contrastive training needs other texts to tell from: {self.file.path} holds {len(self)}",
                expected="at least 2", received=str(len(self)),
                change='say where texts begin: split="line" or "blank", a folder of files, or rows with a text each',
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._sides[0][0])

    def too_short(self, batch: int) -> DataError:
        return DataError(
            f"the corpus is shorter than one batch: {len(self)} texts",
            expected=f"at least {batch} texts", received=f"{len(self)} texts",
            change=f"set the batch to {len(self)} or less, or add texts",
        )  # fmt: skip

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Tokens of both sides, special ones included."""
        return tuple(length[indices] + self._frame.extra for _, length in self._sides)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        self.file.check()
        begin, length = (np.concatenate([side[i][indices] for side in (self._sides[0], self._sides[-1])]) for i in (0, 1))
        rows = self._frame.rows(Side(self.file.tokens, begin, length), None, self.multiple, self.context)
        return Batch(rows.tokens, torch.arange(len(indices)), torch.ones(len(indices)))


def _sides(data: PairFile | TokenFile) -> list[tuple[np.ndarray, np.ndarray]]:
    """(first token, tokens) of both sides, or of the one that is its own partner."""
    if isinstance(data, TokenFile):
        return [bare(data)]
    return [(begin, end - begin) for begin, end in (data.sources, data.targets)]
