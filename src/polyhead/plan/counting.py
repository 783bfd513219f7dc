"""Parameters against 12·d² per layer, FLOPs forward and back by part, what attention takes, what a kernel may skip."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch

from polyhead.nn import ExpertsSpec, GatedSpec, GroupedSpec, LatentSpec, ModelSpec, PlainSpec
from polyhead.nn.at import At
from polyhead.nn.block import BlockSpec
from polyhead.nn.inputs import Frames, Patches
from polyhead.nn.latent import Heads
from polyhead.nn.moe import FeedForward
from polyhead.nn.pattern import Pattern, allowed, leaves
from polyhead.nn.spec import Counts


class Twelve(NamedTuple):
    """A layer beside the rule of thumb. thumb: 12·d²; parts: what is added to it (or taken off), by name; exact: their sum."""

    kind: str
    thumb: int
    parts: dict[str, int]
    exact: int


def twelve(spec: ModelSpec) -> list[Twelve]:
    """12·d² per layer: 4·d² for queries, keys, values and output, 8·d² for a feed-forward four times as wide (Kaplan et al. 2020,
    arXiv 2001.08361, table 1). The corrections are exact: they add up to the layer's own count."""
    out = []
    for place, stack in spec.stacks.items():
        for kind, block in stack.blocks.items():
            layer = max(i for i in range(stack.layers) if stack.kind(i) == kind)
            d, exact = stack.width, block.params(stack.width, layer).total
            parts = _corrections(block, d)
            parts["norms, gains and mixes"] = exact - 12 * d * d - sum(parts.values())
            name = place if len(stack.blocks) == 1 else f"{place} {kind}"
            out.append(Twelve(name, 12 * d * d, {name: n for name, n in parts.items() if n}, exact))
    return out


def _corrections(block: BlockSpec, d: int) -> dict[str, int]:
    heads, out = block.attention.heads, Counter[str]()
    out[_why_attention(heads, d)] = matrices(heads, d) - 4 * d * d
    out["attention biases, norms and sinks"] = heads.params(d) - matrices(heads, d)
    out["projections along the length"] = 0 if block.attention.mixing.shared else block.attention.mixing.params()
    out["heads for marked tokens"] = block.attention.params(d) - heads.params(d) - out["projections along the length"]
    out["cross-attention"] = block.cross.heads.params(d) if block.cross is not None else 0
    wide = widths(block.ffn, d)
    out[_why_wide(block.ffn, d)] = wide - 8 * d * d
    out["feed-forward biases and routers" if isinstance(block.ffn, ExpertsSpec) else "feed-forward biases"] = block.ffn.params(d) - wide
    return dict(out)


def matrices(heads: Heads, d: int) -> int:
    """Numbers in the matrices of attention, without biases."""
    if isinstance(heads, LatentSpec):
        return sum(i * o for i, o, _ in heads._sizes(d).values())
    return 2 * d * heads.dim(d) * (heads.heads + heads.kv)


def _why_attention(heads: Heads, d: int) -> str:
    if isinstance(heads, LatentSpec):
        return "keys and values through a latent vector"
    shared = heads.kv < heads.heads
    wide = heads.heads * heads.dim(d) != d
    names = (["keys and values shared by heads"] if shared else []) + (["heads that are not d wide together"] if wide else [])
    return ", ".join(names) or "attention matrices"


def widths(ffn: FeedForward, d: int) -> int:
    """Numbers in the matrices of a feed-forward, all experts together."""
    if isinstance(ffn, ExpertsSpec):
        return 3 * d * (ffn.experts * ffn.inner + ffn.shared)
    return (3 if isinstance(ffn, GatedSpec) else 2) * d * ffn.hidden(d)


def _why_wide(ffn: FeedForward, d: int) -> str:
    if isinstance(ffn, ExpertsSpec):
        return f"{ffn.experts} experts of width {ffn.inner:,}"
    matrices = "three matrices" if isinstance(ffn, GatedSpec) else "two matrices"
    assert isinstance(ffn, PlainSpec | GatedSpec)
    return f"feed-forward of {matrices}, {ffn.hidden(d):,} wide"


