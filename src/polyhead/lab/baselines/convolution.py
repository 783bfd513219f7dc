"""A convolutional layer to compare attention with: x (B, T, D) → (B, T, D); position t reads its neighbours alone. And a model
of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Convolution(nn.Module):
    """`kernel` neighbours, itself among them, `dilation` positions apart: half before and half after it (kernel odd), or, if
    causal, all before it (van den Oord et al. 2016, arXiv 1609.03499)."""

    def __init__(self, width: int, kernel: int, dilation: int = 1, causal: bool = False, seed: int = 0) -> None:
        super().__init__()
        reach = dilation * (kernel - 1)
        self.pad = (reach, 0) if causal else (reach // 2, reach // 2)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv1d(width, width, kernel, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x.transpose(1, 2), self.pad)).transpose(1, 2)


class ConvolutionModel(nn.Module):
    """Token ids (B, T) → logits (B, T, output): an embedding, causal ReLU convolutions of `kernel` tokens that are added to what
    they read, dilated 1, 2, 4 … or not, and a linear map. Initial values of torch.nn."""

    def __init__(self, vocab: int, width: int, layers: int, *, kernel: int = 3, dilated: bool = False, output: int | None = None, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed = nn.Embedding(vocab, width)
            self.head = nn.Linear(width, output or vocab)
        steps = [2**layer if dilated else 1 for layer in range(layers)]
        self.layers = nn.ModuleList(Convolution(width, kernel, step, causal=True, seed=1000 * seed + layer) for layer, step in enumerate(steps))
        self.reach = 1 + (kernel - 1) * sum(steps)  # tokens that one position reads, itself among them

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = x + layer(x).relu()
        return self.head(x)
