"""The objectives of language models: next token, hidden tokens, source to target."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from polyhead.data import Causal, Masked, Objective, Seq2Seq
from polyhead.families import for_objective
from polyhead.nn import Batch, ModelSpec, Transformer

from ..loss import loss_sum
from .base import Given, Learner, ObjectiveSpec, Sums


class CausalSpec(ObjectiveSpec):
    """The next token of a text (Bengio et al. 2003; Radford et al. 2018)."""

    kind: Literal["causal"] = "causal"
    writes: ClassVar[Literal["continues"]] = "continues"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "causal")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Causal(file, given.context, documents=given.documents)


class MaskedSpec(ObjectiveSpec):
    """Hidden tokens: `rate` of them are asked for, of which 80 % are <mask>, 10 % random, 10 % as they are (Devlin et al.
    2019, §3.1); chosen anew each epoch (Liu et al. 2019, §4.1)."""

    kind: Literal["masked"] = "masked"
    rate: float = Field(0.15, gt=0, lt=1, description="share of tokens that are asked for")

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "masked")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Masked(file, given.context, given.tokenizer, rate=self.rate, documents=given.documents)

    def learner(self, net: Any, config: Any) -> Learner:
        return MaskedLearner(net, config)


class Seq2SeqSpec(ObjectiveSpec):
    """A target for a source (Sutskever et al. 2014; Vaswani et al. 2017)."""

    kind: Literal["seq2seq"] = "seq2seq"
    takes: ClassVar[tuple[str, ...]] = ("pairs",)
    writes: ClassVar[Literal["answers"]] = "answers"
    steady: ClassVar[bool] = False

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "seq2seq")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Seq2Seq(file, given.context, given.context)


class MaskedLearner(Learner):
    """Also counts how many hidden tokens are guessed right."""

    counts: ClassVar[tuple[str, ...]] = ("right",)

    def measure(self, batch: Batch) -> Sums:
        return guessed(self.net, batch)

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        return accuracy(sums)


def guessed(net: Transformer, batch: Batch) -> Sums:
    """{"nats", "weight", "right"} of the tokens that are asked for."""
    x, _ = net.hidden(batch.inputs, batch.source)
    chosen = batch.weights > 0
    states, wanted = x[chosen], batch.targets[chosen]
    right = net.logits(states).argmax(-1) == wanted
    return {"nats": loss_sum(states, net.logits, wanted, batch.weights[chosen]), "weight": batch.weights.sum(), "right": right.sum()}


def accuracy(sums: dict[str, float]) -> dict[str, float]:
    """{"accuracy": right over weight}, or nothing where nothing was asked."""
    return {"accuracy": sums["right"] / sums["weight"]} if sums["weight"] else {}

