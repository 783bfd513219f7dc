"""What an architecture costs, counted: parameters by part and kind of layer, those at work per token, bytes of cache."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

import torch

from polyhead.nn import ModelSpec, PairSpec, StackSpec
from polyhead.nn.block import BlockSpec
from polyhead.nn.ffn import GatedSpec
from polyhead.nn.latent import Heads

from .words import count


class Row(NamedTuple):
    """One line of the table. each: parameters of one layer, None where that says nothing; depth 1 details the row above."""

    name: str
    each: int | None
    total: int
    depth: int = 0


def towers(spec: ModelSpec | PairSpec) -> dict[str, ModelSpec]:
    """A pair's models by name; a model alone has the name ""."""
    return {"image": spec.image, "text": spec.text} if isinstance(spec, PairSpec) else {"": spec}


def rows(spec: ModelSpec | PairSpec) -> list[Row]:
    """Parameters by part and by kind of layer. The rows of depth 0 add up to spec.params().total."""
    if not isinstance(spec, PairSpec):
        return _rows(spec)
    both = [
        row if row.depth else row._replace(name=f"{name}: {row.name}") for name, tower in towers(spec).items() for row in _rows(tower)
    ]
    rest = spec.params().total - sum(row.total for row in both if not row.depth)
    return [*both, Row("scale", None, rest)]


def _rows(spec: ModelSpec) -> list[Row]:
    parts, out = dict(spec.params().parts), []
    for place, stack in spec.stacks.items():
        whose = f"{place}: " if len(spec.stacks) > 1 else ""
        layers = _layers(stack, whose)
        rest = {name.partition(".")[2]: n for name, n in parts.items() if name.startswith(f"{place}.")}
        for name, n in _by_part(stack).items():
            rest[name] = rest.get(name, 0) - n
        names = {"positions": "position tables in attention", "norms": "final norm"}
        after = [Row(whose + names.get(name, name), None, n) for name, n in rest.items() if name != "embedding"]
        out += [Row(f"{whose}embedding", None, rest.get("embedding", 0)), *layers, *after]
    stacks = tuple(f"{place}." for place in spec.stacks)
    out += [Row(name.replace("heads.", "head "), None, n) for name, n in parts.items() if not name.startswith(stacks)]
    return [row for row in out if row.total]


def _by_part(stack: StackSpec) -> Counter[str]:
    """Parameters of all layers by part, each set of weights once."""
    total: Counter[str] = Counter()
    for layer in stack.owners().values():
        total.update(stack.blocks[stack.kind(layer)].params(stack.width, layer).parts)
    return total


def _layers(stack: StackSpec, whose: str) -> list[Row]:
    """A row per kind of layer, and below it one per part."""
    out = []
    for kind, block in stack.blocks.items():
        owners = sorted(layer for layer in stack.owners().values() if stack.kind(layer) == kind)
        sets = [_parts(stack, layer) for layer in owners]
        told = count(sum(stack.kind(i) == kind for i in range(stack.layers)), "layer")
        told += f" {kind}" if len(stack.blocks) > 1 else ""
        told += f", {count(len(sets), 'set')} of weights" if len(stack.owners()) < stack.layers else ""
        out.append(Row(whose + told, sum(sets[-1].values()), sum(map(Counter.total, sets))))
        for part in sets[-1]:
            name = {"feed_forward": "experts" if block.ffn.kind == "experts" else "feed-forward"}.get(part, part)
            out.append(Row(name, sets[-1][part], sum(one[part] for one in sets), 1))
    return out


def _parts(stack: StackSpec, layer: int) -> Counter[str]:
    """One layer's parameters by part, cross-attention told apart."""
    block = stack.blocks[stack.kind(layer)]
    parts = Counter(block.params(stack.width, layer).parts)
    if block.cross is None:
        return parts
    crossed = block.cross.heads.params(stack.width)
    out: Counter[str] = Counter()
    for name, n in parts.items():
        out[name] = n - crossed if name == "attention" else n
        if name == "attention":
            out["cross-attention"] = crossed
    return out


