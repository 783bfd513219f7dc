"""The laws as plain functions: spec → nothing, or AssertionError. The tests run them, the mutations must break them.

Every check builds its own tiny model with random values in fp64 (specs.build), so that a defect put into the package is
in force from the first line on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from polyhead import nn as ph
from polyhead.nn.at import At
from polyhead.nn.stack import weighed

from . import specs
from .common import EXACT, close, length_bound, pad, random_ids, row_of, row_source, rows_of, source_of
from .oracle import Oracle, Row, sees

# ---------------------------------------------------------------- law 0: the formula itself


@torch.no_grad()
def law_formula(spec: ph.ModelSpec, length: int = 9) -> None:
    """The model is what its spec says: equal to a naive second implementation."""
    model, ids = specs.build(spec), random_ids(1, length, seed=3)
    source = source_of(spec, 1)
    row = Row(ids[0].tolist(), list(range(length)))
    other = None if source is None else Row(source.ids[0].tolist(), list(range(source.ids.shape[1])))
    close(model(ph.Tokens(ids), source)[0], Oracle(model).logits(row, other), 2e-5, "formula")


@torch.no_grad()
def law_formula_of_batches(spec: ph.ModelSpec) -> None:
    """Padding, marks, types and packed documents against the oracle, which knows only real tokens."""
    model, ids = specs.build(spec), random_ids(2, 10, seed=4)
    pos = torch.stack([torch.arange(10) - 3, torch.arange(10)]).clamp(min=-1)
    mark, segment = pos < 3, torch.arange(10).repeat(2, 1) // 5
    types = random_ids(2, 10, seed=5) % 2 if spec.top.embedding.types else None
    source = source_of(spec, 2, padded=True)
    variants = {
        "padded": ph.Tokens(ids, pos, types=types, padded=True),
        "marked": ph.Tokens(ids, pos, mark=mark, padded=True),
        "packed": ph.Tokens(ids, None if spec.decoder else pos.clamp(min=0), segment=segment, types=types),
    }
    for what, tokens in variants.items():
        if what == "packed" and spec.heads["out"].pool != "none":
            continue
        out = model(tokens, source)
        for i in range(2):
            real = torch.ones(10, dtype=torch.bool) if tokens.pos is None else tokens.pos[i] >= 0
            row = row_of(tokens, i, real)
            other = None if source is None else row_of(source, i, source.pos[i] >= 0)
            got = out[i][real] if spec.heads["out"].pool == "none" else out[i]
            close(got, Oracle(model, length=10).logits(row, other), 2e-5, what)


# ---------------------------------------------------------------- law 3: cache


def in_chunks(
    model: ph.Transformer, tokens: ph.Tokens, cuts: Sequence[int], source: Any = None, slack: int = 0
) -> Tensor:
    """Logits of a cached run whose calls end at `cuts`."""
    rows, length = tokens.ids.shape
    cache = model.new_cache(rows, length, slack)
    out, start = [], 0
    for stop in (*cuts, length):
        part = piece(tokens, start, stop)
        out.append(model(part, source if start == 0 else None, cache=cache))
        start = stop
    assert cache.count == (length if tokens.pos is None else int(tokens.pos.max()) + 1)
    return torch.cat(out, 1)


def piece(tokens: ph.Tokens, start: int, stop: int) -> ph.Tokens:
    """Columns start..stop; a call without padding says so."""
    pos = None if tokens.pos is None else tokens.pos[:, start:stop]
    mark = None if tokens.mark is None or start else tokens.mark[:, :stop]
    padded = pos is not None and bool((pos < 0).any())
    return ph.Tokens(tokens.ids[:, start:stop], pos, mark=mark, padded=padded)


CUTS = ((4,), (1, 2, 9), (5, 6, 7, 8, 9, 10, 11))


@torch.no_grad()
def law_cache(spec: ph.ModelSpec, cuts: Sequence[Sequence[int]] = CUTS, length: int = 12) -> None:
    """Prefill + steps, chunked in any way, = one full forward."""
    model, tokens = specs.build(spec), ph.Tokens(random_ids(2, length))
    source = source_of(spec, 2, padded=True)
    full = model(tokens, source)
    for cut in cuts:
        close(in_chunks(model, tokens, cut, source), full, what=f"cache cut at {cut}")
    close(in_chunks(model, tokens, (2, 3, 4, 5, 6, 7, 9), source, slack=2), full, what="cache with slack")


@torch.no_grad()
def law_cache_unequal(spec: ph.ModelSpec) -> None:
    """Prompts of unequal length, padded on either side, then steps: each row as if it were alone."""
    model, lengths, steps = specs.build(spec), (5, 8), 5
    ids, source = random_ids(2, 8 + steps, seed=2), source_of(spec, 2, padded=True)
    rows = [ids[i, : n + steps] for i, n in enumerate(lengths)]
    for side in ("left", "right"):
        cache = model.new_cache(2, 8 + steps)
        prompt = pad([r[:n] for r, n in zip(rows, lengths, strict=True)], side, 8)
        first = model(prompt, source, cache=cache)
        answers = [[first[i][prompt.pos[i] >= 0]] for i in range(2)]
        for step in range(steps):
            now = torch.tensor([[n + step] for n in lengths])
            token = torch.stack([r[p] for r, p in zip(rows, now, strict=True)])
            out = model(ph.Tokens(token, now), cache=cache)
            for i in range(2):
                answers[i].append(out[i])
        for i, row in enumerate(rows):
            alone = alone_in_batch(model, row, 8 + steps, source, i)
            close(torch.cat(answers[i]), alone, what=f"row {i} padded on the {side}, cached")


def alone_in_batch(model: ph.Transformer, row: Tensor, width: int, source: ph.Tokens | None, i: int) -> Tensor:
    """One row by itself; filled up to `width` where the rotation depends on the length of the call."""
    other = None if source is None else row_source(source, i)
    if length_bound(model.spec):
        return model(pad([row], "right", width), other)[0][: len(row)]
    return model(ph.Tokens(row[None]), other)[0]


@torch.no_grad()
def law_cache_rollback(spec: ph.ModelSpec, slack: int = 3) -> None:
    """A draft of `slack` tokens, rolled back wholly or in part, leaves no trace."""
    model, ids, length = specs.build(spec), random_ids(2, 14, seed=6), 14
    full = model(ph.Tokens(ids))
    for start in (5, 9):
        for kept in sorted({0, slack - 1}):
            cache = model.new_cache(2, length, slack)
            model(ph.Tokens(ids[:, :start]), cache=cache)
            draft = torch.cat([ids[:, start : start + kept], random_ids(2, slack - kept, seed=kept + 20)], 1)
            model(ph.Tokens(draft), cache=cache)
            cache.truncate(start + kept)
            assert cache.count == start + kept
            cuts = [start + kept, *range(start + kept + (2 if kept else 1), length)]  # then two tokens, or one
            out = [model(ph.Tokens(ids[:, a:b]), cache=cache) for a, b in zip(cuts, [*cuts[1:], length], strict=True)]
            close(torch.cat(out, 1), full[:, start + kept :], what=f"draft of {slack} at {start}, {kept} kept")


@torch.no_grad()
def law_cache_reorder(spec: ph.ModelSpec) -> None:
    """Rows exchanged, doubled and dropped between steps, as beams are."""
    model, ids = specs.build(spec), random_ids(3, 9, seed=7)
    source, width = source_of(spec, 3, padded=True), 9
    cache, lineage, now = model.new_cache(3, width), torch.arange(3), ids.clone()
    model(ph.Tokens(ids[:, :4]), source, cache=cache)
    for step, order in enumerate(([2, 0, 0], [1, 1, 2], [0, 2, 1], [2, 2, 2])):
        index = torch.tensor(order)
        cache.reorder(index)
        now, lineage = now[index], lineage[index]
        now[:, 4 + step] = random_ids(3, 1, seed=30 + step)[:, 0]
        out = model(ph.Tokens(now[:, 4 + step : 5 + step]), cache=cache)
        for i in range(3):
            other = None if source is None else row_source(source, int(lineage[i]))
            row = now[i, : 5 + step]
            alone = alone_in_batch(model, row, width, None if other is None else other, 0)
            close(out[i], alone[-1:], what=f"beam {i} at step {step}")


# ---------------------------------------------------------------- law 4: padding


@torch.no_grad()
def law_padding(spec: ph.ModelSpec, dtype: torch.dtype = torch.float64) -> None:
    """Pads and batch mates change nothing; other pad ids change not one bit."""
    model = specs.build(spec, dtype)
    tolerance = EXACT if dtype == torch.float64 else 2e-5
    rows, width = [random_ids(1, n, seed=n)[0] for n in (9, 4, 1)], 11
    source = source_of(spec, 3, padded=True)
    pooled = spec.heads["out"].pool != "none"
    alone = []
    for i, row in enumerate(rows):
        if pooled:
            alone.append(model(ph.Tokens(row[None]))[0])
        else:
            alone.append(alone_in_batch(model, row, width, source, i))
    for side in ("left", "right"):
        batch = pad(rows, side, width)
        out = model(batch, source)
        other = model(pad(rows, side, width, fill=specs.VOCAB - 1), None if source is None else _other_pads(source))
        for i in range(3):
            real = slice(None) if pooled else batch.pos[i] >= 0
            assert torch.equal(out[i][real], other[i][real]), f"pad ids matter, {side}"
            close(out[i][real], alone[i], tolerance, f"row {i} padded on the {side}")
        mates = model(pad([rows[1], random_ids(1, width, seed=50)[0]], side, width), rows_of(source, [1, 2]))
        real = slice(None) if pooled else batch.pos[1] >= 0
        close(mates[0][real], alone[1], tolerance, "another batch mate")


def _other_pads(source: ph.Tokens) -> ph.Tokens:
    return source._replace(ids=source.ids.masked_fill(source.pos < 0, 11))


# ---------------------------------------------------------------- law 5: no leak


def influence(model: ph.Transformer, tokens: ph.Tokens, row: int, source: ph.Tokens | None = None) -> Tensor:
    """(T, T) largest |d states[row, t] / d embedding[row, s]|; exact zeros where nothing flows."""
    stack, kept = model.top, []

    def leaf(module: Any, args: Any, out: Tensor) -> Tensor:
        kept.append(out.detach().requires_grad_())
        return kept[-1]

    handle = stack.embed.register_forward_hook(leaf)
    try:
        x, _ = model.hidden(tokens, source)
    finally:
        handle.remove()
    mix = torch.randn(x.shape[-1], dtype=x.dtype, generator=torch.Generator().manual_seed(8))
    rows = []
    for t in range(x.shape[1]):
        (grad,) = torch.autograd.grad((x[row, t] * mix).sum(), kept[0], retain_graph=True)
        others = torch.cat([grad[:row], grad[row + 1 :]])
        assert (others == 0).all(), "another row of the batch leaks in"
        rows.append(grad[row].abs().amax(-1))
    return torch.stack(rows)


def visible(stack: ph.StackSpec, row: Row) -> Tensor:
    """(T, T) who may influence whom through all layers: the product of the layers' own relations, and the residual."""
    n = len(row.ids)
    seen = torch.eye(n, dtype=torch.bool)
    for i in range(stack.layers):
        p = stack.blocks[stack.kind(i)].attention.pattern
        one = torch.tensor([[sees(p, row, t, row, s) for s in range(n)] for t in range(n)]) | torch.eye(n).bool()
        seen = (one.double() @ seen.double()) > 0
    return seen


