"""A model cut into what layouts move about: per layer, its parameters, its products, and the numbers its tokens leave behind."""

from __future__ import annotations

from dataclasses import dataclass

from polyhead.errors import ConfigError
from polyhead.nn import ExpertsSpec, GatedSpec, LatentSpec, ModelSpec, PairSpec, StackSpec

WIDE = 2  # bytes of a number in 16-bit training


@dataclass(frozen=True)
class Layer:
    """One layer. params: without routed experts; routed: of all of those. flops: forward, of one token's products, scores left out.
    pair_flops: of one (query, key) pair. stream: bytes per token kept that tensor parallelism alone does not split; split: those it does.
    stream_moved, split_moved: bytes per token that elementwise kernels read and write in a forward pass. score_kept, score_moved: bytes
    per pair where attention keeps its scores. kv: numbers of keys and values per token. joins: additions to the stream, each with an
    all-reduce under tensor parallelism. sent: bytes per token that expert parallelism sends one way. back, ahead: tokens it sees."""

    params: int
    routed: int
    flops: int
    pair_flops: int
    stream: int
    split: int
    stream_moved: int
    split_moved: int
    score_kept: int
    score_moved: int
    kv: int
    joins: int
    sent: int
    back: int | None
    ahead: int | None

    def pairs(self, length: int, seen: bool) -> int:
        """(query, key) pairs of one row; seen: only those the pattern lets through."""
        if not seen:
            return length * length
        back = length - 1 if self.back is None else min(self.back, length - 1)
        ahead = length - 1 if self.ahead is None else min(self.ahead, length - 1)
        return length * (back + ahead + 1) - back * (back + 1) // 2 - ahead * (ahead + 1) // 2


@dataclass(frozen=True)
class Pieces:
    """layers in order; first, last: parameters before and after them; shared: those of a table that both ends use; head_flops: forward, of
    one token's logits; width, vocab."""

    layers: tuple[Layer, ...]
    first: int
    last: int
    shared: int
    head_flops: int
    width: int
    vocab: int

    @property
    def total(self) -> int:
        return sum(layer.params + layer.routed for layer in self.layers) + self.first + self.last


def cut(spec: ModelSpec | PairSpec) -> Pieces:
    """ConfigError for what is no single stack."""
    if isinstance(spec, PairSpec) or len(spec.stacks) != 1:
        raise ConfigError("layouts are planned for one stack of layers", expected="a decoder or an encoder alone",
                          received="a pair of towers" if isinstance(spec, PairSpec) else "an encoder and a decoder")  # fmt: skip
    stack, head = spec.top, next(iter(spec.heads.values()))
    owners = set(stack.owners().values())
    layers = tuple(_layer(spec, stack, i, i in owners) for i in range(stack.layers))
    parts = spec.params().parts
    place = next(iter(spec.stacks))
    first = parts.get(f"{place}.embedding", 0) + parts.get(f"{place}.positions", 0)
    last = spec.params().total - first - sum(layer.params + layer.routed for layer in layers)
    table = (stack.embedding.vocab or 0) * stack.embedding.table_width(stack.width) if head.tied else 0
    return Pieces(layers, first, last, table, head.flops(stack.width, 1), stack.width, head.output or 0)


def _layer(spec: ModelSpec, stack: StackSpec, index: int, owner: bool) -> Layer:
    block, width, drop = stack.blocks[stack.kind(index)], stack.width, spec.dropout
    heads, ffn = block.attention.heads, block.ffn
    length = spec.context if block.attention.approximate else 0
    parts = block.flops(width, length or 1, length**2, 0, 0).parts
    scores = parts["scores"] if not length else 0  # what takes their place grows with the tokens, not with the pairs
    params = block.params(width, index).total if owner else 0
    routed = 0
    if isinstance(ffn, ExpertsSpec):
        routed = (ffn.experts * GatedSpec(inner=ffn.inner, act=ffn.act, bias=ffn.bias).params(width)) if owner else 0
        inner, gated = ffn.inner * ffn.top_k + ffn.shared, True
    else:
        inner, gated = ffn.hidden(width), isinstance(ffn, GatedSpec)
    joins = 2 if block.residual.parallel == "no" else 1
    kv = heads.kv_rank + heads.rope if isinstance(heads, LatentSpec) else 2 * heads.kv * heads.dim(width)
    projected = block.attention.activations(width)
    back, ahead = block.attention.pattern.reach()
    return Layer(
        params=params - routed, routed=routed, flops=(sum(parts.values()) - scores) // (length or 1),
        pair_flops=0 if length else heads.score_flops(width, 1),
        stream=2 * joins * WIDE * width + joins * width * (drop.residual > 0),
        split=WIDE * (projected + (3 if gated else 2) * inner),
        stream_moved=(2 + 3) * joins * WIDE * width + (WIDE * width if joins == 1 else 0),
        split_moved=WIDE * ((3 if gated else 2) * inner + (2 * projected if block.attention.position.kind == "rotary" else 0)),
        score_kept=0 if length else (5 if drop.attention else 2) * heads.heads, score_moved=0 if length else (13 if drop.attention else 8) * heads.heads,
        kv=kv, joins=joins, sent=WIDE * width * ffn.top_k if isinstance(ffn, ExpertsSpec) else 0, back=back, ahead=ahead,
    )  # fmt: skip
