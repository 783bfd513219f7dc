"""The weights of a run's best evaluation, kept beside those that train on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polyhead.errors import ConfigError
from polyhead.families.problems import nearest
from polyhead.generate.folder import weights


class Best:
    """name: the figure that decides, as an evaluation tells it: of a loss the lowest is best, of others the highest. step, value:
    of the best so far, 0 and NaN before the first. parts: by the name they have in a checkpoint, the model and what is trained
    beside it. groups: of each, what had been learnt then, with its buffers. ConfigError for a figure that is none of `told`."""

    def __init__(self, name: str, told: Iterable[str], parts: Mapping[str, nn.Module]) -> None:
        self.name, self.step, self.value, self.parts = name, 0, math.nan, parts
        self.groups: dict[str, dict[str, Tensor]] = {}
        must_be_told(name, told)

    @torch.no_grad()
    def offer(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the weights that are in place now if the figure is better than every one before; the first of equal ones stays, and
        one that is no number is never kept. ConfigError if this evaluation has no such figure."""
        must_be_told(self.name, figures)
        value = figures[self.name]
        if not math.isfinite(value) or not self._better(value):
            return
        self.step, self.value = step, value
        for group, part in self.parts.items():
            kept = self.groups.setdefault(group, {})
            for name, tensor in _learnt(part).items():
                kept[name] = kept[name].copy_(tensor) if name in kept else tensor.clone()

    @torch.no_grad()
    def put(self) -> None:
        """The kept weights in place; nothing where nothing is kept yet."""
        for group, kept in self.groups.items():
            there = weights(self.parts[group])
            for name, tensor in kept.items():
                there[name].copy_(tensor)

    def state(self) -> dict[str, Any]:
        """What a checkpoint says of them, beside the tensors; {} before the first."""
        return {"best": {"name": self.name, "step": self.step, "value": self.value}} if self.groups else {}

    def take(self, told: Mapping[str, Any], load: Callable[[str], dict[str, Tensor]]) -> None:
        """Go on from a checkpoint's."""
        self.step, self.value = told["step"], told["value"]
        for group, part in self.parts.items():
            saved = load(group)
            self.groups[group] = {name: saved[name].to(like.device, copy=True) for name, like in _learnt(part).items()}

    def _better(self, value: float) -> bool:
        if not self.groups:
            return True
        return value < self.value if self.name.endswith("loss") else value > self.value


def must_be_told(name: str, told: Iterable[str]) -> None:
    """ConfigError unless an evaluation tells a figure of this name."""
    if name not in (names := list(told)):
        near = nearest(name, names)
        raise ConfigError(
            "training.best: the evaluation has no such figure", expected=" | ".join(names), received=name,
            change=f"did you mean {near[0]}?" if near else "name one of them, or leave it out",
        )  # fmt: skip


def _learnt(part: nn.Module) -> dict[str, Tensor]:
    """What training changes: parameters that learn, and buffers."""
    still = {name for name, p in part.named_parameters() if not p.requires_grad}
    return {name: tensor for name, tensor in weights(part).items() if name not in still}
