"""Small checkpoints whose every bit follows from their step, and what checks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyhead.checkpoint import latest, save, saved


def groups(step: int) -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(step)
    return {
        "model": {"embed.weight": torch.randn(7, 4, generator=generator), "norm.bias": torch.randn(4, generator=generator)},
        "optimizer": {"embed.weight.m": torch.randn(7, 4, generator=generator), "step": torch.tensor(float(step))},
        "rng": {"torch": generator.get_state()},
    }  # fmt: skip


def store_step(folder: Path, step: int, **options: Any) -> Path:
    return save(folder, step, groups(step), {"step": step, "lr": step * 0.1}, **options)


def check(folder: Path, *allowed: int) -> saved.Saved:
    """The newest good checkpoint is one of `allowed`, and every bit of it is right."""
    found = latest(folder)
    assert found is not None
    assert found.step in allowed
    assert found.state == {"step": found.step, "lr": found.step * 0.1}
    for name, tensors in groups(found.step).items():
        loaded = found.load(name)
        assert set(loaded) == set(tensors)
        assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)
    return found


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
