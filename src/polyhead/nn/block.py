"""The Block: every Transformer there is, by filling or leaving slots.

    sequential   x ─ join(attention) ─ [join(cross-attention)] ─ join(feed-forward or experts) ─▶
    parallel     x ─ join(attention, feed-forward) ─▶
    each join    y = after(skip·x + gain·Σ out(f(in(x))))           (residual.py)
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import Attention, AttentionSpec, First, View
from .cache import Store
from .heads import Entry
from .moe import Experts, FeedForward
from .norm import LayerNormSpec, Norm
from .pattern import Full
from .residual import Join, ResidualSpec
from .spec import Counts, Spec


class DropoutSpec(Spec):
    """Probabilities by place: after the embedding sum, of whole vectors there (words that go unread: Iyyer et al. 2015 §3),
    on attention weights, on each sublayer's output before the addition, after the feed-forward's activation, before the
    head's output, where T5 drops what its final norm gives (Vaswani et al. 2017 §5.4)."""

    embedding: float = Field(0.0, ge=0, lt=1)
    token: float = Field(0.0, ge=0, lt=1)
    attention: float = Field(0.0, ge=0, lt=1)
    residual: float = Field(0.0, ge=0, lt=1)
    activation: float = Field(0.0, ge=0, lt=1)
    head: float = Field(0.0, ge=0, lt=1)


class BlockSpec(Spec):
    """One kind of layer. `cross` gives it attention over an encoder's output."""

    attention: AttentionSpec
    ffn: FeedForward
    cross: AttentionSpec | None = None
    norm: Norm = LayerNormSpec()
    residual: ResidualSpec = ResidualSpec()

    @model_validator(mode="after")
    def _latent_alone(self) -> BlockSpec:
        if self.cross is not None and self.cross.heads.kind == "latent":
            raise ValueError("cross-attention has keys per head: expected heads of kind grouped, got latent")
        if self.residual.values and self.attention.heads.kind == "latent":
            raise ValueError(
                "a value residual adds values, which latent heads do not keep: expected residual.values false, got true"
            )
        return self

    @model_validator(mode="after")
    def _cross_sees_all(self) -> BlockSpec:
        if self.cross is not None and not isinstance(self.cross.pattern, Full):
            raise ValueError(
                "cross-attention sees the whole source: expected pattern full, "
                f"got {self.cross.pattern.kind}; put windows on the self-attention of encoder or decoder"
            )
        if self.cross is not None and self.cross.position.kind != "none":
            raise ValueError(f"cross-attention has no positions: expected none, got {self.cross.position.kind}")
        if self.cross is not None and self.residual.parallel != "no":
            raise ValueError("parallel sublayers have no place for cross-attention: set residual.parallel to no")
        if self.cross is not None and self.cross.approximate:
            raise ValueError(f"cross-attention looks at all pairs: expected mixing softmax, got {self.cross.mixing.kind}")
        if self.attention.global_heads and self.residual.values:
            raise ValueError("global heads have no value residual: set residual.values or global_heads to false")
        return self

    def params(self, width: int, layer: int) -> Counts:
        joins = 2 + (self.cross is not None)
        attention = self.attention.params(width)
        if self.cross is not None:
            attention += self.cross.heads.params(width)
        rest = self.residual.params(width, self.norm, joins, layer)
        return Counts({"attention": attention, "feed_forward": self.ffn.params(width), "norms": rest})

    def flops(self, width: int, tokens: int, pairs: int, source: int, cross_pairs: int) -> Counts:
        """Forward FLOPs for `tokens` tokens, `pairs` (query, key) pairs, and a source of `source` tokens."""
        heads = self.attention.heads
        projections, scores = heads.flops(width, tokens, tokens), self.attention.score_flops(width, tokens, pairs)
        scores += self.attention.content_flops(width, tokens, tokens)
        if self.cross is not None:
            projections += self.cross.heads.flops(width, tokens, source)
            scores += self.cross.heads.score_flops(width, cross_pairs)
        return Counts({"attention": projections, "scores": scores, "feed_forward": self.ffn.flops(width, tokens)})


class Block(nn.Module):
    def __init__(self, spec: BlockSpec, width: int, dropout: DropoutSpec, layer: int) -> None:
        super().__init__()
        residual, norm, drop = spec.residual, spec.norm, dropout.residual
        later = layer > 0  # the first layer is where x₀ and v₀ come from
        self.attention = Attention(spec.attention, width, dropout.attention, residual.values and later)
        self.cross = Attention(spec.cross, width, dropout.attention) if spec.cross is not None else None
        self.ffn = spec.ffn.build(width, dropout.activation)
        self.parallel, self.depth_drop = residual.parallel != "no", residual.stochastic_depth
        branches = 2 if self.parallel else 1
        self.join_attention = Join(residual, norm, width, drop, branches, bare=residual.skip_first_norm)
        self.join_cross = Join(residual, norm, width, drop) if spec.cross is not None else None
        self.join_ffn = None if self.parallel else Join(residual, norm, width, drop)
        self.x0_mix = nn.Parameter(torch.tensor([1.0, 0.0])) if residual.x0 and later else None

    def forward(
        self,
        x: Tensor,
        view: View,
        *,
        store: Store | None = None,
        cross: View | None = None,
        memory: Entry | None = None,
        first: First | None = None,
        depth: float = 1.0,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """x (B, T, D) → (x, this layer's values, its balance loss or None). depth: (layer + 1) / layers."""
        values = balance = None
        drop = self.depth_drop * depth if self.training else 0.0

        def attend(h: Tensor) -> Tensor:
            nonlocal values
            o, values = self.attention(h, view, store, first=first)
            return o

        def feed(h: Tensor) -> Tensor:
            nonlocal balance
            if not isinstance(self.ffn, Experts):
                return self.ffn(h)
            y, balance = self.ffn(h, view.valid)
            return y

        if self.x0_mix is not None:
            assert first is not None, "later layers know the first one's input"
            x = self.x0_mix[0] * x + self.x0_mix[1] * first.x
        if self.join_ffn is None:
            return self.join_attention(x, attend, feed, valid=view.valid, drop=drop), values, balance
        x = self.join_attention(x, attend, valid=view.valid, drop=drop)
        look = self.cross
        if look is not None and self.join_cross is not None:
            x = self.join_cross(x, lambda h: look(h, cross, memory=memory)[0], valid=view.valid, drop=drop)
        return self.join_ffn(x, feed, valid=view.valid, drop=drop), values, balance
