"""What is graded: a point is a title and a check of what was handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Missed(Exception):
    """A point not reached: what was expected, what came instead."""

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(f"expected {expected}, received {received}")
        self.expected, self.received = expected, received


@dataclass(frozen=True)
class Point:
    """check(module or mapping) returns, or raises Missed. Another exception is a mistake in what was handed in."""

    name: str
    title: str
    check: Callable[[Any], None]


def shaped(value: Any, shape: tuple[int, ...]) -> Tensor:
    """The value, if it is a tensor of that shape."""
    if not isinstance(value, Tensor):
        raise Missed(f"a tensor of shape {shape}", f"{type(value).__name__}")
    if tuple(value.shape) != shape:
        raise Missed(f"shape {shape}", f"shape {tuple(value.shape)}")
    return value


def near(value: Any, wanted: Tensor, what: str, tolerance: float = 1e-9) -> None:
    """Missed unless the value is the wanted tensor, up to rounding (fp64)."""
    value = shaped(value, tuple(wanted.shape))
    if not bool(torch.isfinite(value).all()):
        raise Missed(f"{what}, all numbers finite", f"{int((~torch.isfinite(value)).sum())} of {value.numel()} numbers are NaN or infinite")
    gap = (value - wanted).abs()
    worst = int(gap.argmax())
    if float(gap.max()) > tolerance:
        place = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), wanted.shape))
        raise Missed(f"{what}: {wanted.flatten()[worst]:.6g} at {place}", f"{value.flatten()[worst]:.6g}")
