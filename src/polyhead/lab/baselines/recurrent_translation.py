"""Recurrent sequence to sequence: all that the decoder knows of the source is one vector (Cho et al. 2014, arXiv 1406.1078;
Sutskever et al. 2014, arXiv 1409.3215), or it attends to all of the encoder's states besides (Bahdanau et al. 2015, arXiv
1409.0473; scores and place as in Luong et al. 2015, arXiv 1508.04025, "general")."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RecurrentTranslator(nn.Module):
    """Source ids (B, S) and the target so far (B, T) → logits (B, T, vocab). A GRU reads the source both ways, another writes,
    begun from one vector made of the reader's two last states. Rows have no padding. Initial values of torch.nn."""

    def __init__(self, vocab: int, width: int, attend: bool, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed = nn.Embedding(vocab, width)
            self.reader = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
            self.bridge = nn.Linear(width, width)
            self.writer = nn.GRU(width, width, batch_first=True)
            self.score = nn.Linear(width, width, bias=False) if attend else None
            self.mix = nn.Linear(2 * width if attend else width, width)
            self.head = nn.Linear(width, vocab)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        states, last = self.reader(self.embed(source))
        begin = self.bridge(last.transpose(0, 1).flatten(1)).tanh()
        x = self.writer(self.embed(target), begin.unsqueeze(0))[0]
        if self.score is not None:
            weights = (self.score(x) @ states.transpose(1, 2)).softmax(-1)
            x = torch.cat([x, weights @ states], -1)
        return self.head(self.mix(x).tanh())
