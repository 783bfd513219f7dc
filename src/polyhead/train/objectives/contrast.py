"""Embeddings: texts that belong together come near each other, all others of the batch stay away."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from polyhead.data import Contrast, Objective
from polyhead.families import check_shape, with_head
from polyhead.nn import At, Batch, ModelSpec, Transformer

from .base import Given, Learner, ObjectiveSpec, Sums


class ContrastSpec(ObjectiveSpec):
    """Of all seconds of the batch, which one belongs to a first: cross-entropy over cosines / temperature (InfoNCE, van den
    Oord et al. 2018; in-batch negatives, Henderson et al. 2017). Of plain text each line is its own partner, under another
    dropout (SimCSE, Gao et al. 2021, arXiv 2104.08821; temperature 0.05)."""

    kind: Literal["contrast"] = "contrast"
    asks: ClassVar[str] = "which second text of the batch belongs to a first"
    temperature: float = Field(0.05, gt=0)
    takes: ClassVar[tuple[str, ...]] = ("pairs", "text")
    frames: ClassVar[bool] = True
    steady: ClassVar[bool] = False

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "alone", self.kind)
        return with_head(spec, "embed", None)

    def dataset(self, file: Any, given: Given) -> Objective:
        return Contrast(file, given.context, given.words)

    def learner(self, net: Transformer, config: Any) -> Learner:
        return ContrastLearner(net, config, self.temperature)


class PairLearner(Learner):
    """The batch holds n first texts, then their n seconds; a pair counts once."""

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """(firsts (n, D), seconds (n, D), balance), of unit length, fp32."""
        x, balance = self.net.hidden(batch.inputs)
        found = self.net.logits(x, at=At.of(batch.inputs, x.shape[1]), read=batch.inputs)
        first, second = F.normalize(found.float(), dim=-1).chunk(2)
        return first, second, balance


class ContrastLearner(PairLearner):
    """Which pairs share a batch decides the loss: micro-batches and ranks change it."""

    counts: ClassVar[tuple[str, ...]] = ("right",)

    def __init__(self, net: Transformer, config: Any, temperature: float) -> None:
        super().__init__(net, config)
        self.temperature = temperature

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        first, second, balance = self.vectors(batch)
        return self._nats(first @ second.T / self.temperature, batch), balance

    def _nats(self, logits: Tensor, batch: Batch) -> Tensor:
        return (F.cross_entropy(logits, batch.targets, reduction="none") * batch.weights).sum()

    def measure(self, batch: Batch) -> Sums:
        first, second, _ = self.vectors(batch)
        logits = first @ second.T / self.temperature
        right = ((logits.argmax(-1) == batch.targets) & (batch.weights > 0)).sum()
        return {"nats": self._nats(logits, batch), "weight": batch.weights.sum(), "right": right}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        """accuracy: firsts whose own second is the nearest of the batch."""
        return {"accuracy": sums["right"] / sums["weight"]} if sums["weight"] else {}