def law_leak(
    spec: ph.ModelSpec,
    length: int = 8,
    train: bool = False,
    forms: Sequence[int] = (0, 2, 3),
    backends: Any = ("auto",),
) -> None:
    """d state[t] / d embedding[s] is exactly 0 where t may not see s, and not 0 where it may."""
    model = specs.build(spec).train(train)
    ids, source = random_ids(2, length, seed=11), source_of(spec, 2, padded=True)
    segment = torch.tensor([[0] * 4 + [1] * (length - 4), [0] * length])
    restart = torch.cat([torch.arange(4), torch.arange(length - 4)]).repeat(2, 1)
    left = torch.arange(length).sub(3).clamp(min=-1).repeat(2, 1)
    right = torch.arange(length).masked_fill(torch.arange(length) > 5, -1).repeat(2, 1)
    variants = [
        ph.Tokens(ids),
        ph.Tokens(ids, segment=segment),
        ph.Tokens(ids, restart, segment=segment),
        ph.Tokens(ids, left, padded=True),
        ph.Tokens(ids, right, padded=True),
        ph.Tokens(ids, mark=torch.arange(length).repeat(2, 1) < 4),
    ]
    for backend in backends:
        model.use(backend)
        for tokens in [variants[i] for i in forms]:
            real = torch.ones(length, dtype=torch.bool) if tokens.pos is None else tokens.pos[0] >= 0
            found = influence(model, tokens, 0, source)
            expected = visible(model.top.spec, row_of(tokens, 0, real))
            inside = found[real][:, real]
            assert (inside[~expected] == 0).all(), f"{backend}: a forbidden token leaks"
            assert (inside[expected] > 0).all(), f"{backend}: an allowed token does not arrive"
            assert (found[real][:, ~real] == 0).all(), f"{backend}: padding leaks"


