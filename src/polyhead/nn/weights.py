"""AXIS mixing, the choices that weigh all pairs: how a query's scores become its weights. Softmax, and what is said to replace it.

Contract of a choice
    weigh(scores, seen) -> weights      scores (…, T, S) in fp32 at least; seen: bool, broadcast to them, None = all keys
Weights where a key is not seen are cut by the caller. Softmax's own are made by attend.py and the kernels it calls;
the others run on its plain products alone. The union of choices closes approximate.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from .spec import Spec

if TYPE_CHECKING:
    from .attention import AttentionSpec


class MixingSpec(Spec):
    """What all choices answer. approximate: takes the place of attend() and never looks at all pairs. shared: its parameters
    are the stack's, one set for all its layers."""

    approximate: ClassVar[bool] = False
    shared: ClassVar[bool] = False

    def fault(self, spec: AttentionSpec) -> str | None:
        """Why it cannot work in this attention: expected, received, what to change."""
        return None

    def params(self) -> int:
        return 0

    def weigh(self, scores: Tensor, seen: Tensor | None) -> Tensor:
        raise NotImplementedError


class SoftmaxSpec(MixingSpec):
    """e^s / Σ e^s (Vaswani et al. 2017, eq. 1)."""

    kind: Literal["softmax"] = "softmax"


class OtherWeights(MixingSpec):
    def fault(self, spec: AttentionSpec) -> str | None:
        if getattr(spec.heads, "sinks", False):
            return f"sinks join a softmax: expected mixing softmax, got {self.kind}; set heads.sinks false"  # type: ignore[attr-defined]
        return None


class SigmoidSpec(OtherWeights):
    """σ(s − ln n), each key for itself (Ramapuram et al. 2024, arXiv 2409.04431, eq. 3 and §3). n counts the keys that the
    query may see, not the row's, so that padding and caches change nothing."""

    kind: Literal["sigmoid"] = "sigmoid"

    def weigh(self, scores: Tensor, seen: Tensor | None) -> Tensor:
        return torch.sigmoid(scores - counted(scores, seen).log())


class ReluSpec(OtherWeights):
    """max(s, 0) / n (Wortsman et al. 2023, arXiv 2309.08586, §3); n as in the sigmoid."""

    kind: Literal["relu"] = "relu"

    def weigh(self, scores: Tensor, seen: Tensor | None) -> Tensor:
        return scores.relu() / counted(scores, seen)


class EntmaxSpec(OtherWeights):
    """[s/2 − τ]₊², of sum 1, many exactly 0 (Peters et al. 2019, arXiv 1905.05702, algorithm 2: α = 1.5)."""

    kind: Literal["entmax"] = "entmax"

    def weigh(self, scores: Tensor, seen: Tensor | None) -> Tensor:
        s, ordered, n = _ordered(scores / 2)
        mean = ordered.cumsum(-1) / n
        room = 1 / n - (ordered.square().cumsum(-1) / n - mean.square())
        taus = mean - torch.where(room > 0, room, 1.0).sqrt() * (room > 0)  # no root of 0: its slope is infinite
        return _above(s, ordered, taus).square()


class SparsemaxSpec(OtherWeights):
    """[s − τ]₊, of sum 1: the nearest point of the simplex (Martins & Astudillo 2016, arXiv 1602.02068, algorithm 1)."""

    kind: Literal["sparsemax"] = "sparsemax"

    def weigh(self, scores: Tensor, seen: Tensor | None) -> Tensor:
        s, ordered, n = _ordered(scores)
        return _above(s, ordered, (ordered.cumsum(-1) - 1) / n)


def _ordered(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores less their largest (one below it has no weight already: −2 stands for all those), in falling order, and 1, 2, …, S."""
    s = (s - s.amax(-1, keepdim=True).detach()).clamp(min=-2.0)
    return s, s.sort(-1, descending=True).values, torch.arange(1, s.shape[-1] + 1, device=s.device, dtype=s.dtype)


def _above(s: Tensor, ordered: Tensor, taus: Tensor) -> Tensor:
    """What is above the threshold of as many keys as have weight."""
    support = (taus <= ordered).sum(-1, keepdim=True)
    return (s - taus.gather(-1, support - 1)).relu()


def counted(scores: Tensor, seen: Tensor | None) -> Tensor:
    """Keys that each query may see, at least 1."""
    if seen is None:
        return scores.new_tensor(float(scores.shape[-1]))
    return seen.sum(-1, keepdim=True).clamp(min=1).to(scores.dtype)
