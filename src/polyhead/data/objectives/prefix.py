"""Prefix language modelling: the first part of a window is read in both directions, the rest is written (Raffel et al.
2020, arXiv 1910.10683 §3.2.1; UniLM's sequence-to-sequence mask, Dong et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ...nn.tokens import Batch
from ..order import noise
from .causal import Causal
from .rows import sample_keys


class Prefix(Causal):
    """Windows of `context` inputs and their successors, as Causal's; the first tokens of each are its prefix.

    `mark` is True on the prefix, which the pattern "prefix" shows to all tokens. Its length is drawn for each sample and
    epoch, 1 to `context`, each alike, so that a token at least is left to write (T5's `random_prefix_noise_mask`). Weights are 1
    from the last token of the prefix on, which is asked for the first token behind it, and 0 before, where the answer is in
    sight. documents=True: each document of a window has a prefix of its own.
    """

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        batch = self._batch(self._windows.starts(indices, epoch, seed), None)
        return self._split(batch, batch.weights, sample_keys(indices, epoch, seed))

    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Every window once, its prefix the same at every call; nothing is asked for twice."""
        for starts, skip in self._windows.evaluation(batch, rank, world):
            plain, whole = self._batch(starts, skip), self._batch(starts, None)
            yield self._split(plain, whole.weights, noise(starts.astype(np.uint64)))

    def _split(self, batch: Batch, asked: torch.Tensor, keys: np.ndarray) -> Batch:
        """asked: (B, T), 1 where a token has a successor to ask for."""
        rows, width = asked.shape
        if not self.by_document:
            place = torch.arange(width).expand(rows, -1)
            length = torch.from_numpy(1 + (noise(keys) % np.uint64(width)).astype(np.int64))[:, None]
        else:
            assert batch.inputs.pos is not None and batch.inputs.segment is not None
            place, document = batch.inputs.pos, batch.inputs.segment
            targets = torch.zeros(rows, width, dtype=torch.long).scatter_add_(1, document, asked.long()).numpy()
            random = noise(keys[:, None] + np.arange(width, dtype=np.uint64))
            drawn = 1 + (random % np.maximum(targets, 1).astype(np.uint64)).astype(np.int64)
            length = torch.from_numpy(drawn).gather(1, document)
        inputs = batch.inputs._replace(mark=place < length)
        return batch._replace(inputs=inputs, weights=batch.weights * (place >= length - 1))
