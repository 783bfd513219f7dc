"""The only softmax over scores in the package, and the only place where a pattern becomes a mask, a flag or blocks.

    lower(…)   once per call and block kind: which backend, which flag or mask, and why
    attend(…)  once per layer: softmax(q·kᵀ·scale [capped] + bias, where allowed [, sink])·v   (Vaswani et al. 2017, eq. 1)

Backends: reference (plain products, every feature), sdpa (torch's fused kernel), banded (windows as blocks of plain
products, linear in length, with a backward), flex (flex_attention; forward only on CPU). Shapes: q (B, h, T, d),
k (B, kv, S, d), v (B, kv, S, dv) with kv dividing h; T queries, S keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .at import At
from .banded import Band, collect, keys_per_query, lower_banded, put, spread, take
from .pattern import Causal, Full, Pattern, allowed, blocked, placed

Backend = Literal["auto", "reference", "sdpa", "banded", "flex"]
BiasFn = Callable[[Tensor, At, At], Tensor]  # (head, q rows, k cols) → added to the scores
Weigh = Callable[[Tensor, Tensor | None], Tensor]  # (scores, keys seen) → weights (weights.py)
BAND_FACTOR = 4  # auto takes banded once the keys are this many times the band
SHORT = 256  # compiled on a CPU, rows up to this long are faster as plain products than through the fused kernel


class Lowered(NamedTuple):
    """What `attend` needs to know about who sees whom; `why` is for people."""

    path: str
    causal: bool = False
    mask: Tensor | None = None  # bool, or float scores to add with −inf where forbidden
    band: Band | None = None
    flex: tuple | None = None
    why: str = ""


class Scoring(NamedTuple):
    """What one layer does with its scores: attend()'s own arguments."""

    scale: float
    softcap: float | None
    dropout: float
    sinks: Tensor | None
    weigh: Weigh | None = None


def lower(
    pattern: Pattern,
    q: At,
    k: At,
    *,
    heads: int,
    fresh: bool,
    packed: bool,
    dtype: torch.dtype,
    bias: BiasFn | None = None,
    softcap: float | None = None,
    content: bool = False,
    backend: Backend = "auto",
    far: bool = True,
    weighed: bool = False,
) -> Lowered:
    """Decide how to attend. fresh: the keys are the queries themselves; packed: keys are consecutive, none missing;
    content: each layer will add scores of its own (with_scores); far: False where the caller replaces what marked queries
    get, so that a band need not compute it; weighed: the weights are not softmax's."""
    n = k.pos.shape[1]
    facts = q if q.mark is not None or k.mark is None else q._replace(mark=k.mark)  # marks the cache remembers
    pattern = pattern.simplify(facts, n if fresh else None)
    if blocked(pattern) is not None and not fresh:
        raise ValueError("block_sparse needs the whole row at once: expected keys that are the queries themselves")
    q, k = placed(pattern, q, k)
    bias = _with_repeats(bias, pattern, n)
    plain = not (q.padded or k.padded) and bias is None
    path = _choose(pattern, q, n, fresh, softcap, content, backend, weighed)
    if path == "banded":
        return _lower_banded(pattern, q, heads, dtype, bias, far)
    if path == "flex":
        return _lower_flex(pattern, q, k, heads, bias)
    if plain and isinstance(pattern, Full):
        return Lowered(path, why="everything is visible: no mask")
    if plain and fresh and isinstance(pattern, Causal):
        return Lowered(path, causal=True, why="causal over the queries themselves: a flag, no mask")
    if plain and packed and q.pos.shape[1] == 1 and pattern.covers(n):
        return Lowered(path, why="one query that sees all its keys: no mask")
    return Lowered(path, mask=_mask(pattern, q, k, heads, dtype, bias), why="a mask built once for all layers of this kind")


def _choose(
    pattern: Pattern, q: At, n: int, fresh: bool, softcap: float | None, content: bool, backend: Backend, weighed: bool
) -> str:
    band = fresh and not content and backend in ("auto", "banded")  # scores of all pairs come before blocks are cut
    width = keys_per_query(pattern, q, count=False) if band else None
    if backend == "flex" and content:
        raise ValueError("flex adds no scores made of queries and keys: use backend auto, sdpa or reference")
    if weighed and backend in ("sdpa", "flex"):
        raise ValueError(f"{backend} knows no weights but softmax's: use backend auto, reference or banded, or mixing softmax")
    if backend == "sdpa" and softcap is not None:
        raise ValueError("sdpa cannot cap scores: use backend reference or flex, or softcap null")
    if backend == "banded" and width is None:
        backend = "auto"  # a cached step or an unbounded kind of the same model: the band does not apply
    if backend != "auto":
        return backend
    if softcap is not None or weighed:
        return "reference"
    if width is not None and n >= BAND_FACTOR * width:
        counted = keys_per_query(pattern, q)
        if counted is not None and n >= BAND_FACTOR * counted:
            return "banded"
    compiled_cpu = torch.compiler.is_compiling() and q.pos.device.type == "cpu"
    return "reference" if compiled_cpu and fresh and n <= SHORT else "sdpa"