# ---------------------------------------------------------------- FLOPs


def backward(spec: ModelSpec, tokens: int, rows: int = 1, source: int | None = None) -> Counts:
    """FLOPs of the backward pass by part, everything trained: each product again for its weight and again for its input, but the
    first one over a signal, whose input needs no gradient. Equal to what torch counts on the reference backend."""
    parts = dict(spec.flops(tokens, rows, source).times(2).parts)
    for place, stack in spec.stacks.items():
        length = tokens if place == "decoder" or spec.decoder is None else (tokens if source is None else source)
        read = stack.embedding.input
        if isinstance(read, Patches):
            parts[f"{place}.embedding"] -= first_product(read, stack.width, length, rows)
        elif isinstance(read, Frames):
            parts[f"{place}.embedding"] -= 2 * rows * 2 * length * 3 * read.channels * stack.width
    return Counts(parts)


def first_product(read: Patches, width: int, tokens: int, rows: int) -> int:
    """FLOPs of the one that reads pixels: the patch's own, or the stem's first."""
    if not read.stem:
        return read.flops(width, tokens, rows)
    return 2 * rows * (tokens - read.class_token) * 9 * read.channels * read.stem[0] * 4 ** (len(read.stem) - 1)


def thumb_flops(spec: ModelSpec, tokens: int) -> int:
    """2·N per token forward, N without embeddings, positions and tied tables (Kaplan et al. 2020, §2.1), experts as visited."""
    from polyhead.report.counting import active

    tables = sum(n for name, n in spec.params().parts.items() if name.endswith(".embedding"))
    return 2 * tokens * (active(spec) - tables)


def share_of_scores(spec: ModelSpec, tokens: int) -> float:
    """How much of the forward FLOPs are queries times keys and weights times values, every pair counted."""
    counts = spec.flops(tokens)
    scores = sum(n for name, n in counts.parts.items() if name.endswith(".scores"))
    return scores / counts.total if counts.total else 0.0


class Saving(NamedTuple):
    """What of the counted FLOPs a kernel that knows the pattern need not do. flops: forward, of all rows."""

    why: str
    flops: int


def savings(spec: ModelSpec, tokens: int, rows: int = 1) -> list[Saving]:
    """By kind of layer: pairs that causality or a window forbid."""
    out = []
    for place, stack in spec.stacks.items():
        for kind, block in stack.blocks.items():
            layers = sum(stack.kind(i) == kind for i in range(stack.layers))
            seen, heads = pairs(block.attention.pattern, tokens), block.attention.heads
            if block.attention.approximate:
                continue  # pairs are not what it counts
            skipped = layers * rows * heads.score_flops(stack.width, tokens * tokens - seen)
            if skipped:
                names = sorted({leaf.kind for leaf in leaves(block.attention.pattern)} - {"full"})
                out.append(Saving(f"{place}: {' and '.join(names)} ({seen / tokens**2:.0%} of the pairs)", skipped))
    return out


GRID = 1024  # up to here pairs are looked at one by one; beyond, the shape goes on as the reach says


def pairs(pattern: Pattern, tokens: int) -> int:
    """(query, key) pairs that may meet in a row without padding and marks; a bound where a long row's pattern has holes."""
    back, ahead = pattern.reach()
    if tokens <= GRID:
        at = At(torch.arange(tokens).unsqueeze(0))
        return int(allowed(pattern, at, at).sum())
    left, right = (tokens if n is None else min(n, tokens) for n in (back, ahead))
    return _band(tokens, left) + _band(tokens, right) - tokens


def _band(n: int, reach: int) -> int:
    """Pairs (q, k) with 0 ≤ q − k ≤ reach among n places."""
    reach = min(reach, n - 1)
    return (reach + 1) * n - reach * (reach + 1) // 2


def grouped(heads: Heads) -> str:
    """What the field calls it."""
    if not isinstance(heads, GroupedSpec):
        return "MLA"
    return "MHA" if heads.kv == heads.heads else "MQA" if heads.kv == 1 else "GQA"
