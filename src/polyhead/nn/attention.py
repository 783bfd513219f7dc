"""Attention: project → rotate → cache → attend → output. No variants in here: they are the axes' business."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor, nn

from .at import At
from .attend import Lowered, attend, with_scores
from .cache import Plan, Store
from .content import DisentangledSpec, Relative, ShawSpec
from .heads import Entry, Turn
from .latent import Heads
from .pattern import Full, Pattern
from .position import AlibiSpec, BucketsSpec, NoPosition, RotarySpec
from .spec import Spec

Content = Callable[[Tensor, Tensor, nn.Module], Tensor]


class AttentionSpec(Spec):
    """Which heads, who sees whom, and which position inside the scores."""

    heads: Heads
    pattern: Pattern = Full()
    position: Relative = NoPosition()

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
        return self

    @property
    def relates(self) -> bool:
        """Whether the position's scores depend on queries and keys."""
        return isinstance(self.position, DisentangledSpec | ShawSpec)

    def content_flops(self, width: int, queries: int, keys: int) -> int:
        """What the position's own scores cost."""
        if not self.relates:
            return 0
        heads = self.heads
        return self.position.flops(width, heads.heads, heads.kv, heads.dim(width), queries, keys)

    @property
    def biased(self) -> bool:
        return isinstance(self.position, AlibiSpec | BucketsSpec)


class View(NamedTuple):
    """What all layers of one kind share in one call."""

    q: At
    lowered: Lowered
    turn: Turn
    plan: Plan | None = None  # None = no cache
    valid: Tensor | None = None  # (B|1, T) bool of real tokens, None = all
    content: Content | None = None  # (q, k, heads) → the position's own scores, where they depend on both


class First(NamedTuple):
    """What the first layer leaves for later ones: its input x₀ and its values, for value and x₀ residuals."""

    x: Tensor
    v: Tensor | None = None


class Attention(nn.Module):
    """Self-attention, or cross-attention over a memory's entry."""

    def __init__(self, spec: AttentionSpec, width: int, dropout: float = 0.0, value_residual: bool = False) -> None:
        super().__init__()
        self.heads = spec.heads.build(width)
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
            if store is not None:
                entry = store.update(entry, view.plan)
        q, k, v = heads.expand(q, entry)
        q, lowered = q.to(k.dtype), view.lowered
        if view.content is not None:
            lowered = with_scores(lowered, view.content(q, k, heads))
        dropout = self.dropout if self.training else 0.0
        o = attend(
            q, k, v, lowered,
            scale=heads.scale, softcap=heads.softcap, sinks=heads.sinks, dropout=dropout,
        )  # fmt: skip
        return heads.output(o.to(x.dtype)), values