def _with_repeats(bias: BiasFn | None, pattern: Pattern, n: int) -> BiasFn | None:
    """The position's bias, and the pattern's for keys that count more than once."""
    sparse = blocked(pattern)
    if sparse is None or not sparse.repeats(n):
        return bias
    if bias is None:
        return lambda head, q, k: sparse.bias(q, k)
    return lambda head, q, k: bias(head, q, k) + sparse.bias(q, k)


def _mask(
    pattern: Pattern, q: At, k: At, heads: int, dtype: torch.dtype, bias: BiasFn | None, only: Tensor | None = None
) -> Tensor:
    """(B|1, 1|h, T, S): bool, or with a bias the scores to add. only (B|1, S) bool: keys that count."""
    mask = allowed(pattern, q, k)
    if only is not None:
        mask = mask & only[:, None, None, :]
    if bias is None:
        return mask
    head = torch.arange(heads, device=mask.device).view(1, heads, 1, 1)
    return bias(head, q.rows(), k.cols()).to(dtype).masked_fill(~mask, float("-inf"))


def with_scores(lowered: Lowered, scores: Tensor) -> Lowered:
    """The same with a layer's own scores (B, h, T, S) added to those of queries and keys, already scaled."""
    mask = lowered.mask
    if lowered.causal:  # no flag beside a mask
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask
    elif mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return lowered._replace(causal=False, mask=scores)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lowered: Lowered,
    *,
    scale: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    dropout: float = 0.0,
    weigh: Weigh | None = None,
) -> Tensor:
    """(B, h, T, dv). sinks (h,): a score per head that joins the softmax without a value. dropout is the probability in
    force now (0 outside training), on attention weights. weigh: what stands in the softmax's place."""
    how = Scoring(scale, softcap, dropout, sinks, weigh)
    if lowered.path == "flex":
        return _flex(q, k, v, lowered, how)
    if lowered.path == "banded":
        return _banded(q, k, v, lowered, how)
    if lowered.path == "reference":
        return _reference(q, k, v, lowered, how)
    return _sdpa(q, k, v, lowered, how)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, lowered: Lowered, how: Scoring) -> Tensor:
    if how.sinks is not None:
        if q.shape[-2] == 1:  # a step: one row of scores costs less than a copy of all keys
            return _reference(q, k, v, lowered, how)
        joined = _with_sinks(q, k, v, lowered, how)
        return _sdpa(*joined, how._replace(sinks=None))[:, :, 1:, : v.shape[-1]]
    if v.shape[-1] != k.shape[-1]:  # kernels want one width; the plain products they fall back to hold all scores
        wide = max(v.shape[-1], k.shape[-1])
        q, k, value = (F.pad(t, (0, wide - t.shape[-1])) for t in (q, k, v))
        return _sdpa(q, k, value, lowered, how)[..., : v.shape[-1]]
    grouped, mask = q.shape[1] != k.shape[1], lowered.mask
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(q.dtype)  # a cache may be wider than the model
    return F.scaled_dot_product_attention(
        q, k, v, mask, how.dropout, lowered.causal, scale=how.scale, enable_gqa=grouped
    )


def _with_sinks(q: Tensor, k: Tensor, v: Tensor, lowered: Lowered, how: Scoring) -> tuple[Tensor, Tensor, Tensor, Lowered]:
    """The same attention for a kernel that knows no sinks: one more key before the others, which every query scores by
    its head's sink through a feature of its own, and whose value is 0. One more query before the others keeps a causal
    flag true; its answer is dropped. No mask per head is needed, and the sink has a gradient."""
    room = 8 - q.shape[-1] % 8  # kernels like widths of eights
    assert how.sinks is not None
    sink = (how.sinks / how.scale).to(q.dtype).view(1, -1, 1, 1).expand(*q.shape[:-1], 1)
    q = F.pad(torch.cat([q, sink], -1), (0, room - 1, 1, 0))
    first = F.pad(torch.ones_like(k[:, :, :1, :1]), (k.shape[-1], room - 1))
    k = torch.cat([first, F.pad(k, (0, room))], 2)
    v, mask = F.pad(v, (0, room, 1, 0)), lowered.mask
    if mask is not None:
        mask = F.pad(mask, (1, 0, 1, 0), value=True if mask.dtype == torch.bool else 0.0)
    return q, k, v, lowered._replace(mask=mask)


