"""A stack, encoder or decoder: embedding, layers of a few kinds in a stated layout, final norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .approximate import Approximate, Mixing
from .at import At
from .attend import Backend, Lowered, lower
from .attention import AttentionSpec, Far, First, View
from .banded import some
from .block import Block, BlockSpec, DropoutSpec
from .cache import Cache, Line, Running, Store
from .content import Relative
from .embedding import EmbeddingSpec
from .heads import Entry
from .norm import Norm
from .pattern import EVERYTHING, Forms, blocked, causal_only, forms, within_documents
from .position import Position
from .rotary import Dynamic, LongRope, RotarySpec
from .sharing import NoSharing, Sharing
from .spec import Counts, Spec
from .tokens import Tokens

PositionKey = tuple[Relative, int, int]


class StackSpec(Spec):
    """`layout` names the kind of each layer and is repeated until `layers` layers stand, e.g. ("local", "full")."""

    width: int = Field(gt=0)
    layers: int = Field(gt=0, le=10_000)
    embedding: EmbeddingSpec
    blocks: dict[str, BlockSpec] = Field(min_length=1)
    layout: tuple[str, ...] = Field(min_length=1)
    sharing: Sharing = NoSharing()
    final_norm: Norm | None = None

    @model_validator(mode="after")
    def _consistent(self) -> StackSpec:
        unknown = [name for name in self.layout if name not in self.blocks]
        unused = [name for name in self.blocks if name not in self.layout]
        if unknown or unused:
            raise ValueError(f"layout must use exactly the kinds in blocks: unknown {unknown}, unused {unused}")
        for name, block in self.blocks.items():
            for attention in (block.attention, *([block.cross] if block.cross else [])):
                dim = attention.heads.rotary_dim(self.width)  # refuses heads that do not divide the width
                if isinstance(attention.position, RotarySpec):
                    check_rotary(attention.position, dim, name)
        kinds: dict[int, str] = {}
        for i, weights in enumerate(self.order()):
            if kinds.setdefault(weights, self.kind(i)) != self.kind(i):
                raise ValueError(f"layers that share weights must be of one kind: layer {i} is {self.kind(i)!r}")
        residuals = [b.residual for b in self.blocks.values()]
        if len(kinds) < self.layers and any(r.values or r.x0 for r in residuals):
            raise ValueError("value and x0 residuals need a first layer of their own: set sharing to none")
        return self

    def kind(self, layer: int) -> str:
        return self.layout[layer % len(self.layout)]

    def order(self) -> tuple[int, ...]:
        return self.sharing.order(self.layers)

    def owners(self) -> dict[int, int]:
        """weight set → the first executed layer that uses it."""
        return {weights: i for i, weights in reversed(list(enumerate(self.order())))}

    def positions(self) -> list[PositionKey]:
        """The distinct (relative position, heads, head_dim) of the stack; each has one module, shared by its layers."""
        keys = [position_key(self.blocks[self.kind(i)].attention, self.width) for i in range(self.layers)]
        return list(dict.fromkeys(keys))

    def params(self) -> Counts:
        total = Counts({"embedding": self.embedding.params(self.width)})
        for _, layer in sorted(self.owners().items()):
            total += self.blocks[self.kind(layer)].params(self.width, layer)
        relative = sum(spec.params(self.width, heads, dim) for spec, heads, dim in self.positions())
        final = self.final_norm.params(self.width) if self.final_norm else 0
        shared = {block.attention.mixing for block in self.blocks.values() if block.attention.mixing.shared}
        return total + Counts({"positions": relative, "norms": final, "attention": sum(m.params() for m in shared)})

    def flops(self, tokens: int, rows: int, source: int = 0) -> Counts:
        """Forward FLOPs of `rows` rows of `tokens` tokens (or patches, class token included) each, over memories of `source` tokens each."""
        total = Counts({"embedding": self.embedding.flops(self.width, tokens, rows)})
        for i in range(self.layers):
            block = self.blocks[self.kind(i)]
            pairs = (rows * tokens * tokens, rows * tokens * source)
            total += block.flops(self.width, rows * tokens, pairs[0], rows * source, pairs[1])
        return total


def position_key(attention: AttentionSpec, width: int) -> PositionKey:
    """What makes two layers share a position module."""
    return attention.position, attention.heads.heads, attention.heads.rotary_dim(width)


class Stack(nn.Module):
    """Called with Tokens; returns (x (B, T, D), sum of balance losses or None)."""

    def __init__(self, spec: StackSpec, dropout: DropoutSpec) -> None:
        super().__init__()
        self.spec, self.order = spec, spec.order()
        self.kinds = [spec.kind(i) for i in range(spec.layers)]
        self.embed = spec.embedding.build(spec.width, dropout)
        owners = sorted(spec.owners().items())
        blocks = nn.ModuleList(Block(spec.blocks[spec.kind(i)], spec.width, dropout, i) for _, i in owners)
        self.layers = cast(Sequence[Block], blocks)  # torch's list has no word for what it holds
        shared: dict[Mixing, nn.Module] = {}  # one projection along the length for all layers
        for block, (_, i) in zip(self.layers, owners, strict=True):
            mixing = spec.blocks[spec.kind(i)].attention.mixing
            if mixing.shared and block.attention.mixing is not None:
                block.attention.mixing = shared.setdefault(mixing, block.attention.mixing)
        keys = spec.positions()
        relative = nn.ModuleList(position.build(spec.width, heads, dim) for position, heads, dim in keys)
        self.relative = cast(Sequence[Position], relative)
        self.position_of = {n: keys.index(position_key(b.attention, spec.width)) for n, b in spec.blocks.items()}
        self.final_norm = spec.final_norm.build(spec.width) if spec.final_norm else None
        self.patterns = {name: forms(block.attention.pattern) for name, block in spec.blocks.items()}
        self.backend: Backend = "auto"
        self.checkpoint = False  # recompute each layer in the backward pass: less memory, a third more time
        self.last_why: dict[str, str] = {}

    def forward(
        self, tokens: Tokens, cache: Cache | None = None, memory: Tensor | None = None, memory_at: At | None = None
    ) -> tuple[Tensor, Tensor | None]:
        at = self._at(tokens, cache)
        valid = at.valid()
        if valid is not None:
            assert tokens.ids is not None, "a signal has no padding"
            valid = valid.expand(tokens.ids.shape)
        x = self.embed(tokens, at, valid)
        views, cross = self._views(x, at, valid, cache, memory_at)
        entries = self.remember(memory) if memory is not None else cache.memory if cache is not None else None
        first = First(x)
        total: Tensor | None = None  # balance losses
        for i, (weights, kind) in enumerate(zip(self.order, self.kinds, strict=True)):
            extra = {
                "store": cache.stores[i] if cache is not None else None,
                "cross": cross.get(kind),
                "memory": entries[i] if entries else None,
                "first": first,
                "depth": (i + 1) / len(self.kinds),
            }
            x, values, balance = self._run(self.layers[weights], x, views[kind], extra)
            first = First(first.x, values) if i == 0 else first
            total = balance if total is None else total if balance is None else total + balance
        x = x if self.final_norm is None else self.final_norm(x, valid)
        return x, total

    def _run(self, block: Block, x: Tensor, view: View, extra: dict[str, Any]) -> tuple:
        if self.checkpoint and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, view, use_reentrant=False, **extra)
        return block(x, view, **extra)

    def _at(self, tokens: Tokens, cache: Cache | None) -> At:
        at = At.of(tokens, self.embed.length(tokens))
        if cache is None or tokens.pos is not None:
            return at
        if not cache.level:
            raise ValueError("rows of this cache stand at different positions: expected pos (B, T), got none")
        return at._replace(pos=at.pos + cache.count)

    def _views(
        self, x: Tensor, at: At, valid: Tensor | None, cache: Cache | None, memory_at: At | None
    ) -> tuple[dict[str, View], dict[str, View]]:
        """Everything that depends on who sees whom, once per kind and call."""
        length = cache.length if cache is not None else at.pos.shape[1]
        tables = [position.prepare(at, length) for position in self.relative]
        plans = {} if cache is None else {id(line): line.advance(at) for line in set(cache.lines.values())}
        if memory_at is None and cache is not None:
            memory_at = cache.memory_at
        views, cross = {}, {}
        for kind, block in self.spec.blocks.items():
            position, table = self.relative[self.position_of[kind]], tables[self.position_of[kind]]
            plan = None if cache is None else plans[id(cache.lines[kind])]
            keys = at if plan is None else plan.keys
            lowered = self._lower(block.attention, self.patterns[kind], position, table, at, keys, plan, x.dtype)
            if not torch.compiler.is_compiling():  # a graph that writes a note is compiled twice
                self.last_why[kind] = f"{lowered.path}: {lowered.why}"
            content, far = _content(position, table, at, keys), self._far(block.attention, position, at, length, x.dtype)
            views[kind] = View(at, lowered, _turn(position, table), plan, valid, content, far)
            if block.cross is not None:
                seen = self._lower_cross(block.cross, at, memory_at, x.dtype)
                cross[kind] = View(at, seen, _turn(Position(), None), None, valid)
        return views, cross

    def _lower(
        self, spec: AttentionSpec, pattern: Forms, position: Position, table: Any, q: At, k: At, plan: Any,
        dtype: torch.dtype,
    ) -> Lowered:  # fmt: skip
        if isinstance(spec.mixing, Approximate):
            return spec.mixing.lower(within_documents(pattern, q), q, self.backend)
        bias = _bias(position, table)
        fresh, packed = (True, False) if plan is None else (plan.fresh, plan.packed)
        heads = spec.heads
        return lower(
            within_documents(pattern, q), q, k, heads=heads.heads, fresh=fresh, packed=packed, dtype=dtype, bias=bias,
            softcap=heads.softcap, content=position.relates, backend=self.backend, far=not spec.global_heads,
            weighed=weighed(spec),
        )  # fmt: skip

    def _far(self, spec: AttentionSpec, position: Position, at: At, length: int, dtype: torch.dtype) -> Far | None:
        """What global heads do in this call: the marked tokens look at all of their document."""
        if not spec.global_heads or at.mark is None:
            return None
        who = some(at.mark if not at.padded else at.mark & (at.pos >= 0))
        if who.place.shape[1] == 0:
            return None
        rows = at.take(who.place)
        table = position.prepare(rows, length)
        backend = self.backend if self.backend in ("reference", "sdpa") else "auto"
        lowered = lower(
            within_documents(EVERYTHING, at), rows, at, heads=spec.heads.heads, fresh=False, packed=False, dtype=dtype,
            bias=_bias(position, table), softcap=spec.heads.softcap, backend=backend, weighed=weighed(spec),
        )  # fmt: skip
        return Far(who, lowered, _turn(position, table))

    def _lower_cross(self, spec: AttentionSpec, q: At, memory_at: At | None, dtype: torch.dtype) -> Lowered:
        if memory_at is None:
            raise ValueError("this decoder has cross-attention: expected a source or a memory, got none")
        q = q._replace(mark=None)
        heads, keys = spec.heads, memory_at._replace(mark=None)
        pattern = within_documents(EVERYTHING, q) if keys.segment is not None else EVERYTHING.alone
        backend = "auto" if self.backend == "banded" else self.backend
        return lower(
            pattern, q._replace(segment=q.segment if keys.segment is not None else None), keys, heads=heads.heads,
            fresh=False, packed=False, dtype=dtype, softcap=heads.softcap, backend=backend, weighed=weighed(spec),
        )  # fmt: skip

    def remember(self, memory: Tensor) -> list[Entry | None]:
        """The cross-attention entries of an encoder's output (B, S, D), one per executed layer."""
        still = _turn(Position(), None)
        blocks = [self.layers[weights] for weights in self.order]
        return [None if b.cross is None else b.cross.heads.entry(memory, still) for b in blocks]

    def new_cache(self, batch: int, length: int, slack: int = 0) -> Cache:
        """A cache for `batch` rows of at most `length` tokens. slack: extra ring slots, the longest draft to roll back."""
        if self.embed.token is None:
            raise ValueError(f"only token ids come step by step: this stack reads {self.spec.embedding.input.kind}")
        weight = next(self.parameters())
        # one query over a half-precision cache is several times slower on a CPU than over an fp32 one
        slow = weight.device.type == "cpu" and weight.dtype in (torch.bfloat16, torch.float16)
        dtype = torch.float32 if slow else weight.dtype
        lines: dict[str, Line] = {}
        sizes: dict[int, Line] = {}
        for kind, block in self.spec.blocks.items():
            if not causal_only(block.attention.pattern):
                raise ValueError(f"only causal attention can be cached: block {kind!r} looks ahead")
            if blocked(block.attention.pattern) is not None:
                raise ValueError(f"block_sparse needs whole rows and cannot be cached: block {kind!r} has it")
            back = block.attention.pattern.reach()[0]
            size = length if back is None else min(length, back + 1 + slack)
            sizes.setdefault(size, Line(batch, size, size < length, weight.device))
            lines[kind] = sizes[size]
        stores: list[Store] = []
        for weights, kind in zip(self.order, self.kinds, strict=True):
            shapes, state = self.layers[weights].attention.heads.shapes(), self.spec.blocks[kind].attention.state(self.spec.width)
            if state is not None:
                stores.append(Running(batch, state, torch.float64 if dtype == torch.float64 else torch.float32, weight.device))
                continue
            stores.append(Store(batch, lines[kind].capacity, shapes, dtype, weight.device))
        return Cache(lines, stores, length)