def active(spec: ModelSpec | PairSpec) -> int:
    """Parameters that work on one token: all but those of the experts it does not visit."""
    idle = 0
    for stack in (stack for tower in towers(spec).values() for stack in tower.stacks.values()):
        for layer in stack.owners().values():
            ffn = stack.blocks[stack.kind(layer)].ffn
            if ffn.kind == "experts":
                expert = GatedSpec(inner=ffn.inner, act=ffn.act, bias=ffn.bias).params(stack.width)
                idle += (ffn.experts - ffn.top_k) * expert
    return spec.params().total - idle


def table(spec: ModelSpec | PairSpec) -> list[str]:
    """The rows with their shares, the total, and what is at work per token where that is less."""
    found, total, working = rows(spec), spec.params().total, active(spec)
    found.append(Row("total", None, total))
    if working < total:
        found.append(Row("at work on one token", None, working))
    names = [f"{'  ' * row.depth}{row.name}" for row in found]
    wide = max(map(len, names))
    head = f"{'parameters':<{wide + 2}}  {'one layer':>15}  {'in all':>17}   share"
    lines = [
        f"  {name:<{wide}}  {'' if row.each is None else f'{row.each:,}':>15}  {row.total:>17,}  {row.total / (total or 1):6.1%}"
        for name, row in zip(names, found, strict=True)
    ]
    return [head, *lines]


def cache_bytes(spec: ModelSpec, item: int = 4) -> int:
    """Bytes one more token of a decoder costs in the cache, with `item` bytes a number; 0 without a decoder.

    Windows stop growing at their width, sums over tokens (mixing linear, performer) never grow; the memory of an encoder is not counted.
    """
    stack = spec.decoder
    if stack is None:
        return 0
    numbers = {kind: _per_token(block, stack.width) for kind, block in stack.blocks.items()}
    return sum(item * numbers[stack.kind(i)] for i in range(stack.layers))


def _per_token(block: BlockSpec, width: int) -> int:
    return 0 if block.attention.state(width) is not None else entry_numbers(block.attention.heads, width)


def entry_numbers(heads: Heads, width: int) -> int:
    """Numbers that one token's entry has in the cache of one layer."""
    with torch.device("meta"):  # no memory: only the shapes are asked for
        return sum(n * wide for n, wide in heads.build(width).shapes())


def allocation(spec: ModelSpec, rows: int, length: int, item: int = 4, slack: int = 0, source: int = 0) -> dict[str, int]:
    """Bytes of a decoder's cache for `rows` rows of at most `length` tokens, as `new_cache` allocates them: entries (rings where a
    window is shorter; with a slot for padding), positions (a number per slot of each capacity), and memory, the keys and values
    of `source` tokens that cross-attention looks at (in the model's dtype, `item` bytes as well)."""
    stack = spec.decoder
    if stack is None:
        return {"entries": 0, "positions": 0, "memory": 0}
    capacity = {}
    for kind, block in stack.blocks.items():
        back = block.attention.pattern.reach()[0]
        capacity[kind] = length if back is None else min(length, back + 1 + slack)
    entries = memory = 0
    for i in range(stack.layers):
        block = stack.blocks[stack.kind(i)]
        state = block.attention.state(stack.width)
        if state is not None:  # in fp32 at least
            entries += rows * max(item, 4) * math.prod(state)
        else:
            entries += rows * (capacity[stack.kind(i)] + 1) * item * entry_numbers(block.attention.heads, stack.width)
        if block.cross is not None:
            memory += rows * source * item * entry_numbers(block.cross.heads, stack.width)
    return {"entries": entries, "positions": sum(8 * rows * (n + 1) for n in set(capacity.values())), "memory": memory}


def windowed(spec: ModelSpec | PairSpec) -> bool:
    """Whether some layers of a decoder keep only a window of tokens."""
    decoders = [tower.decoder for tower in towers(spec).values() if tower.decoder is not None]
    return any(block.attention.pattern.reach()[0] is not None for stack in decoders for block in stack.blocks.values())
