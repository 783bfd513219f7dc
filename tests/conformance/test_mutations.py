"""The laws bite: each defect below, put into the package, must make the named law fail on the named model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from polyhead.nn import (
    attend,
    attention,
    banded,
    block,
    block_sparse,
    cache,
    content,
    embedding,
    ffn,
    head,
    heads,
    latent,
    moe,
    norm,
    pattern,
    position,
    residual,
    rotary,
    stack,
)
from polyhead.nn.at import At

from . import laws, specs

D, E, S = specs.DECODERS, specs.ENCODERS, specs.SEQ2SEQS
Patch = Callable[[pytest.MonkeyPatch], None]


def replace(owner: Any, name: str, change: Callable[[Any], Any]) -> Patch:
    """Swap owner.name for change(the original)."""
    return lambda patch: patch.setattr(owner, name, change(getattr(owner, name)))


def on_result(change: Callable[..., Any]) -> Callable[[Any], Any]:
    """A function whose result is changed afterwards: change(result, *arguments)."""
    return lambda original: lambda *a, **k: change(original(*a, **k), *a)


def reference_only(change: Callable[..., Any]) -> Patch:
    """A defect of one backend."""
    return replace(attend, "_reference", lambda f: lambda q, k, v, low, *a: change(f, q, k, v, low, *a))


def _window_counts_itself(self: Any, q: At, k: At) -> torch.Tensor:
    near = q.pos - k.pos
    return (near <= self.back - 1) & (near >= -self.ahead)


def _no_pad_test(p: Any, q: At, k: At) -> torch.Tensor:
    return p.allows(q.rows(), k.cols())


def _one_slot_short(original: Any) -> Any:
    def build(self: Any, batch: int, capacity: int, ring: bool, device: Any = "cpu") -> None:
        original(self, batch, capacity - 1 if ring else capacity, ring, device)

    return build


def _write_then_see(self: Any, entry: Any, plan: Any) -> Any:
    """A ring's chunk written before its first queries looked."""
    if plan.mode == "fresh":
        self._write(entry, plan.slots)
        return entry
    self._write(entry, plan.slots)
    if plan.mode == "chunk":
        return tuple(torch.cat([s[:, :, :-1], e], 2) for s, e in zip(self.slots, entry, strict=True))
    return tuple(s[:, :, : plan.live] for s in self.slots)


