"""Embeddings: texts that belong together come near each other and all others of the batch stay away, or cosines follow scores."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from polyhead.data import Contrast, Objective, Similar
from polyhead.errors import ConfigError
from polyhead.families import check_shape, with_head
from polyhead.nn import At, Batch, ModelSpec, Transformer

from .base import Given, Learner, ObjectiveSpec, Sums, accuracy


class ContrastSpec(ObjectiveSpec):
    """Of all seconds of the batch, which one belongs to a first: cross-entropy over cosines / temperature (InfoNCE, van den
    Oord et al. 2018; in-batch negatives, Henderson et al. 2017). Of plain text each line is its own partner, under another
    dropout (SimCSE, Gao et al. 2021, arXiv 2104.08821; temperature 0.05)."""

    kind: Literal["contrast"] = "contrast"
    tokens: ClassVar[bool] = False
    asks: ClassVar[str] = "which second text of the batch belongs to a first"
    temperature: float = Field(0.05, gt=0)
    takes: ClassVar[tuple[str, ...]] = ("pairs", "text")
    frames: ClassVar[bool] = True
    steady: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("accuracy",)

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "alone", self.kind)
        return with_head(spec, "embed", None)

    def dataset(self, file: Any, given: Given) -> Objective:
        return Contrast(file, given.context, given.words)

    def learner(self, net: Transformer, config: Any) -> Learner:
        return ContrastLearner(net, config, self.temperature)


class SimilarSpec(ObjectiveSpec):
    """How alike two texts are, by a score. loss "cosent": all pairs of the batch are put in the order of their scores, log(1 + Σ
    exp(scale·(cos_i − cos_j))) over score_i < score_j (CoSENT, Su 2022); "cosine": the squared error of the cosine, the training
    part's scores mapped to 0 … 1 (Sentence-BERT, Reimers & Gurevych 2019, §3)."""

    kind: Literal["similar"] = "similar"
    tokens: ClassVar[bool] = False
    asks: ClassVar[str] = "how alike two texts are, by a score"
    loss: Literal["cosent", "cosine"] = "cosent"
    scale: float = Field(20.0, gt=0)
    takes: ClassVar[tuple[str, ...]] = ("labelled",)
    frames: ClassVar[bool] = True
    steady: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("pearson",)

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "alone", self.kind)
        if facts.get("problem", "number") != "number":
            raise ConfigError(
                "the objective similar learns from scores", expected="two texts and a number", received="classes",
                change="training.objective=classify, or data.labels=numbers if whole numbers are the scores",
            )  # fmt: skip
        return with_head(spec, "embed", None)

    def datasets(self, train: Any, held: Any, given: Given) -> tuple[Objective, Objective]:
        first = Similar(train, given.context, given.words)
        return first, Similar(held, given.context, given.words, span=first.span)

    def meta(self, train: Objective, given: Given) -> dict[str, Any]:
        """The model gives vectors, not numbers."""
        return {"problem": None}

    def learner(self, net: Transformer, config: Any) -> Learner:
        return SimilarLearner(net, config, self)


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
        return accuracy(sums)


class SimilarLearner(PairLearner):
    """targets (n,): scores, higher is more alike. With "cosent" the batch decides the loss, as with contrast."""

    counts: ClassVar[tuple[str, ...]] = ("cosine", "score", "cosines", "scores", "both")

    def __init__(self, net: Transformer, config: Any, spec: SimilarSpec) -> None:
        super().__init__(net, config)
        self.kind, self.scale = spec.loss, spec.scale

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        first, second, balance = self.vectors(batch)
        return self._nats((first * second).sum(-1), batch), balance

    def _nats(self, cosines: Tensor, batch: Batch) -> Tensor:
        scores, weights = batch.targets, batch.weights
        if self.kind == "cosine":
            return ((cosines - scores).square() * weights).sum()
        gaps = self.scale * (cosines.unsqueeze(1) - cosines.unsqueeze(0))
        asked = (scores.unsqueeze(1) < scores.unsqueeze(0)) & (weights.unsqueeze(1) > 0) & (weights.unsqueeze(0) > 0)
        # one number for the batch, as if each pair had it; 1 + Σ is never empty
        return F.pad(gaps[asked], (0, 1)).logsumexp(0) * weights.sum()

    def measure(self, batch: Batch) -> Sums:
        """Of cosines and scores, what their correlation is made of: sums, sums of squares and of products."""
        first, second, _ = self.vectors(batch)
        cosines = (first * second).sum(-1)
        nats = self._nats(cosines, batch)
        wide = torch.float32 if cosines.device.type == "mps" else torch.float64  # cosines that differ little
        x, y, w = cosines.to(wide), batch.targets.to(wide), batch.weights
        sums = {"cosine": x, "score": y, "cosines": x * x, "scores": y * y, "both": x * y}
        return {"nats": nats, "weight": batch.weights.sum()} | {name: (value * w).sum() for name, value in sums.items()}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        """pearson: of the cosines with the scores, over the whole part. (Spearman's needs all at once: `polyhead eval`.)"""
        if not sums["weight"]:
            return {}
        n = sums["weight"]
        x, y = sums["cosines"] - sums["cosine"] ** 2 / n, sums["scores"] - sums["score"] ** 2 / n
        if min(x, y) <= 1e-12 * n:
            return {}  # all alike: there is none
        return {"pearson": (sums["both"] - sums["cosine"] * sums["score"] / n) / math.sqrt(x * y)}
