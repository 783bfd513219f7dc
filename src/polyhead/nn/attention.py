"""Attention: project → rotate → cache → attend → output. No variants in here: they are the axes' business."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor, nn

from .approximate import Approximate, FeatureSpec, Mixing
from .at import At
from .attend import Lowered, Scoring, attend, with_scores
from .banded import Some, put
from .cache import Plan, Store
from .content import DisentangledSpec, Relative, ShawSpec
from .heads import Entry, Grouped, GroupedSpec, Turn
from .latent import Heads
from .pattern import Full, Marked, Pattern, leaves
from .position import AlibiSpec, BucketsSpec, NoPosition
from .rotary import RotarySpec
from .spec import Spec, linear_params
from .weights import SoftmaxSpec

Content = Callable[[Tensor, Tensor, nn.Module], Tensor]


class AttentionSpec(Spec):
    """Which heads, who sees whom, which position inside the scores, and how values are mixed: by the softmax of the scores, by
    other weights, or by what never looks at all pairs (weights.py, approximate.py).

    global_heads gives marked queries projections of their own: they look at every token with a second q, k and v, while
    all others look at marked tokens with the first (Longformer, arXiv 2004.05150 §3.1; LED). Where a batch marks nobody,
    they do not run; `flops()` counts such a batch.
    """

    heads: Heads
    pattern: Pattern = Full()
    position: Relative = NoPosition()
    global_heads: bool = False
    mixing: Mixing = SoftmaxSpec()

    @model_validator(mode="after")
    def _somebody_is_global(self) -> AttentionSpec:
        if self.global_heads and not any(isinstance(p, Marked) and p.queries for p in leaves(self.pattern)):
            raise ValueError(
                "global heads serve marked queries: expected a pattern with marked queries, such as "
                f"or(window, marked), got {self.pattern.kind}; or set global_heads false"
            )
        if self.global_heads and not isinstance(self.heads, GroupedSpec):
            raise ValueError(f"global heads are grouped heads: got {self.heads.kind}; or set global_heads false")
        return self

    @model_validator(mode="after")
    def _rotary_fits(self) -> AttentionSpec:
        dim = self.heads.rotary_dim()
        if isinstance(self.position, RotarySpec) and dim is not None and (self.position.dim or dim) > dim:
            raise ValueError(f"rotary dim must be at most the {dim} features a head may turn: got {self.position.dim}")
        return self

    @model_validator(mode="after")
    def _buckets_fit(self) -> AttentionSpec:
        if isinstance(self.position, BucketsSpec) and self.position.two_sided and self.pattern.reach()[1] == 0:
            raise ValueError("two-sided buckets under a causal pattern never use half their rows: set two_sided false")
        return self

    @model_validator(mode="after")
    def _content_fits(self) -> AttentionSpec:
        if self.relates and self.heads.kind == "latent":
            raise ValueError(f"position {self.position.kind} reads keys per head: expected heads of kind grouped, got latent")
        if self.relates and self.heads.softcap is not None:
            raise ValueError(f"position {self.position.kind} adds its scores uncapped: expected softcap null")
        if self.relates and self.global_heads:
            raise ValueError(f"position {self.position.kind} serves one set of heads: set global_heads false")
        return self

    @model_validator(mode="after")
    def _mixing_fits(self) -> AttentionSpec:
        fault = self.mixing.fault(self)
        if fault is not None:
            raise ValueError(fault)
        return self

    @property
    def approximate(self) -> bool:
        """Whether no scores of all pairs are made."""
        return self.mixing.approximate

    def score_flops(self, width: int, tokens: int, pairs: int) -> int:
        """What mixing costs `tokens` queries in rows of pairs / tokens keys: every pair, or what stands in their place."""
        if not isinstance(self.mixing, Approximate) or not isinstance(self.heads, GroupedSpec):
            return self.heads.score_flops(width, pairs)
        length = pairs // max(tokens, 1)
        if isinstance(self.mixing, FeatureSpec):
            return self.mixing.flops(self.heads, width, tokens, length, self.pattern.reach()[1] == 0)
        return self.mixing.flops(self.heads, width, tokens, length)

    def state(self, width: int) -> tuple[int, int, int] | None:
        """What a cache holds of a row where it is not an entry per token."""
        if not isinstance(self.mixing, Approximate) or not isinstance(self.heads, GroupedSpec):
            return None
        return self.mixing.state(self.heads, width)

    @property
    def relates(self) -> bool:
        """Whether the position's scores depend on queries and keys."""
        return isinstance(self.position, DisentangledSpec | ShawSpec)

    def content_flops(self, width: int, queries: int, keys: int) -> int:
        """What the position's own scores cost."""
        if not isinstance(self.position, DisentangledSpec | ShawSpec):
            return 0
        heads = self.heads
        return self.position.flops(width, heads.heads, heads.kv, heads.dim(width), queries, keys)

    def params(self, width: int) -> int:
        heads = self.heads
        if not self.global_heads or not isinstance(heads, GroupedSpec):
            return heads.params(width) + (0 if self.mixing.shared else self.mixing.params())
        output = linear_params(heads.heads * heads.dim(width), width, "o" in heads.bias)
        return 2 * heads.params(width) - output

    def activations(self, width: int) -> int:
        """Numbers per token that a training step keeps, global heads at work: they make keys and values of every token."""
        return self.heads.activations(width) + (2 * self.heads.kv * self.heads.dim(width) if self.global_heads else 0)

    @property
    def biased(self) -> bool:
        return isinstance(self.position, AlibiSpec | BucketsSpec)


