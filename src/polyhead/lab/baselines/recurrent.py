"""Recurrent layers to compare attention with: an LSTM (Hochreiter & Schmidhuber 1997), a GRU (Cho et al. 2014, arXiv
1406.1078) and a plain tanh network (Elman 1990), as torch.nn has them. x (B, T, D) → (B, T, D); position t reads positions 0..t, one after another.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Cell = Literal["lstm", "gru", "rnn"]
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
KINDS: dict[Cell, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Recurrent(nn.Module):
    """`layers` recurrent layers of one width, without residuals; initial values of torch.nn, drawn from `seed`."""

    def __init__(self, width: int, layers: int = 1, cell: Cell = "lstm", seed: int | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            self.cells = KINDS[cell](width, width, layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x)[0]

    def last(self, x: Tensor) -> Tensor:
        """(B, D): all that the top layer has kept of x once it has read it."""
        return self.forward(x)[:, -1]


class RecurrentModel(nn.Module):
    """Token ids (B, T) → logits (B, T, output): an embedding, recurrent layers, a linear map."""

    def __init__(
        self, vocab: int, width: int, layers: int = 1, cell: Cell = "lstm", *, output: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed = nn.Embedding(vocab, width)
            self.cells = Recurrent(width, layers, cell)
            self.head = nn.Linear(width, output or vocab)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cells(self.embed(ids)))
