"""The objectives of language models: next token, hidden tokens, source to target."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from polyhead.data import Causal, Masked, Objective, Seq2Seq
from polyhead.families import for_objective, with_heads
from polyhead.nn import At, Batch, ModelSpec, Transformer

from ..loss import loss_sum
from .base import Given, Learner, ObjectiveSpec, Sums, accuracy


class CausalSpec(ObjectiveSpec):
    """The next token of a text (Bengio et al. 2003; Radford et al. 2018)."""

    kind: Literal["causal"] = "causal"
    asks: ClassVar[str] = "the next token, everywhere"
    writes: ClassVar[Literal["continues"]] = "continues"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "causal")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Causal(file, given.context, documents=given.documents)

    def meta(self, train: Objective, given: Given) -> dict[str, Any]:
        """What a text begins behind: the end of the one before, for no <bos> was read."""
        return {"start": given.words.eos}


class MaskedSpec(ObjectiveSpec):
    """Hidden tokens: `rate` of them are asked for, of which 80 % are <mask>, 10 % random, 10 % as they are (BERT, Devlin et
    al. 2019, §3.1); chosen anew each epoch (RoBERTa, Liu et al. 2019, §4.1).

    unit: hide tokens, whole words (BERT's later release) or spans of words (SpanBERT, Joshi et al. 2020, §3.1). pairing: ask
    of two segments as well whether the second follows the first ("next", BERT §3.1) or stands in order ("order", ALBERT,
    Lan et al. 2020, §3.1); that loss is a mean over rows and added. short: with a pairing, texts cut short (BERT's code).
    """

    kind: Literal["masked"] = "masked"
    asks: ClassVar[str] = "the hidden tokens"
    figures: ClassVar[tuple[str, ...]] = ("accuracy", "pair_accuracy")
    rate: float = Field(0.15, gt=0, lt=1, description="share of tokens that are asked for")
    unit: Literal["token", "word", "span"] = "token"
    pairing: Literal["next", "order"] | None = None
    short: float = Field(0.1, ge=0, lt=1)

    @property
    def fixed(self) -> bool:
        return self.pairing is None

    @property
    def told(self) -> tuple[str, ...]:
        return ("loss", "accuracy") if self.pairing is None else super().told

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        spec = for_objective(spec, "masked")
        return spec if self.pairing is None else with_heads(spec, {"mlm": spec.top.embedding.vocab, "pair": 2})

    def dataset(self, file: Any, given: Given) -> Objective:
        return Masked(
            file, given.context, given.words, rate=self.rate, unit=self.unit, pairing=self.pairing, short=self.short,
            documents=given.documents,
        )  # fmt: skip

    def learner(self, net: Any, config: Any) -> Learner:
        return MaskedLearner(net, config, self.pairing is not None)


class Seq2SeqSpec(ObjectiveSpec):
    """A target for a source (Sutskever et al. 2014; Vaswani et al. 2017)."""

    kind: Literal["seq2seq"] = "seq2seq"
    asks: ClassVar[str] = "the target of a source"
    takes: ClassVar[tuple[str, ...]] = ("pairs",)
    writes: ClassVar[Literal["answers"]] = "answers"
    steady: ClassVar[bool] = False

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "seq2seq")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Seq2Seq(file, given.context, given.context)


class MaskedLearner(Learner):
    """Also counts how many hidden tokens are guessed right, and of a pair task how many rows."""

    counts: ClassVar[tuple[str, ...]] = ("right", "pairs", "pairs_right")

    def __init__(self, net: Transformer, config: Any, paired: bool) -> None:
        super().__init__(net, config)
        self.told = paired

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        if batch.labels is None:
            return super().loss(batch)
        x, balance = self.net.hidden(batch.inputs)
        total = loss_sum(x, self.net.logits, batch.targets, batch.weights, smoothing=self.smoothing, z=self.z)
        more = F.cross_entropy(self._pair(batch, x), batch.labels)
        return total, more if balance is None else more + balance

    def _pair(self, batch: Batch, x: Tensor) -> Tensor:
        name = next(name for name, head in self.net.spec.heads.items() if head.task == "pair")
        return self.net.logits(x, name, At.of(batch.inputs, x.shape[1]))

    def measure(self, batch: Batch) -> Sums:
        sums = guessed(self.net, batch)
        none = torch.zeros((), device=batch.weights.device)
        if batch.labels is None:
            return sums | {"pairs": none, "pairs_right": none}
        x, _ = self.net.hidden(batch.inputs)
        right = (self._pair(batch, x).argmax(-1) == batch.labels).sum()
        return sums | {"pairs": none + len(batch.labels), "pairs_right": right}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        return accuracy(sums) | ({"pair_accuracy": sums["pairs_right"] / sums["pairs"]} if sums["pairs"] else {})


def guessed(net: Transformer, batch: Batch) -> Sums:
    """{"nats", "weight", "right"} of the tokens that are asked for."""
    x, _ = net.hidden(batch.inputs, batch.source)
    chosen = batch.weights > 0
    states, wanted = x[chosen], batch.targets[chosen]
    right = net.logits(states).argmax(-1) == wanted
    return {"nats": loss_sum(states, net.logits, wanted, batch.weights[chosen]), "weight": batch.weights.sum(), "right": right.sum()}
