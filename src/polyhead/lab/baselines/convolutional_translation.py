"""Convolutional sequence to sequence, with attention in each decoder layer (ConvS2S, Gehring et al. 2017, arXiv 1705.03122) or
with none, so that a target position knows of the source only what stands near it (as ByteNet, Kalchbrenner et al. 2016, arXiv
1610.10099, but for its unfolding over lengths)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HALF = 0.5**0.5  # a sum of two keeps its variance


class Gated(nn.Module):
    """(B, T, D) → (B, T, D): a convolution of three places, `dilation` apart, gated (GLU, Dauphin et al. 2017, arXiv 1612.08083).
    Half before and half after a place, or, if causal, all up to it."""

    def __init__(self, width: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.pad = (2 * dilation, 0) if causal else (dilation, dilation)
        self.conv = nn.Conv1d(width, 2 * width, 3, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.conv(F.pad(x.transpose(1, 2), self.pad)), 1).transpose(1, 2)


class ConvolutionalTranslator(nn.Module):
    """Source ids (B, S) and the target so far (B, T) → logits (B, T, vocab), T at most S without attention. Learned positions;
    layers dilated 1, 2, 4 … or not. Rows have no padding. Initial values of torch.nn."""

    def __init__(self, vocab: int, width: int, layers: int, length: int, *, attend: bool, dilated: bool = False, seed: int = 0) -> None:
        super().__init__()
        steps = [2**layer if dilated else 1 for layer in range(layers)]
        self.reach = sum(steps)  # source places on either side that one target position knows of, without attention
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed, self.place = nn.Embedding(vocab, width), nn.Embedding(length, width)
            self.reader = nn.ModuleList(Gated(width, step, causal=False) for step in steps)
            self.writer = nn.ModuleList(Gated(width, step, causal=True) for step in steps)
            self.ask = nn.ModuleList(nn.Linear(width, width) for _ in steps if attend)
            self.back = nn.ModuleList(nn.Linear(width, width) for _ in steps if attend)
            self.head = nn.Linear(width, vocab)

    def _embedded(self, ids: Tensor) -> Tensor:
        return self.embed(ids) + self.place.weight[: ids.shape[1]]

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        read = self._embedded(source)
        z = read
        for layer in self.reader:
            z = (z + layer(z)) * HALF
        begun = self._embedded(target)
        x = begun
        for index, layer in enumerate(self.writer):
            h = layer(x)
            if self.ask:
                asked = (self.ask[index](h) + begun) * HALF
                weights = (asked @ z.transpose(1, 2)).softmax(-1)
                h = (h + self.back[index](weights @ (z + read)) * source.shape[1] ** 0.5 * HALF) * HALF
            x = (x + h) * HALF
        return self.head(x if self.ask else x + z[:, : x.shape[1]])
