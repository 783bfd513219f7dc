"""Objectives that ask once per row, per word or per place: classes, tags, answers, pictures."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from polyhead.data import Answer, Classify, Objective, Tag
from polyhead.families import check_shape, with_head
from polyhead.nn import At, Batch, ModelSpec, Transformer

from ..loss import cross_entropy
from .base import Given, Learner, ObjectiveSpec, Sums, accuracy


class ClassifySpec(ObjectiveSpec):
    """The class of a text or of two, several classes, or a number, as the labels are (BERT, Devlin et al. 2019, §4.1):
    cross-entropy, a binary one per class, or squared error."""

    kind: Literal["classify"] = "classify"
    tokens: ClassVar[bool] = False
    asks: ClassVar[str] = "the class of a text or of two, several classes, or a number"
    takes: ClassVar[tuple[str, ...]] = ("labelled",)
    frames: ClassVar[bool] = True
    steady: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("accuracy",)

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "alone", self.kind)
        return with_head(spec, "classify", 1 if facts["problem"] == "number" else len(facts["labels"]))

    def dataset(self, file: Any, given: Given) -> Objective:
        return Classify(file, given.words, given.context, types=given.types, marks=given.marks)

    def learner(self, net: Transformer, config: Any) -> Learner:
        return RowLearner(net, config)


class TagSpec(ObjectiveSpec):
    """A tag for each word, asked at its first piece (BERT, §5.3)."""

    kind: Literal["tag"] = "tag"
    tokens: ClassVar[bool] = False
    asks: ClassVar[str] = "a tag for each word, at its first piece"
    takes: ClassVar[tuple[str, ...]] = ("tagged",)
    frames: ClassVar[bool] = True
    steady: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("accuracy",)

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "alone", self.kind)
        return with_head(spec, "tag", len(facts["labels"]))

    def dataset(self, file: Any, given: Given) -> Objective:
        return Tag(file, given.words, given.context, types=given.types)

    def learner(self, net: Transformer, config: Any) -> Learner:
        return TagLearner(net, config)


class AnswerSpec(ObjectiveSpec):
    """Where in a text the answer to a question begins and ends (BERT, §4.2); nowhere: both at the first token (§4.3). Long
    texts are read in windows, `stride` tokens apart."""

    kind: Literal["answer"] = "answer"
    tokens: ClassVar[bool] = False
    asks: ClassVar[str] = "where the answer to a question begins and ends in a text"
    stride: int = Field(128, gt=0)
    takes: ClassVar[tuple[str, ...]] = ("questions",)
    frames: ClassVar[bool] = True
    steady: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("exact",)

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "encoder", self.kind)
        return with_head(spec, "span", 2)

    def dataset(self, file: Any, given: Given) -> Objective:
        return Answer(file, given.words, given.context, types=given.types, marks=given.marks, stride=self.stride)

    def learner(self, net: Transformer, config: Any) -> Learner:
        return AnswerLearner(net, config)


class RowLearner(Learner):
    """One answer per row: targets (B,) classes or real numbers, or (B, C) real 0 and 1 of several classes."""

    counts: ClassVar[tuple[str, ...]] = ("right", "answers")

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        logits, balance = self._logits(batch)
        return self._nats(logits, batch, self.smoothing), balance

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        x, balance = self.net.hidden(batch.inputs)
        return self.net.logits(x, at=At.of(batch.inputs, x.shape[1]), read=batch.inputs), balance

    def _nats(self, logits: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        wanted, weights = batch.targets, batch.weights
        if not wanted.is_floating_point():
            return cross_entropy(logits, wanted, weights, smoothing)
        if wanted.dim() == 1:
            return ((logits.squeeze(-1) - wanted).square() * weights).sum()
        return (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(-1) * weights).sum()

    def measure(self, batch: Batch) -> Sums:
        """answers: classes that were asked for; of numbers none are right."""
        logits, _ = self._logits(batch)
        wanted, kept = batch.targets, batch.weights > 0
        right = answers = torch.zeros((), device=logits.device)
        if not wanted.is_floating_point():
            right, answers = (logits.argmax(-1) == wanted)[kept].sum(), kept.sum()
        elif wanted.dim() == 2:
            right, answers = ((logits > 0) == (wanted > 0.5))[kept].sum(), kept.sum() * wanted.shape[1]
        return {"nats": self._nats(logits, batch), "weight": batch.weights.sum(), "right": right, "answers": answers}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        return {"accuracy": sums["right"] / sums["answers"]} if sums["answers"] else {}


class TagLearner(Learner):
    """targets (B, T), weights 1 at each word's first piece."""

    counts: ClassVar[tuple[str, ...]] = ("right",)

    def measure(self, batch: Batch) -> Sums:
        x, _ = self.net.hidden(batch.inputs)
        kept = batch.weights > 0
        logits, wanted = self.net.logits(x[kept]), batch.targets[kept]
        nats = cross_entropy(logits, wanted, batch.weights[kept])
        return {"nats": nats, "weight": batch.weights.sum(), "right": (logits.argmax(-1) == wanted).sum()}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        return accuracy(sums)


class AnswerLearner(Learner):
    """targets (B, 2): first and last place of the answer; weights (B,)."""

    counts: ClassVar[tuple[str, ...]] = ("right",)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        logits, balance = self._logits(batch)
        return self._nats(logits, batch), balance

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(B, 2, T): of beginnings and of ends, padding impossible."""
        x, balance = self.net.hidden(batch.inputs)
        logits = self.net.logits(x).transpose(1, 2)
        valid = At.of(batch.inputs, x.shape[1]).valid()
        return logits if valid is None else logits.masked_fill(~valid.unsqueeze(1), float("-inf")), balance

    def _nats(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean of both ends' cross-entropies."""
        weights = batch.weights.unsqueeze(1).expand(-1, 2)
        return cross_entropy(logits, batch.targets, weights) / 2

    def measure(self, batch: Batch) -> Sums:
        logits, _ = self._logits(batch)
        right = ((logits.argmax(-1) == batch.targets).all(1) & (batch.weights > 0)).sum()
        return {"nats": self._nats(logits, batch), "weight": batch.weights.sum(), "right": right}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        """exact: windows whose both ends are the most probable ones."""
        return {"exact": sums["right"] / sums["weight"]} if sums["weight"] else {}