class Far(NamedTuple):
    """What the global heads of one kind need in one call: who asks, what they may see, their rotation."""

    who: Some
    lowered: Lowered
    turn: Turn


class View(NamedTuple):
    """What all layers of one kind share in one call."""

    q: At
    lowered: Lowered
    turn: Turn
    plan: Plan | None = None  # None = no cache
    valid: Tensor | None = None  # (B|1, T) bool of real tokens, None = all
    content: Content | None = None  # (q, k, heads) → the position's own scores, where they depend on both
    far: Far | None = None  # None = no global heads, or nobody is marked


class First(NamedTuple):
    """What the first layer leaves for later ones: its input x₀ and its values, for value and x₀ residuals."""

    x: Tensor
    v: Tensor | None = None


class Attention(nn.Module):
    """Self-attention, or cross-attention over a memory's entry."""

    def __init__(self, spec: AttentionSpec, width: int, dropout: float = 0.0, value_residual: bool = False) -> None:
        super().__init__()
        self.heads = spec.heads.build(width)
        self.global_heads: Grouped | None = None
        if spec.global_heads and isinstance(spec.heads, GroupedSpec):
            self.global_heads = spec.heads.build(width, output=False)
        self.weigh = None if isinstance(spec.mixing, SoftmaxSpec | Approximate) else spec.mixing.weigh
        self.mixing: nn.Module | None = None
        if isinstance(spec.mixing, Approximate) and isinstance(spec.heads, GroupedSpec):
            self.mixing = spec.mixing.build(spec.heads.kv, spec.heads.dim(width))
        self.dropout = dropout
        self.value_mix = nn.Parameter(torch.zeros(1)) if value_residual else None

    def forward(
        self, x: Tensor, view: View, store: Store | None = None, memory: Entry | None = None, first: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) → (B, T, D), and the values of this call's tokens (None under cross-attention)."""
        heads, values = self.heads, None
        if memory is not None:
            q, entry = heads.query(x, view.turn), memory
        else:
            q, entry = heads.project(x, view.turn)
            values = entry[-1]
            if self.value_mix is not None and first is not None and first.v is not None:
                entry = (*entry[:-1], values + self.value_mix * first.v)
            if store is not None and self.mixing is None:
                assert view.plan is not None, "a cache comes with a plan"
                entry = store.update(entry, view.plan)
        q, k, v = heads.expand(q, entry)
        q, lowered, dropout = q.to(k.dtype), view.lowered, self.dropout if self.training else 0.0
        if self.mixing is not None:
            o = self.mixing(q, k, v, view, Scoring(heads.scale, heads.softcap, dropout, heads.sinks), store)
            return heads.output(o.to(x.dtype)), values
        if view.content is not None:
            lowered = with_scores(lowered, view.content(q, k, heads))
        o = attend(
            q, k, v, lowered,
            scale=heads.scale, softcap=heads.softcap, sinks=heads.sinks, dropout=dropout, weigh=self.weigh,
        )  # fmt: skip
        if view.far is not None:
            o = self._globally(x, o, view, dropout)
        return heads.output(o.to(x.dtype)), values

    def _globally(self, x: Tensor, o: Tensor, view: View, dropout: float) -> Tensor:
        """o (B, h, T, dv) with what the marked queries get through the global heads."""
        heads, far = self.global_heads, view.far
        assert heads is not None and far is not None
        index = far.who.place.unsqueeze(-1).expand(x.shape[0], -1, x.shape[2])
        q, k, v = heads.expand(heads.query(x.gather(1, index), far.turn), heads.entry(x, view.turn))
        new = attend(
            q, k, v, far.lowered, scale=heads.scale, softcap=heads.softcap, sinks=heads.sinks, dropout=dropout, weigh=self.weigh
        )
        return put(o, far.who, new)