# ---------------------------------------------------------------- law 6: backends


def batches(spec: ph.ModelSpec, length: int) -> dict[str, ph.Tokens]:
    """Every form a batch can take: even, padded, packed with shared or restarting positions, marked, a row of pads."""
    ids = random_ids(3, length, seed=12)
    half = length // 2
    segment = (torch.arange(length) >= torch.tensor([[3], [half], [length]])).long()
    restart = torch.stack([torch.cat([torch.arange(n), torch.arange(length - n)]) for n in (3, half, length)])
    left = torch.stack([torch.arange(length) - n for n in (0, 5, half)]).clamp(min=-1)
    right = torch.stack([torch.arange(length).masked_fill(torch.arange(length) >= n, -1) for n in (length, 4, 0)])
    assert length > 3
    return {
        "plain": ph.Tokens(ids),
        "one row of positions": ph.Tokens(ids, torch.arange(length)[None]),
        "left": ph.Tokens(ids, left, padded=True),
        "right": ph.Tokens(ids, right, padded=True),
        "packed": ph.Tokens(ids, segment=segment),
        "restarting": ph.Tokens(ids, restart, segment=segment),
        "marked": ph.Tokens(ids, mark=torch.arange(length).repeat(3, 1) < torch.tensor([[2], [5], [0]])),
        "marked, one row": ph.Tokens(ids, mark=torch.arange(length)[None] < 6),
    }


