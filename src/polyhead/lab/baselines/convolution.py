"""A convolutional layer to compare attention with: x (B, T, D) → (B, T, D); position t reads its neighbours alone."""

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
