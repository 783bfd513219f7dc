"""Weights beside weights, by the names that every model of one architecture has here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .measures import worst


@dataclass(frozen=True)
class Weights:
    """total: tensors compared; differing: names of those whose bits differ; relative: the largest difference over the
    tensor's root mean square; values: how many numbers differ. rounded: the dtype both were rounded to first."""

    total: int
    differing: tuple[str, ...] = ()
    relative: float = 0.0
    values: int = 0
    rounded: str | None = None

    @property
    def equal(self) -> bool:
        return not self.differing

    def __str__(self) -> str:
        after = f" after rounding to {self.rounded}" if self.rounded else ""
        if self.equal:
            return f"{self.total:,} tensors, equal bit for bit{after}"
        few = ", ".join(self.differing[:3]) + (f" and {len(self.differing) - 3:,} more" if len(self.differing) > 3 else "")
        numbers = f"{self.values:,} number" + "s" * (self.values != 1)
        return f"{len(self.differing):,} of {self.total:,} tensors differ{after}: {few} ({numbers}, by {self.relative:.1e} of the tensor's size at most)"

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"equal": self.equal}


def compare_weights(a: Mapping[str, Tensor], b: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> Weights | None:
    """None where the names or shapes are not the same: two architectures. dtype: both are rounded to it first."""
    if {name: t.shape for name, t in a.items()} != {name: t.shape for name, t in b.items()}:
        return None
    differing, relative, values = [], 0.0, 0
    for name in a:
        x, y = (t.detach().to("cpu", dtype if t.is_floating_point() else None) for t in (a[name], b[name]))
        if not _same_bits(x, y):
            apart = (x.double() - y.double()).abs()
            differing.append(name)
            values += int((apart != 0).sum())
            relative = max(relative, worst(apart) / max(float(x.double().square().mean().sqrt()), 1e-300))
    return Weights(len(a), tuple(differing), relative, values, None if dtype is None else str(dtype).removeprefix("torch."))


def _same_bits(x: Tensor, y: Tensor) -> bool:
    return x.dtype == y.dtype and torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (x, y)))


def main_dtype(weights: Mapping[str, Tensor]) -> torch.dtype:
    """The dtype that most numbers have."""
    sizes: dict[torch.dtype, int] = {}
    for tensor in weights.values():
        if tensor.is_floating_point():
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
    return max(sizes, key=lambda dtype: sizes[dtype], default=torch.float32)


def set_dtype(net: nn.Module, rounded: torch.dtype | None, compute: torch.dtype) -> None:
    """Every stored real number rounded to one dtype, and held in another. Tables that are computed stay as they are."""
    for tensor in {id(t): t for t in net.state_dict(keep_vars=True).values()}.values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(rounded or tensor.dtype).to(compute)
