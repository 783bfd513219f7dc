"""Next-token prediction: windows of a packed corpus, each token asked for its successor (Bengio et al. 2003)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from ..tokenfile import TokenFile
from .base import Objective, Windows


class Causal(Objective):
    """Windows of `context` inputs with their successors as targets; every batch has the shape (B, context).

    documents=True: a token attends only within its own document (`segment`), positions restart in each, and no
    document's end is asked for the next one's beginning (weight 0). Otherwise documents follow one another as if
    they were one text, with neither positions nor segments in the batch: attention stays free of masks.
    """

    def __init__(self, file: TokenFile, context: int, *, documents: bool = False) -> None:
        if context < 1:
            raise ConfigError("the context must hold a token", expected="at least 1", received=str(context))
        if file.kind != "text":
            raise DataError(
                f"{file.path} holds {file.kind}", expected="text", change="use Seq2Seq, or pack a source of text"
            )
        if len(file) < 2:
            raise DataError(
                f"{file.path} holds {len(file)} token", expected="at least 2", change="add text to the corpus"
            )
        self.file, self.context, self.by_document = file, context, documents
        self._windows = Windows(file, context + 1, context)

    def __len__(self) -> int:
        return self._windows.count

    def too_short(self, batch: int) -> DataError:
        return self._windows.too_short(batch, "the context and one to predict", 1, self.fits())

    def fits(self) -> int:
        return len(self.file) - 1

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        starts = self._windows.starts(indices, epoch, seed)
        return self._batch(starts, None)

    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for starts, skip in self._windows.evaluation(batch, rank, world):
            yield self._batch(starts, skip)

    def _batch(self, starts: np.ndarray, skip: np.ndarray | None) -> Batch:
        rows = self._windows.read(starts)
        inputs = torch.from_numpy(rows[:, :-1].astype(np.int64))
        targets = torch.from_numpy(rows[:, 1:].astype(np.int64))
        weights = torch.ones(inputs.shape, dtype=torch.float32)
        if skip is not None and skip.any():
            weights[torch.arange(inputs.shape[1]) < torch.from_numpy(skip)[:, None]] = 0.0
        if not self.by_document:
            return Batch(Tokens(inputs), targets, weights)
        document, position = (torch.from_numpy(a) for a in self._windows.documents(starts))
        weights *= document[:, 1:] == document[:, :-1]
        tokens = Tokens(inputs, pos=position[:, :-1].contiguous(), segment=document[:, :-1].contiguous())
        return Batch(tokens, targets, weights)
