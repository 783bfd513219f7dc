"""Preference tuning: of two answers the better one becomes more probable than a reference model holds it (DPO, Rafailov et al.
2023, arXiv 2305.18290)."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from polyhead.data import Objective, Prefer
from polyhead.families import for_objective
from polyhead.nn import Batch, ModelSpec, Transformer
from polyhead.text.turns import end_of_turn

from .base import Given, Learner, ObjectiveSpec, Sums


class PreferSpec(ObjectiveSpec):
    """−log σ(β·(log π(chosen)/ref(chosen) − log π(rejected)/ref(rejected))), eq. 7. The reference is the model the run began
    with. smoothing ε: labels that are wrong that often (conservative DPO, Mitchell 2023)."""

    kind: Literal["prefer"] = "prefer"
    tokens: ClassVar[bool] = False
    asks: ClassVar[str] = "that the chosen answer gains more than the rejected one"
    beta: float = Field(0.1, gt=0)
    smoothing: float = Field(0.0, ge=0, lt=0.5)
    takes: ClassVar[tuple[str, ...]] = ("preferences",)
    writes: ClassVar[Literal["continues"]] = "continues"
    steady: ClassVar[bool] = False
    anchored: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("accuracy", "margin")

    def makes(self, spec: ModelSpec) -> str:
        return "causal"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "causal")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Prefer(file, given.context)

    def meta(self, train: Objective, given: Given) -> dict[str, Any]:
        return {"eos": end_of_turn(given.words)}

    def learner(self, net: Transformer, config: Any) -> Learner:
        return PreferLearner(net, config, self)


class PreferLearner(Learner):
    """The batch holds n chosen answers, then their n rejected ones; weight 1 at the answers' tokens. A pair counts once."""

    counts: ClassVar[tuple[str, ...]] = ("right", "margin")

    def __init__(self, net: Transformer, config: Any, spec: PreferSpec) -> None:
        super().__init__(net, config)
        self.beta, self.label_smoothing = spec.beta, spec.smoothing
        self.reference = copy.deepcopy(net).eval().requires_grad_(False)

    def weight(self, batch: Batch) -> Tensor:
        """(n,) ones: a pair is one target, however long its answers are."""
        return batch.weights.new_ones(len(batch.weights) // 2)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        rewards, balance = self._rewards(batch)
        return self._nats(rewards), balance

    def _nats(self, rewards: Tensor) -> Tensor:
        gap = rewards[0] - rewards[1]
        return -(F.logsigmoid(gap) * (1 - self.label_smoothing) + F.logsigmoid(-gap) * self.label_smoothing).sum()

    def _rewards(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(2, n): β · log π/ref of the chosen answers and of the rejected ones."""
        ours, balance = log_probability(self.net, batch)
        with torch.no_grad():
            theirs, _ = log_probability(self.reference, batch)
        return (self.beta * (ours - theirs)).view(2, -1), balance

    def measure(self, batch: Batch) -> Sums:
        rewards, _ = self._rewards(batch)
        gap = rewards[0] - rewards[1]
        return {"nats": self._nats(rewards), "weight": self.weight(batch).sum(), "right": (gap > 0).sum(), "margin": gap.sum()}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        """accuracy: pairs whose chosen answer gained more; margin: β·(the difference of both log ratios), the mean."""
        if not sums["weight"]:
            return {}
        return {"accuracy": sums["right"] / sums["weight"], "margin": sums["margin"] / sums["weight"]}


def log_probability(net: Transformer, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """(B,) log p of each row's weighted targets, summed, in fp32; balance losses."""
    x, balance = net.hidden(batch.inputs)
    kept = batch.weights > 0
    nats = F.cross_entropy(net.logits(x[kept]).float(), batch.targets[kept], reduction="none")
    rows = kept.nonzero()[:, 0]
    return -torch.zeros(len(batch.weights), device=nats.device).index_add(0, rows, nats), balance