def weighed(spec: AttentionSpec) -> bool:
    """Whether weights are made of the scores by other means than softmax."""
    return spec.mixing.kind != "softmax" and not spec.approximate


def check_rotary(spec: RotarySpec, head_dim: int, block: str) -> None:
    """A rotation must fit the heads of its block; head_dim is known only once the width is."""
    dim, scaling = spec.dim or head_dim, spec.scaling
    if dim % 2:
        raise ValueError(f"rotary needs an even head_dim in block {block!r}: got {head_dim}")
    if dim > head_dim:
        raise ValueError(f"rotary dim must be at most head_dim {head_dim} in block {block!r}: got {dim}")
    if isinstance(scaling, LongRope) and {len(scaling.short), len(scaling.long)} != {dim // 2}:
        sizes = len(scaling.short), len(scaling.long)
        raise ValueError(f"longrope needs {dim // 2} factors in short and in long in block {block!r}: got {sizes}")
    if isinstance(scaling, Dynamic) and dim == 2:
        raise ValueError(f"dynamic scaling needs at least 4 rotated features in block {block!r}: got {dim}")


def _bias(position: Position, table: Any) -> Any:
    return (lambda head, rows, cols: position.bias(table, head, rows, cols)) if position.biased else None


def _turn(position: Position, table: Any) -> Any:
    return lambda t: position.rotate(t, table)


def _content(position: Position, table: Any, q: At, k: At) -> Any:
    if not position.relates:
        return None
    index = position.index(q, k)
    return lambda queries, keys, heads: position.content(table, index, queries, keys, heads)