def capped(spec: ph.ModelSpec) -> bool:
    return any(b.attention.heads.softcap or weighed(b.attention) for s in spec.stacks.values() for b in s.blocks.values())


def related(spec: ph.ModelSpec) -> bool:
    """A position makes scores of queries and keys, or weights are not softmax's, which flex refuses."""
    return any(b.attention.relates or weighed(b.attention) for s in spec.stacks.values() for b in s.blocks.values())


@contextmanager
def untraced_flex() -> Iterator[None]:
    """flex_attention as torch lets one step through it: the same operations without Dynamo's second per model."""
    import torch.nn.attention.flex_attention  # noqa: F401

    with pytest.MonkeyPatch.context() as patch:
        flex = sys.modules["torch.nn.attention.flex_attention"]
        patch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True, raising=False)
        yield


def law_backends(
    spec: ph.ModelSpec,
    length: int = 35,
    names: Sequence[str] | None = None,
    flex: Sequence[str] = ("left", "packed"),
    traced: bool = False,
) -> None:
    """reference = sdpa = banded = auto, over every form of batch, forward and backward; flex, forward, over some."""
    model, source = specs.build(spec), source_of(spec, 3, padded=True)
    for what, tokens in batches(spec, length).items():
        if names is not None and what not in names:
            continue
        expected, gradient = _answer(model.use("reference"), tokens, source)
        for backend in ("sdpa", "banded", "auto"):
            if backend == "sdpa" and capped(spec):
                continue
            out, grad = _answer(model.use(backend), tokens, source)
            close(out, expected, 1e-11, f"{backend}, {what}")
            close(grad, gradient, 1e-10, f"{backend} backward, {what}")
        if what in flex and not related(spec):
            with torch.no_grad(), nullcontext() if traced else untraced_flex():
                out = model.use("flex").hidden(tokens, source)[0]
            close(out, expected, 1e-11, f"flex, {what}")


def _answer(model: ph.Transformer, tokens: ph.Tokens, source: Any) -> tuple[Tensor, Tensor]:
    x, _ = model.hidden(tokens, source)
    mix = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    inner = [p for n, p in model.named_parameters() if not n.startswith("heads")]
    grads = torch.autograd.grad((x * mix).sum(), inner, allow_unused=True)
    return x.detach(), torch.cat([g.flatten() for g in grads if g is not None])


# ---------------------------------------------------------------- law 7: masked rows


