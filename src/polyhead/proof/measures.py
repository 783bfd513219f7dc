"""How far apart two answers are, and how far they may be.

    |Δ|        the largest difference of any number
    relative   |Δ| over the root mean square of its row
    KL         of the second answer's distribution from the first's, in nats
    choices    rows whose most probable answer is the same
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHOOSING = ("lm", "mlm", "classify", "pair", "image", "tag", "span")  # tasks whose softmax means something


class Answer(NamedTuple):
    """What a model says to one question. heads: (1, …) by name; tasks: what each is for; states: by stack, those of the
    embedding first, the finished ones last."""

    heads: dict[str, Tensor]
    tasks: dict[str, str]
    states: dict[str, list[Tensor]]


class Limits(NamedTuple):
    """logit: of |Δ| where no logit is beyond 5, in proportion above; kl grows with its square. state: of relative."""

    logit: float = 2e-5
    state: float = 5e-6
    kl: float = 1e-9

    def grown(self, largest: float) -> Limits:
        times = max(1.0, largest / 5)
        return Limits(self.logit * times, self.state, self.kl * times**2)

    def at_least(self, other: Limits) -> Limits:
        return Limits(*map(max, self, other))


@dataclass(frozen=True)
class Comparison:
    """One part of two answers to one question. A head is held to limit by its delta, states by the relative one of the
    worst layer, `where`. same, of: rows that choose alike (ties within the limit count), and all."""

    question: str
    part: str
    delta: float
    relative: float
    limit: float
    kl: float | None = None
    kl_limit: float | None = None
    same: int | None = None
    of: int | None = None
    where: str = ""

    @property
    def measured(self) -> float:
        """What `limit` is for."""
        return self.relative if self.part.endswith(" states") else self.delta

    @property
    def equal(self) -> bool:
        close = self.measured <= self.limit and (self.kl is None or self.kl_limit is None or self.kl <= self.kl_limit)
        return close and self.same == self.of

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"equal": self.equal}


def compare(question: str, a: Answer, b: Answer, limits: Limits) -> list[Comparison]:
    """The parts that both answers have: every head, and the states of every stack."""
    found = [_heads(question, name, a, b, limits) for name in a.heads if name in b.heads]
    return found + [_states(question, stack, a, b, limits) for stack in a.states if b.states.get(stack)]


def _heads(question: str, name: str, one: Answer, other: Answer, limits: Limits) -> Comparison:
    a, b, part = one.heads[name], other.heads[name], f"head {name}"
    if a.numel() != b.numel():
        return Comparison(question, part, math.inf, math.inf, limits.logit, where=f"{_shape(a)} beside {_shape(b)}")
    a, b = a.double(), b.reshape(a.shape).double()
    if one.tasks[name] == "span":  # a start and an end are chosen among the tokens
        a, b = a.transpose(-1, -2), b.transpose(-1, -2)
    limits, apart = limits.grown(worst(b.abs())), (a - b).abs()
    delta, relative = worst(apart), worst(apart.amax(-1) / rms(b if b.shape[-1] > 1 else b.flatten()))
    if one.tasks[name] not in CHOOSING or b.shape[-1] < 2:
        return Comparison(question, part, delta, relative, limits.logit)
    kl = worst((b.softmax(-1) * (b.log_softmax(-1) - a.log_softmax(-1))).sum(-1))
    chosen = b.gather(-1, a.argmax(-1, keepdim=True)).squeeze(-1)
    same = chosen >= b.amax(-1) - 2 * limits.logit
    return Comparison(question, part, delta, relative, limits.logit, max(kl, 0.0), limits.kl, int(same.sum()), same.numel())


def _states(question: str, stack: str, one: Answer, other: Answer, limits: Limits) -> Comparison:
    """Layer by layer where both tell all of them, else the last one."""
    a, b = one.states[stack], other.states[stack]
    pairs = list(zip(a, b, range(len(a)), strict=True)) if len(a) == len(b) else [(a[-1], b[-1], len(a) - 1)]
    found = []
    for x, y, i in pairs:
        if x.shape == y.shape:  # OPT-350m lists its last one as narrowed for the head, whose answer is compared
            apart = (x.double() - y.double()).abs()
            found.append((worst(apart.amax(-1) / rms(y.double())), worst(apart), i))
    if not found:
        return Comparison(question, f"{stack} states", math.inf, math.inf, limits.state, where="of other shapes")
    relative, delta, i = max(found)
    place = "last" if i == len(a) - 1 else f"layer {i - 1}" if i else "embedding"
    return Comparison(question, f"{stack} states", delta, relative, limits.state, where=place)


def spread(a: Answer, b: Answer) -> Limits:
    """The limits that two answers would just keep."""
    parts = compare("", a, b, Limits())
    times = [c.limit / Limits().logit for c in parts if c.part.startswith("head ")]  # grown limits shrink back
    heads = [c for c in parts if c.part.startswith("head ")]
    return Limits(
        max((c.delta / n for c, n in zip(heads, times, strict=True)), default=0.0),
        max((c.relative for c in parts if c not in heads), default=0.0),
        max(((c.kl or 0.0) / n**2 for c, n in zip(heads, times, strict=True)), default=0.0),
    )


def rms(x: Tensor) -> Tensor:
    """Root mean square of each row; a row of zeros counts as 1."""
    found = x.square().mean(-1).sqrt()
    return torch.where(found == 0, 1.0, found)


def worst(x: Tensor) -> float:
    """The maximum; NaN counts as infinite, nothing as 0."""
    found = float(x.max()) if x.numel() else 0.0
    return math.inf if math.isnan(found) else found


def _shape(x: Tensor) -> str:
    return "×".join(map(str, x.shape))
