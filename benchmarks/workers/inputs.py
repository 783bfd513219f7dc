"""What both sides of a comparison of forward passes share: the same token ids, and a sample of the answer."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def ids(batch: int, tokens: int, vocabulary: int) -> Tensor:
    """(batch, tokens) ids scattered over the vocabulary, by arithmetic: the same under every version of torch. The
    first four ids, where special tokens are, do not occur."""
    return (torch.arange(batch * tokens) * 7919 % (vocabulary - 4) + 4).view(batch, tokens)


def sample(answer: Tensor) -> list[float]:
    """The first 16 numbers of the answer's last row: what tells whether two packages computed the same."""
    return answer.reshape(-1, answer.shape[-1])[-1, :16].tolist()
