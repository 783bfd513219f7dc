"""Distillation: a small model learns what a large one holds probable (Hinton et al. 2015; DistilBERT, Sanh et al. 2019,
arXiv 1910.01108)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from polyhead.data import Causal, Masked, Objective
from polyhead.errors import ConfigError
from polyhead.families import for_objective
from polyhead.generate import load
from polyhead.nn import Batch, ModelSpec, PairSpec, Transformer

from ..loss import cross_entropy
from .base import Given, Learner, ObjectiveSpec, Sums, accuracy, real
from .language import guessed

_ROWS = 1024  # tokens whose distributions over the vocabulary are held at a time


class DistilledSpec(ObjectiveSpec):
    """soft · T² · KL(teacher ‖ student) at temperature T over all tokens + hard · the language model's own loss + cosine ·
    (1 − cos) of the last hidden states, each a mean: DistilBERT's triple loss, with the constants of its code.

    teacher: a run, a folder or owner/name, of the student's kind (encoder or decoder); the run takes its tokenizer. cosine
    needs states of one width: 0 where they differ. rate: hidden tokens, of an encoder. layers "spread": the student starts
    from the teacher's tables and evenly spread layers, where shapes agree (§3); "own": from its own initial values.
    """

    kind: Literal["distilled"] = "distilled"
    asks: ClassVar[str] = "what the teacher holds probable at every token, and the marked tokens themselves"
    source: str = Field(description="the teacher: a run, a folder, or owner/name on the Hub")
    temperature: float = Field(2.0, gt=0)
    soft: float = Field(5.0, ge=0)
    hard: float = Field(2.0, ge=0)
    cosine: float = Field(1.0, ge=0)
    rate: float = Field(0.15, gt=0, lt=1)
    layers: Literal["spread", "own"] = "spread"
    steady: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("accuracy",)

    @property
    def teacher(self) -> str | None:
        return self.source

    def makes(self, spec: ModelSpec) -> str:
        return "causal" if spec.encoder is None else "masked"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        if len(spec.stacks) == 2:
            raise ConfigError("objective distilled does not fit this architecture", expected="an encoder or a decoder alone", received="an encoder–decoder")
        return for_objective(spec, "causal" if spec.encoder is None else "masked")

    def dataset(self, file: Any, given: Given) -> Objective:
        if given.spec.encoder is None:
            return Causal(file, given.context, documents=given.documents)
        return Masked(file, given.context, given.words, rate=self.rate, documents=given.documents)

    def learner(self, net: Transformer, config: Any) -> Learner:
        teacher = load(self.source).net
        check_teacher(teacher.spec, net.spec, self.cosine)
        assert isinstance(teacher, Transformer), "a pair was refused"
        return DistilledLearner(net, config, self, teacher)


def check_teacher(teacher: ModelSpec | PairSpec, spec: ModelSpec, cosine: float) -> None:
    """ConfigError unless a student can learn from this teacher."""
    if isinstance(teacher, PairSpec) or list(teacher.stacks) != list(spec.stacks):
        received = "a pair of towers" if isinstance(teacher, PairSpec) else " and ".join(teacher.stacks)
        raise ConfigError("the teacher is another kind of model", expected=" and ".join(spec.stacks), received=received, change="choose a teacher of the student's kind")
    if teacher.vocab != spec.vocab:
        raise ConfigError("the teacher has another vocabulary", expected=f"{spec.vocab} tokens", received=f"{teacher.vocab}", change="leave tokenizer and model.vocab out: they are the teacher's")
    task = "lm" if spec.encoder is None else "mlm"
    if not any(head.task == task for head in teacher.heads.values()):
        raise ConfigError("the teacher tells no probabilities of tokens", expected=f"a head of task {task}", received=", ".join(teacher.heads), change="choose a language model")
    if cosine and teacher.top.width != spec.top.width:
        raise ConfigError(
            "the teacher's states have another width, so that no cosine compares them", expected=str(spec.top.width), received=str(teacher.top.width),
            change="training.objective.cosine=0",
        )  # fmt: skip


def spread(net: Transformer, teacher: Transformer) -> int:
    """Copy tables, norms, head and evenly spread layers of the teacher into the student; returns how many layers fit. Of 12
    layers a student of 6 takes the 1st, 3rd, 5th, 7th, 9th and last, as near as rounding goes (DistilBERT's code)."""
    mine, theirs = net.top, teacher.top
    count, total, fitted = mine.spec.layers, theirs.spec.layers, 0
    for own, other in [(mine.embed, theirs.embed), (mine.final_norm, theirs.final_norm)]:
        _copy(own, other)
    task = next(iter(net.heads.values())).spec.task
    _copy(next(iter(net.heads.values())), next(h for h in teacher.heads.values() if h.spec.task == task))
    for i, layer in enumerate(mine.layers):
        from_ = round(i * (total - 1) / max(count - 1, 1))
        fitted += _copy(layer, theirs.layers[from_])
    return fitted


@torch.no_grad()
def _copy(own: Any, other: Any) -> bool:
    """Copy the parameters if they are of the same names and shapes."""
    if own is None or other is None:
        return False
    a, b = dict(own.named_parameters()), dict(other.named_parameters())
    if {n: p.shape for n, p in a.items()} != {n: p.shape for n, p in b.items()}:
        return False
    for name, p in a.items():
        p.copy_(b[name])
    return True


class DistilledLearner(Learner):
    """net: the student."""

    told = True
    counts: ClassVar[tuple[str, ...]] = ("right",)

    def __init__(self, net: Transformer, config: Any, spec: DistilledSpec, teacher: Transformer) -> None:
        super().__init__(net, config)
        self.spec, self.device = spec, next(net.parameters()).device
        self.teacher = teacher.to(self.device).eval().requires_grad_(False)
        self.head = next(n for n, h in teacher.spec.heads.items() if h.task in ("lm", "mlm"))
        if spec.layers == "spread":
            spread(net, teacher)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        x, balance = self.net.hidden(batch.inputs)
        with torch.no_grad():
            theirs, _ = self.teacher.hidden(batch.inputs)
        valid = real(batch.inputs, x.shape[1]).expand(x.shape[:2])
        x_all, t_all, t = x[valid], theirs[valid], self.spec.temperature
        soft = x.new_zeros(())
        for start in range(0, len(x_all), _ROWS):  # a few rows of logits at a time, forward; backward keeps the student's
            part = slice(start, start + _ROWS)
            student = F.log_softmax(self.net.logits(x_all[part]) / t, -1)
            with torch.no_grad():
                wanted = F.log_softmax(self.teacher.logits(t_all[part], self.head) / t, -1)
            soft = soft + F.kl_div(student, wanted, reduction="sum", log_target=True)
        more = self.spec.soft * t * t * soft / max(len(x_all), 1)
        if self.spec.cosine:
            more = more + self.spec.cosine * (1 - F.cosine_similarity(x_all, t_all, dim=-1)).mean()
        hidden = batch.weights > 0
        own = cross_entropy(self.net.logits(x[hidden]), batch.targets[hidden], batch.weights[hidden], self.smoothing, self.z)
        return self.spec.hard * own, more if balance is None else more + balance

    def measure(self, batch: Batch) -> Sums:
        return guessed(self.net, batch)

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        return accuracy(sums)
