"""The loop that trains the lab's small models: AdamW on whatever loss a claim gives."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Decay = Callable[[float], float]  # share of training done → share of the learning rate


def constant(_: float) -> float:
    return 1.0


def cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def train(
    model: nn.Module, loss: Callable[[int], Tensor], steps: int, *, lr: float = 2e-3, warmup: int = 0,
    decay: Decay = constant, weight_decay: float = 0.01, clip: float | None = 1.0,
) -> list[float]:  # fmt: skip
    """loss(step) → the mean loss of that step's batch, a scalar that the model's parameters get gradients from. AdamW with
    β = (0.9, 0.98); lr rises linearly over `warmup` steps and is then multiplied by decay(share of all steps done);
    gradients are clipped to a norm of `clip`. Returns the loss of every step; a loss that is no number ends training, and
    the rest of the list is NaN.
    """
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay)
    losses: list[float] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / (warmup + 1)) * decay(step / steps)
        value = loss(step)
        losses.append(float(value.detach()))
        if not math.isfinite(losses[-1]):
            return losses + [math.nan] * (steps - len(losses))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    model.eval()
    return losses