def law_masked_rows(spec: ph.ModelSpec, dtype: torch.dtype = torch.float64) -> None:
    """A row of padding only, and pads in others: everything finite, and the other rows as if it were not there."""
    model, length = specs.build(spec, dtype).train(), 20
    if batch_normed(spec):
        model.eval()
    ids = random_ids(3, length, seed=13)
    pos = torch.arange(length).repeat(3, 1)
    pos[0, :], pos[1, 12:] = -1, -1
    source = source_of(spec, 3)
    if source is not None:
        hidden = torch.arange(source.ids.shape[1]).repeat(3, 1)
        hidden[2] = -1
        source = source._replace(pos=hidden, padded=True)
    for backend in ("auto", "reference", "banded") + (() if capped(spec) else ("sdpa",)):
        model.zero_grad()
        tokens = ph.Tokens(ids, pos, padded=True)
        x, balance = model.use(backend).hidden(tokens, source)
        logits = model.logits(x, at=At(pos, padded=True), read=tokens if source is None else source)
        assert torch.isfinite(x).all() and torch.isfinite(logits).all(), f"{backend}: states are not finite"
        (logits.square().sum() + (0 if balance is None else balance)).backward()
        for name, p in model.named_parameters():
            assert p.grad is None or torch.isfinite(p.grad).all(), f"{backend}: gradient of {name} is not finite"
        without, _ = model.hidden(ph.Tokens(ids[1:], pos[1:], padded=True), rows_of(source, [1, 2]))
        close(x[1:][pos[1:] >= 0], without[pos[1:] >= 0], 1e-12 if dtype == torch.float64 else 2e-5, backend)


def batch_normed(spec: ph.ModelSpec) -> bool:
    norms = [b.norm for s in spec.stacks.values() for b in s.blocks.values()]
    return any(isinstance(n, ph.BatchNormSpec) for n in norms)


# ---------------------------------------------------------------- law 8: accumulation


def weighted_gradient(model: ph.Transformer, parts: Sequence[Sequence[int]], balanced: bool = True) -> Tensor:
    """Gradient of Σ weight·loss / Σ weight over 4 ragged rows, taken micro-batch by micro-batch."""
    model.zero_grad()
    length, n = 9, (9, 5, 2, 7)
    batch = pad([random_ids(1, k, seed=60 + k)[0] for k in n], "right", length)
    weights = (batch.pos >= 0).double() * torch.rand(4, length, generator=torch.Generator().manual_seed(3)).double()
    source, total = source_of(model.spec, 4, padded=True), weights.sum()
    for part in parts:
        index = list(part)
        tokens = ph.Tokens(batch.ids[index], batch.pos[index], padded=True)
        x, balance = model.hidden(tokens, rows_of(source, index))
        logits = model.logits(x, at=At(tokens.pos, padded=True))
        classes = logits.shape[-1]
        targets = (batch.ids[index] + 1) % classes
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        value = (loss * weights[index].flatten()).sum() / total
        if balanced and balance is not None:
            value = value + balance / len(parts)
        value.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


PARTS = ([[0, 1], [2, 3]], [[0], [1], [2], [3]], [[3, 1, 0], [2]])


def law_accumulation(spec: ph.ModelSpec, balanced: bool = True) -> None:
    """Micro-batches give the gradient of the whole batch when weights are counted per token."""
    model = specs.build(spec).train()
    whole = weighted_gradient(model, [[0, 1, 2, 3]], balanced)
    for parts in PARTS:
        close(weighted_gradient(model, parts, balanced), whole, what=f"micro-batches {parts}")


# ---------------------------------------------------------------- law 9: counts


def parts_of(model: ph.Transformer) -> dict[str, int]:
    """Parameters of a built module by the parts that `params()` names."""
    found: dict[str, int] = {}
    for name, p in model.named_parameters():
        if name.startswith("heads."):
            part = ".".join(name.split(".")[:2])
        else:
            side, _, rest = name.partition(".")
            words = rest.split(".")
            part = {"embed": "embedding", "relative": "positions", "final_norm": "norms"}.get(words[0])
            if part is None:
                inside = "attention" if {"heads", "global_heads", "mixing"} & set(words) else "feed_forward" if words[2] == "ffn" else "norms"
                part = inside
            part = f"{side}.{part}"
        found[part] = found.get(part, 0) + p.numel()
    return found


def law_params(spec: ph.ModelSpec) -> None:
    """params() = the built module, in all and by part (a shared table counts once)."""
    with torch.device("meta"):
        model = spec.build(seed=None)
    counts, found = spec.params(), parts_of(model)
    assert counts.total == sum(p.numel() for p in model.parameters())
    assert {k: v for k, v in counts.parts.items() if v} == {k: v for k, v in found.items() if v}


@torch.no_grad()
def law_flops(spec: ph.ModelSpec, length: int = 8, rows: int = 2) -> None:
    """flops() = torch's FlopCounterMode on the reference backend."""
    model = specs.build(spec, torch.float32).use("reference")
    source = source_of(spec, rows, 5)
    with FlopCounterMode(display=False) as counter:
        model(ph.Tokens(random_ids(rows, length)), source)
    expected = spec.flops(length, rows, None if source is None else 5).total
    assert counter.get_total_flops() == expected, f"counted {counter.get_total_flops()}, stated {expected}"