def _reference(q: Tensor, k: Tensor, v: Tensor, lowered: Lowered, how: Scoring) -> Tensor:
    """Equation 1 as written; statistics in fp32; a row that may see nothing gives zeros."""
    length, groups = q.shape[2], q.shape[1] // k.shape[1]
    if groups > 1:  # the heads that share a key head ask as more queries of it
        q = q.unflatten(1, (-1, groups)).flatten(2, 3)
    scores = (q * how.scale) @ k.transpose(-1, -2)
    scores = scores if scores.dtype == torch.float64 else scores.float()
    scores = scores.unflatten(2, (groups, length)).flatten(1, 2) if groups > 1 else scores
    if how.softcap is not None:
        scores = how.softcap * torch.tanh(scores / how.softcap)
    mask = lowered.mask
    if lowered.causal:  # every row sees itself, so none is empty
        later = torch.ones(length, k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
        mask = mask if how.weigh is None else ~later
    if mask is not None and mask.dtype != torch.bool:
        scores, mask = scores + mask.masked_fill(mask == float("-inf"), 0.0), mask != float("-inf")
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    if how.weigh is not None:
        weights = how.weigh(scores, mask)
    elif how.sinks is None:
        weights = scores.softmax(-1)
    else:
        sink = how.sinks.to(scores.dtype).view(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
        weights = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
    if mask is not None:
        weights = weights * mask
    weights = F.dropout(weights.to(v.dtype), how.dropout)
    if groups == 1:
        return weights @ v
    out = weights.unflatten(1, (-1, groups)).flatten(2, 3) @ v
    return out.unflatten(2, (groups, length)).flatten(1, 2)


# ---------------------------------------------------------------- banded: windows as blocks


def _lower_banded(
    pattern: Pattern, q: At, heads: int, dtype: torch.dtype, bias: BiasFn | None, far: bool
) -> Lowered:
    def mask_of(rows: At, keys: At, only: Tensor | None) -> Tensor:
        return _mask(pattern, rows, keys, heads, dtype, bias, only)

    band, mask = lower_banded(pattern, q, mask_of, far)
    beside = "" if band.columns is None else f" and {band.columns.shape[2]} keys beside them"
    return Lowered("banded", mask=mask, band=band, why=f"blocks of {band.block}{beside}: linear in length")


def _banded(q: Tensor, k: Tensor, v: Tensor, lowered: Lowered, how: Scoring) -> Tensor:
    run, band, mask = _sdpa if how.softcap is None and how.weigh is None else _reference, lowered.band, lowered.mask
    assert band is not None and mask is not None
    queries, keys, values, mask = spread(q, k, v, band, mask)
    out = collect(run(queries, keys, values, lowered._replace(mask=mask), how), q.shape[0], q.shape[2])
    if band.far is None:
        return out
    return put(out, band.far, run(take(q, band.far), k, v, lowered._replace(mask=band.far_mask), how))


# ---------------------------------------------------------------- flex


def _lower_flex(pattern: Pattern, q: At, k: At, heads: int, bias: BiasFn | None) -> Lowered:
    from torch.nn.attention.flex_attention import create_block_mask

    def at(b: Tensor, i: Tensor, where: At) -> At:
        return where.map(lambda t: t[b if t.shape[0] > 1 else 0, i])

    def mask_mod(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        rows, cols = at(b, i, q), at(b, j, k)
        return pattern.allows(rows, cols) & (cols.pos >= 0) & (rows.pos >= 0)

    def score_bias(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return score if bias is None else score + bias(h, at(b, i, q), at(b, j, k))

    batch = max(q.rows_of_batch(), k.rows_of_batch())
    size = (q.pos.shape[1], k.pos.shape[1])
    mask = create_block_mask(mask_mod, batch if batch > 1 else None, None, *size, device=str(q.pos.device))
    return Lowered("flex", flex=(mask, None if bias is None else score_bias), why="flex_attention with a block mask")


def _flex(q: Tensor, k: Tensor, v: Tensor, lowered: Lowered, how: Scoring) -> Tensor:
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    if how.dropout:
        raise ValueError("flex has no dropout on attention weights: use backend sdpa, or dropout.attention 0")
    if q.device.type == "cpu" and torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        raise ValueError("flex has no backward on CPU: train with backend auto, sdpa, banded or reference")
    assert lowered.flex is not None
    mask, bias = lowered.flex
    softcap = how.softcap

    def score_mod(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        return score if bias is None else bias(score, b, h, i, j)

    modify = score_mod if softcap is not None or bias is not None else None
    run: Any = flex_attention if q.device.type == "cpu" else _compiled_flex()
    asked = {"score_mod": modify, "block_mask": mask, "scale": how.scale, "enable_gqa": q.shape[1] != k.shape[1]}
    if how.sinks is None:
        return run(q, k, v, **asked)
    out, aux = run(q, k, v, **asked, return_aux=AuxRequest(lse=True))
    keep = torch.sigmoid(aux.lse - how.sinks.to(aux.lse.dtype).view(1, -1, 1))  # e^lse / (e^lse + e^sink)
    return out * keep.unsqueeze(-1).to(out.dtype)


_compiled: list[Callable] = []


def _compiled_flex() -> Callable:
    """Compiled once per process: uncompiled flex_attention materialises all scores."""
    if not _compiled:
        from torch.nn.attention.flex_attention import flex_attention

        _compiled.append(torch.compile(flex_attention, dynamic=True))
    return _compiled[0]
