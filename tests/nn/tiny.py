"""What the unit tests of the axes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from polyhead.nn.at import At


@torch.no_grad()
def shake(module: nn.Module, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Random values everywhere, in fp64, nothing at its neutral start."""
    generator = torch.Generator().manual_seed(seed)
    module.to(dtype)
    for name, t in (*module.named_parameters(), *module.named_buffers()):
        noise = torch.randn(t.shape, generator=generator, dtype=torch.float64) * 0.5
        t.copy_(noise.abs() + 0.5 if name.endswith("var") else noise)
    return module


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def at(*positions: int) -> At:
    return At(torch.tensor([positions]))


def same(a: Tensor, b: Tensor, tolerance: float = 1e-12, **_: Any) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