def _rotate_keys_wrong(self: Any, x: torch.Tensor, table: Any) -> torch.Tensor:
    cos, sin = (t.to(x.dtype) for t in table)
    a, b = x[..., : self.dim // 2], x[..., self.dim // 2 : self.dim]
    return torch.cat([a * cos - b * sin, b * cos - a * sin, x[..., self.dim :]], -1)


def _always_interleaved(original: Any) -> Any:
    def init(self: Any, spec: Any, head_dim: int) -> None:
        original(self, spec, head_dim)
        self.interleaved = True

    return init


def _repeat_wrong(f: Any, q: Any, k: Any, v: Any, low: Any, *a: Any) -> Any:
    groups = q.shape[1] // k.shape[1]
    return f(q, k.repeat(1, groups, 1, 1), v.repeat(1, groups, 1, 1), low, *a)


def _cap_after_bias(f: Any, q: Any, k: Any, v: Any, low: Any, how: Any) -> Any:
    softcap = how.softcap
    if softcap is None or low.mask is None or low.mask.dtype == torch.bool:
        return f(q, k, v, low, how)
    scores = q * how.scale @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).transpose(-1, -2)
    scores = softcap * torch.tanh((scores + low.mask) / softcap)
    weights = scores.masked_fill(low.mask == float("-inf"), float("-inf")).softmax(-1)
    return weights @ v.repeat_interleave(q.shape[1] // k.shape[1], 1)


def _average_when_masked(f: Any, q: Any, k: Any, v: Any, low: Any, *a: Any) -> Any:
    if low.mask is None or low.mask.dtype != torch.bool:
        return f(q, k, v, low, *a)
    least = torch.zeros_like(low.mask, dtype=q.dtype).masked_fill(~low.mask, float("-inf"))
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    return (q @ k.transpose(-1, -2) * a[0].scale + least).softmax(-1) @ v


def _top_left(original: Any) -> Any:
    """is_causal wherever the pattern is causal, fresh or not."""

    def lower(p: Any, q: At, k: At, **facts: Any) -> Any:
        return original(p, q, k, **{**facts, "fresh": True})

    return lower


def _pre_becomes_post(original: Any) -> Any:
    def forward(self: Any, x: Any, *branches: Any, valid: Any = None, drop: float = 0.0) -> Any:
        if len(self.ins) != 1 or len(branches) != 1:
            return original(self, x, *branches, valid=valid, drop=drop)
        return self.ins[0](x + branches[0](x), valid)

    return forward


def _without_gain(original: Any) -> Any:
    def forward(self: Any, x: Any, *branches: Any, **k: Any) -> Any:
        kept, self.gains = self.gains, None
        try:
            return original(self, x, *branches, **k)
        finally:
            self.gains = kept

    return forward


def _without_skip(original: Any) -> Any:
    def forward(self: Any, x: Any, *branches: Any, **k: Any) -> Any:
        kept, self.skip = self.skip, None
        try:
            return original(self, x, *branches, **k)
        finally:
            self.skip = kept

    return forward


def _share_second_norm(original: Any) -> Any:
    def forward(self: Any, x: Any, *branches: Any, valid: Any = None, drop: float = 0.0) -> Any:
        norms = list(self.ins)
        if len(branches) != 2 or len(norms) != 2:
            return original(self, x, *branches, valid=valid, drop=drop)
        h = norms[0](x, valid)
        return x + branches[0](h) + branches[1](h)

    return forward


def _lose_memory_padding(original: Any) -> Any:
    def lower(self: Any, spec: Any, q: At, memory_at: At, dtype: Any) -> Any:
        return original(self, spec, q, memory_at._replace(pos=memory_at.pos.clamp(min=0), padded=False), dtype)

    return lower


def _ignore_documents(p: Any, q: At) -> Any:
    return p.alone


def _forget_bin(self: Any, q: At) -> torch.Tensor:
    return q.pos.remainder(self.capacity)


def _offset_lost(self: Any, tokens: Any, cache: Any) -> At:
    at = At.of(tokens)
    return at._replace(pos=at.pos + cache.count - 1) if cache is not None and cache.count and tokens.pos is None else at


def _positions_of_the_batch(original: Any) -> Any:
    """B16: one position vector for all rows, left-padded or not."""

    def of(tokens: Any, length: Any = None) -> At:
        at = original(tokens, length)
        return (
            at
            if tokens.pos is None
            else at._replace(pos=torch.arange(tokens.ids.shape[1])[None].where(at.pos >= 0, -1))
        )

    return staticmethod(of)


def _next_head(self: Any, table: Any, head: Any, q: At, k: At) -> torch.Tensor:
    return self.weight[self.bucket(q.pos, k.pos), (head + 1) % self.weight.shape[1]]


def _next_slope(self: Any, table: Any, head: Any, q: At, k: At) -> torch.Tensor:
    return table[(head + 1) % len(table)] * -(q.pos - k.pos).abs()


def _one_sided(self: Any, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return (q - k).clamp(0, self.spec.buckets - 1)


def _band_too_narrow(original: Any) -> Any:
    def low(p: Any, q: At, *a: Any) -> Any:
        lowered = original(p, q, *a)
        mask = lowered.mask.clone()
        mask[..., 0] = False if mask.dtype == torch.bool else float("-inf")
        width = mask.shape[-1] // (sum(lowered.band.sides) + 1)
        edge = mask[..., width - 1 : width] if lowered.band.sides[0] else mask[..., :1]
        edge.fill_(False if mask.dtype == torch.bool else float("-inf"))
        return lowered._replace(mask=mask)

    return low


def _flex_first_row(original: Any) -> Any:
    def low(p: Any, q: At, k: At, *a: Any) -> Any:
        return original(p, q.map(lambda t: t[:1]), k.map(lambda t: t[:1]), *a)

    return low


def _truncate_count_only(self: Any, length: int) -> None:
    self.count = min(self.count, length)


def _truncate_stays_even(self: Any, length: int) -> None:
    self.pos.masked_fill_(self.pos >= length, -1)
    self.count = min(self.count, length) - 1


def _reorder_memory_not(self: Any, index: torch.Tensor) -> None:
    for line in set(self.lines.values()):
        line.reorder(index)
    for store in self.stores:
        store.reorder(index)


def _unnormalised(f: Any) -> Any:
    def forward(self: Any, x: torch.Tensor) -> Any:
        chosen, weights, scores = f(self, x)
        return chosen, scores.gather(1, chosen), scores

    return forward


def _one_expert_less(self: Any, x: Any, chosen: Any, weights: Any) -> torch.Tensor:
    y = torch.zeros_like(x)
    for e in range(self.spec.experts - 1):
        token, slot = (chosen == e).nonzero(as_tuple=True)
        y = y.index_add(0, token, self._expert(e, x[token]) * weights[token, slot].unsqueeze(-1))
    return y


def _first_token_pools(x: Any, kind: str, *_: Any) -> Any:
    return {"first": x[:, 0], "last": x[:, -1], "mean": x.mean(1)}[kind]


def _averages_all(original: Any) -> Any:
    return lambda x, kind, *a: original(x, "mean" if kind == "mean_patches" else kind, *a)


def _pads_are_ids(original: Any) -> Any:
    return lambda x, kind, read, eos: original(x, kind, read._replace(padded=False), eos)


def _never_bare(original: Any) -> Any:
    return lambda *a, bare=False, **k: original(*a, **k)


def _capacity_of_values(self: Any, x: Any, valid: Any = None) -> Any:
    return x / (x.square().mean((-1, -2), keepdim=True) + self.eps).sqrt() * (1 if self.weight is None else self.weight)


def _unscaled(p: Any, table: Any, q: At, k: At) -> Any:
    index = p.index(q, k) if p.relates else None
    return p.relates and (lambda x, y, h: p.content(table, index, x, y, h) / h.scale) or None


def _bare_entry(self: Any, y: Any, turn: Any) -> Any:
    c, k = y.split([self.rank, self.rope], -1)
    return (torch.cat([c.unsqueeze(1), turn(k.unsqueeze(1))], -1),)


def _rows_by_role(self: Any) -> Any:
    keys, values = self.kv_b.weight.split([self.heads * self.nope, self.heads * self.value])
    return keys.unflatten(0, (self.heads, -1)), values.unflatten(0, (self.heads, -1))


def _scaled_when_absorbed(f: Any) -> Any:
    def expand(self: Any, q: Any, entry: Any) -> Any:
        q, k, v = f(self, q, entry)
        return (q * 1.1 if k is v else q), k, v

    return expand


def _hubs_counted_twice(original: Any) -> Any:
    def low(p: Any, q: At, mask_of: Any, far: bool = True) -> Any:
        return original(p, q, lambda rows, keys, only: mask_of(rows, keys, None), far)

    return low


def _marked(spec: Any) -> None:
    laws.law_backends(spec, 40, names=("marked",), flex=())


def _sparse(spec: Any) -> None:
    laws.law_backends(spec, 24, names=("plain",), flex=())


def _marks_in_steps(spec: Any) -> None:
    model, ids = specs.build(spec), laws.random_ids(2, 14)
    tokens = laws.ph.Tokens(ids, mark=torch.arange(14).repeat(2, 1) < 5)
    with torch.no_grad():
        laws.close(laws.in_chunks(model, tokens, (6, 7)), model(tokens))


BLOCKS = {name: specs.encoder(pattern=p, layers=1) for name, p in specs.BLOCKS.items()}
RING, ONE_LAYER = D["pattern-window"], specs.decoder(relative=specs.RELATIVE["alibi"], layers=1)
MUTATIONS: dict[str, tuple[Patch, Callable[[Any], None], Any]] = {
    "causal mask off by one, ahead": (replace(pattern.Causal, "allows", lambda f: lambda self, q, k: k.pos <= q.pos + 1), laws.law_formula_of_batches, D["pattern-causal"]),
    "causal mask off by one, behind": (replace(pattern.Causal, "allows", lambda f: lambda self, q, k: k.pos < q.pos), laws.law_formula, D["relative-alibi"]),
    "causal mask hides the far past": (replace(pattern.Causal, "allows", lambda f: lambda self, q, k: (k.pos <= q.pos) & (q.pos - k.pos < 5)), laws.law_leak, ONE_LAYER),
    "window counts itself": (replace(pattern.Window, "allows", lambda f: _window_counts_itself), laws.law_formula, RING),
    "window covers one more": (replace(pattern.Window, "covers", lambda f: lambda self, n: self.back >= n - 2), laws.law_cache, RING),
    "prefix not seen": (replace(pattern.Prefix, "allows", lambda f: lambda self, q, k: k.pos <= q.pos), laws.law_formula_of_batches, D["pattern-prefix"]),
    "marks dropped": (replace(pattern.Prefix, "simplify", lambda f: lambda self, q, n: pattern.Causal()), lambda s: laws.law_leak(s, forms=(5,)), D["pattern-prefix"]),
    "reach of a union is that of its narrowest part": (replace(pattern, "_most", lambda f: lambda sides: min(s for s in sides if s is not None)), laws.law_cache, D["pattern-windows"]),
    "global keys counted twice": (replace(attend, "lower_banded", _hubs_counted_twice), _marked, E["pattern-global_keys"]),
    "global queries see the band alone": (replace(attend, "lower_banded", lambda f: lambda p, q, m, far=True: f(p, q, m, False)), _marked, E["pattern-global_queries"]),
    "global queries through the heads of the others": (replace(stack.Stack, "_far", lambda f: lambda *a: None), laws.law_formula_of_batches, E["global_heads"]),
    "global heads write to the wrong token": (replace(attention, "put", lambda f: lambda t, who, new: f(t, who._replace(place=who.place.flip(1)), new)), laws.law_formula_of_batches, E["global_heads"]),
    "marks forgotten after the first call": (replace(cache.Line, "_remember_marks", lambda f: lambda *a: None), _marks_in_steps, D["pattern-window_globals"]),
    "a dilated window without its gaps": (replace(pattern.Dilated, "allows", lambda f: lambda self, q, k: (q.pos - k.pos).abs() <= self.back * self.step), laws.law_formula, D["pattern-dilated"]),
    "columns one to the left": (replace(pattern.Strided, "allows", lambda f: lambda self, q, k: (q.pos >= k.pos) & ((q.pos - k.pos + 1) % self.stride == 0)), laws.law_formula, D["pattern-strided_columns"]),
    "chunks of the query's own": (replace(pattern.Chunked, "allows", lambda f: lambda self, q, k: q.pos - k.pos < self.size), laws.law_formula, D["pattern-causal_chunked"]),
    "a chunk covers a ring": (replace(pattern.Chunked, "covers", lambda f: lambda self, n: True), laws.law_cache, D["pattern-causal_chunked"]),
    "first block counted once": (replace(block_sparse.BlockSparse, "repeats", lambda f: lambda self, n: False), lambda s: laws.law_formula(s, 24), BLOCKS["block0"]),
    "last block not seen": (replace(block_sparse.BlockSparse, "_blocks", lambda f: lambda self, at: (at.grid.place // self.block, at.grid.place < self.block)), lambda s: laws.law_leak(s, 24), BLOCKS["no_random"]),
    "random blocks of another seed": (replace(block_sparse, "draw_blocks", lambda f: lambda seed, *a: f(seed + 1, *a)), lambda s: laws.law_leak(s, 24), BLOCKS["seeded"]),
    "random blocks beside the wrong block": (replace(banded, "_columns", on_result(lambda r, *a: (r[0].roll(1, 1), r[1]))), _sparse, BLOCKS["seeded_of_three"]),
    "documents ignored": (replace(stack, "within_documents", lambda f: _ignore_documents), laws.law_leak, D["pattern-causal"]),
    "padding not masked": (replace(attend, "allowed", lambda f: _no_pad_test), laws.law_padding, D["pattern-causal"]),
    "top-left flag with a cache": (replace(stack, "lower", _top_left), laws.law_cache, D["pattern-causal"]),
    "cross memory unmasked padding": (replace(stack.Stack, "_lower_cross", _lose_memory_padding), laws.law_padding, S["rotary"]),
    "ring one slot short": (replace(cache.Line, "__init__", _one_slot_short), laws.law_cache, RING),
    "ring chunk written before it is read": (replace(cache.Store, "update", lambda f: _write_then_see), laws.law_cache, RING),
    "bin slot not used": (replace(cache.Line, "_slots", lambda f: _forget_bin), laws.law_cache_unequal, RING),
    "cached keys never tested for padding": (replace(cache.Line, "_seen", lambda f: lambda self, live: At(self.pos[:, :live])), laws.law_cache_unequal, D["pattern-causal"]),
    "position offset wrong by one": (replace(stack.Stack, "_at", lambda f: _offset_lost), laws.law_cache, D["absolute-learned"]),
    "positions of the batch, not the row": (replace(At, "of", _positions_of_the_batch), laws.law_padding, D["absolute-learned"]),
    "rollback keeps the draft": (replace(cache.Line, "truncate", lambda f: _truncate_count_only), laws.law_cache_rollback, RING),
    "rollback one too far": (replace(cache.Line, "truncate", lambda f: _truncate_stays_even), laws.law_cache_rollback, D["pattern-causal"]),
    "reorder forgets the memory": (replace(cache.Cache, "reorder", lambda f: _reorder_memory_not), laws.law_cache_reorder, S["rotary"]),
    "reorder forgets the stores": (replace(cache.Store, "reorder", lambda f: lambda self, index: None), laws.law_cache_reorder, D["pattern-causal"]),
    "scale missing": (replace(attention, "attend", lambda f: lambda q, k, v, low, *, scale, **r: f(q, k, v, low, scale=1.0, **r)), laws.law_formula, D["pattern-causal"]),
    "scale missing in one backend": (reference_only(lambda f, q, k, v, low, how: f(q, k, v, low, how._replace(scale=1.0))), laws.law_backends, D["pattern-causal"]),
    "grouped heads repeated in the wrong order": (reference_only(_repeat_wrong), laws.law_backends, D["heads-grouped"]),
    "soft cap after the bias": (reference_only(_cap_after_bias), laws.law_formula, D["softcap-buckets"]),
    "soft cap missing": (reference_only(lambda f, q, k, v, low, how: f(q, k, v, low, how._replace(softcap=None))), laws.law_formula, D["heads-softcap"]),
    "sinks missing": (replace(attention, "attend", lambda f: lambda *a, sinks, **k: f(*a, **k)), laws.law_formula, D["heads-sinks"]),
    "sinks scaled like a score": (replace(attend, "_with_sinks", lambda f: lambda q, k, v, low, how: f(q, k, v, low, how._replace(sinks=how.sinks * how.scale))), laws.law_backends, D["heads-sinks"]),
    "sinks of the wrong head": (replace(attend, "_with_sinks", lambda f: lambda q, k, v, low, how: f(q, k, v, low, how._replace(sinks=how.sinks.roll(1)))), laws.law_backends, D["heads-sinks"]),
    "sinks forgotten in a step": (reference_only(lambda f, q, k, v, low, how: f(q, k, v, low, how._replace(sinks=None))), laws.law_cache, D["heads-sinks"]),
    "distance of the other sign": (replace(content.Disentangled, "bucket", lambda f: lambda self, far: f(self, -far)), laws.law_formula, E["content-disentangled"]),
    "buckets never logarithmic": (replace(content.Disentangled, "bucket", lambda f: lambda self, far: far), laws.law_formula, E["content-disentangled"]),
    "rows not normed": (replace(content.Disentangled, "prepare", lambda f: lambda self, q, n: self.weight), laws.law_formula, E["content-disentangled"]),
    "rows through products without bias": (replace(heads.Grouped, "rows", on_result(lambda r, self, t: (r[0] - self.q.bias.view(self.heads, 1, -1), r[1]))), laws.law_formula, E["content-disentangled"]),
    "second term not transposed": (replace(content.Disentangled, "index", on_result(lambda r, *a: r.transpose(-1, -2))), laws.law_formula, E["content-disentangled"]),
    "scores of a position not scaled": (replace(stack, "_content", lambda f: _unscaled), laws.law_formula, E["content-shaw"]),
    "scores over a mask's forbidden pairs": (replace(attention, "with_scores", lambda f: lambda low, s: low._replace(causal=False, mask=s)), laws.law_leak, D["content-shaw"]),
    "distances of the slot, not the position": (replace(stack, "_content", lambda f: lambda p, t, q, k: f(p, t, q, k._replace(pos=torch.arange(k.pos.shape[1])[None]))), laws.law_cache_unequal, D["content-shaw"]),
    "content flops forgotten": (replace(attention.AttentionSpec, "content_flops", lambda f: lambda self, *a: 0), laws.law_flops, E["content-disentangled"]),
    "latent vector not normalised": (replace(latent.Latent, "_entry", lambda f: _bare_entry), laws.law_formula, D["heads-latent"]),
    "latent key not turned": (replace(latent.Latent, "_entry", lambda f: lambda self, y, turn: f(self, y, lambda t: t)), laws.law_formula, D["heads-latent"]),
    "latent rows by role, not by head": (replace(latent.Latent, "_rows", lambda f: _rows_by_role), laws.law_cache, D["heads-latent"]),
    "absorbed scores of another scale": (replace(latent.Latent, "expand", lambda f: _scaled_when_absorbed(f)), laws.law_cache, D["heads-latent_low_rank"]),
    "latent flops miscounted": (replace(latent.LatentSpec, "score_flops", lambda f: lambda self, w, pairs: 4 * pairs * self.heads * self.dim(w)), laws.law_flops, D["heads-latent"]),
    "a masked row is not zero": (reference_only(_average_when_masked), laws.law_masked_rows, D["pattern-causal"]),
    "band one key short": (replace(attend, "_lower_banded", _band_too_narrow), laws.law_backends, RING),
    "flex reads the first row's coordinates": (replace(attend, "_lower_flex", _flex_first_row), laws.law_backends, D["pattern-causal"]),
    "rotation with one sign wrong": (replace(rotary.Rotary, "rotate", lambda f: _rotate_keys_wrong), laws.law_formula, D["relative-rotary"]),
    "rotation interleaved": (replace(rotary.Rotary, "__init__", _always_interleaved), laws.law_formula, D["relative-rotary"]),
    "rotation counts from the call's start": (replace(rotary.Rotary, "prepare", lambda f: lambda self, q, n: f(self, q._replace(pos=q.pos - q.pos[:, :1]), n)), laws.law_cache, D["relative-rotary"]),
    "rotation ignores its scaling": (replace(rotary, "rotary_frequencies", lambda f: lambda s, d, n: f(s.model_copy(update={"scaling": None}), d, n)), laws.law_formula, D["relative-rotary_yarn"]),
    "rotation in bf16": (replace(rotary, "rotary_frequencies", on_result(lambda r, *a: (r[0].bfloat16().float(), r[1]))), laws.law_formula, D["relative-rotary_theta"]),
    "attention factor of yarn missing": (replace(rotary, "rotary_frequencies", on_result(lambda r, *a: (r[0], 1.0))), laws.law_formula, D["relative-rotary_yarn"]),
    "bias table of the wrong head": (replace(position.Buckets, "bias", lambda f: _next_head), laws.law_formula, D["relative-buckets"]),
    "slope of the wrong head": (replace(position.Alibi, "bias", lambda f: _next_slope), laws.law_formula, D["relative-alibi"]),
    "buckets of an encoder one-sided": (replace(position.Buckets, "bucket", lambda f: _one_sided), laws.law_formula, E["relative-buckets"]),
    "learned offset missing": (replace(position.Learned, "embed", lambda f: lambda self, x, pos: x + self.weight[pos.clamp(min=0)]), laws.law_formula, D["absolute-learned_offset"]),
    "norm moved": (replace(residual.Join, "forward", _pre_becomes_post), laws.law_formula, D["residual-pre"]),
    "gain missing": (replace(residual.Join, "forward", _without_gain), laws.law_formula, D["residual-layer_scale"]),
    "skip factor missing": (replace(residual.Join, "forward", _without_skip), laws.law_formula, D["residual-deepnorm"]),
    "second norm not used": (replace(residual.Join, "forward", _share_second_norm), laws.law_formula, D["residual-two_norms"]),
    "values not mixed": (replace(block.First, "v", lambda f: property(lambda self: None)), laws.law_formula, D["residual-first"]),
    "norm over tokens": (replace(norm.RMSNorm, "forward", lambda f: _capacity_of_values), laws.law_leak, D["norm-rms"]),
    "gain of (1 + w) missing its 1": (replace(norm.RMSNorm, "forward", lambda f: lambda self, x, valid=None: torch.nn.functional.rms_norm(x, self.width, self.weight, self.eps)), laws.law_formula, D["norm-rms_one_plus"]),
    "unscaled embedding": (replace(embedding.TokenEmbedding, "__init__", lambda f: lambda self, spec, *a: f(self, spec.model_copy(update={"scale": 1.0}), *a)), laws.law_formula, D["embedding-scaled"]),
    "gelu of another form": (replace(ffn, "ACTIVATIONS", lambda f: {**f, "gelu": f["gelu_tanh"]}), laws.law_formula, D["ffn-gated_gelu"]),
    "expert weights not normalised": (replace(moe.Router, "forward", _unnormalised), laws.law_formula, D["ffn-experts"]),
    "last expert never runs": (replace(moe.Experts, "_sparse", lambda f: _one_expert_less), laws.law_formula, D["ffn-experts"]),
    "padding visits experts": (replace(moe.Experts, "forward", lambda f: lambda self, x, valid=None: f(self, x, None)), laws.law_padding, D["ffn-experts_shared"]),
    "the first norm is not skipped": (replace(block, "Join", _never_bare), laws.law_params, D["residual-skip_first_norm"]),
    "sinusoids start at 0": (replace(position.Sinusoidal, "table", lambda f: lambda self, pos, w: f(self, pos - self.spec.offset, w)), laws.law_formula, D["absolute-sinusoidal_fairseq"]),
    "the class token is a patch": (replace(head, "pool", _averages_all), laws.law_formula, E["head-image"]),
    "ids of padding point somewhere": (replace(head, "_place", _pads_are_ids), laws.law_padding, E["head-largest_id"]),
    "a concatenation in another order": (replace(head.HeadSpec, "pools", lambda f: property(lambda self: f.fget(self)[::-1])), laws.law_formula, E["head-several"]),
    "pooling reads padding": (replace(head, "pool", lambda f: _first_token_pools), laws.law_padding, E["head-classify_mean"]),
    "parameters miscounted": (replace(heads.GroupedSpec, "params", on_result(lambda n, *a: n + 1)), laws.law_params, D["pattern-causal"]),
    "flops miscounted": (replace(ffn.GatedSpec, "flops", on_result(lambda n, *a: n // 3 * 2)), laws.law_flops, D["pattern-causal"]),
}  # fmt: skip


def test_there_are_enough_of_them():
    assert len(MUTATIONS) >= 25


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_law_catches(name, monkeypatch):
    patch, law, spec = MUTATIONS[name]
    with monkeypatch.context() as inside:
        patch(inside)
        with pytest.raises(AssertionError):
            law(spec)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_law_holds_without_the_defect(name):
    _, law, spec = MUTATIONS[name]
    law(spec)


def test_an_undefined_cache_would_be_seen(monkeypatch):
    """Trap 4: NaN in slots nobody may look at must not exist, for a masked NaN still counts."""
    monkeypatch.setattr(cache.torch, "zeros", lambda *a, **k: torch.full(a, float("nan"), **k))
    with pytest.raises(AssertionError):
        laws.law_cache_unequal(D["pattern-causal"])
