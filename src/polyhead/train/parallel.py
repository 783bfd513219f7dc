"""Ranks: the only file that knows there may be several processes. Launched by torchrun; 1 of 1 otherwise."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from polyhead.errors import ConfigError


class Ranks(NamedTuple):
    """This process's place among `world` of them."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum over ranks, in place."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def sum_grads(self, params: Iterable[nn.Parameter]) -> None:
        """Add up gradients over ranks in one message per dtype. Losses are already divided by the global weight."""
        if self.world == 1:
            return
        grads = [p.grad for p in params if p.grad is not None]
        for dtype in sorted({g.dtype for g in grads}, key=str):  # every rank in the same order
            group = [g for g in grads if g.dtype == dtype]
            flat = torch.cat([g.flatten() for g in group])
            dist.all_reduce(flat)
            parts = flat.split([g.numel() for g in group])
            torch._foreach_copy_(group, [part.view_as(g) for part, g in zip(parts, group, strict=True)])

    def any(self, flag: bool) -> bool:
        """True on every rank if it is on one, so that all take the same decision."""
        if self.world == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self.device)).item())

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()


ALONE = Ranks()


def pick_device(name: str) -> torch.device:
    """"auto" takes CUDA, then MPS, then the CPU."""
    if name == "auto":
        has_mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    kind = name.split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        have = ", ".join(k for k, v in available.items() if v)
        raise ConfigError(f"device {name!r} is not here", expected=f"auto or one of {have}", received=name)
    return torch.device(name)


def join_ranks(device: str = "auto") -> Ranks:
    """Join the group torchrun made (environment RANK, WORLD_SIZE), or be 1 of 1. A process joins once and stays in
    until it ends: a second group under the same launcher would meet the addresses of the first."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks(device=pick_device(device))
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    where = pick_device(device)
    where = torch.device("cuda", local) if where.type == "cuda" else torch.device("cpu")
    if not dist.is_initialized():
        dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
        atexit.register(leave_ranks)
    return Ranks(rank, world, where)


def leave_ranks() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
