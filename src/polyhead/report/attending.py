"""Attention as plain steps: projections, positions, scores, who sees whom, the way out. steps.py has the rest and the letters."""

from __future__ import annotations

from typing import Any, NamedTuple

from polyhead.nn.attention import AttentionSpec

from . import words
from .words import Step, count, number, shape, times


class Made(NamedTuple):
    """What one choice of heads makes of its source."""

    project: list[Step]  # to q, k, v, but for what turns
    turn: str  # the step that turns queries and keys
    wide: int  # features of a head that turn
    join: list[Step]  # between turning and the scores
    out: list[Step]  # from a, the heads side by side, to a of the model's width
    dim: int  # features of a head's query; 0 = unknown


def attention(spec: AttentionSpec, width: int, source: str, cross: bool = False, mixed: bool = False) -> list[Step]:
    """From source (h, or x where no norm stands before it) to a. mixed: a value residual is added to v."""
    heads = spec.heads
    make = {"grouped": _grouped, "latent": _latent}.get(heads.kind, _unknown)
    made = make(heads, width, "memory" if cross else source, source, "S" if cross else "T")
    steps = list(made.project)
    if mixed:
        steps.append(Step("v = v + λ·v₀", "", "v₀: the first layer's v; λ learned, from the second layer on"))
    turn, bias = _position(spec.position, made, _scale(heads, made.dim))
    more = [Step(text) for text in words.fields(spec, skip=("heads", "pattern", "position", "global_heads", "mixing"))]
    if spec.mixing.kind in ("linear", "performer"):
        return [*steps, *turn, *made.join, *_sums(spec), *made.out[1:], *more]
    rank = getattr(spec.mixing, "rank", None)  # Linformer's
    scores = shape("B", getattr(heads, "heads", "heads"), "T", rank or ("S" if cross else "T"))
    steps += [] if rank is None else [Step("k, v = E·k, F·v", shape("B", getattr(heads, "kv", 1), rank, made.dim), words.say(spec.mixing))]
    steps += [*turn, *made.join, Step(f"s = q·k{_scale(heads, made.dim)}", scores, "a score per head, query and key")]
    if cap := getattr(heads, "softcap", None):
        steps.append(Step(f"s = {number(cap)}·tanh(s / {number(cap)})", "", "soft cap"))
    steps += bias
    seen = "every token sees the whole source" if cross else words.pattern(spec.pattern)
    if not cross and spec.pattern.kind != "full":
        steps.append(Step("s = −∞ where not seen", "", seen))
        seen = ""
    if getattr(heads, "sinks", False):
        seen = "; ".join(filter(None, [seen, "a learned sink per head takes part in the softmax and is then dropped"]))
    first = made.out[0]
    first = first._replace(do=first.do.replace("softmax(s)", _WEIGHTS.get(spec.mixing.kind, "softmax(s)")))
    told = "" if spec.mixing.kind in ("softmax", "linformer") else words.say(spec.mixing)
    steps.append(first._replace(how="; ".join(filter(None, [first.how, told, seen]))))
    if getattr(spec, "global_heads", False):
        steps.append(Step("a of marked tokens", "", "by the same steps with a Wq, Wk and Wv of their own (global_heads)"))
    return [*steps, *made.out[1:], *more]


_WEIGHTS = {"sigmoid": "σ(s − ln n)", "relu": "max(s, 0)/n", "entmax": "entmax(s)", "sparsemax": "sparsemax(s)"}


def _sums(spec: AttentionSpec) -> list[Step]:
    """From q, k and v to a without scores."""
    h, dim = getattr(spec.heads, "heads", 1), "m" if spec.mixing.kind == "performer" else "d"
    near = "over the tokens up to it" if spec.pattern.kind == "causal" else "over all tokens"
    return [
        Step("q, k = φ(q), φ(k)", shape("B", h, "T", getattr(spec.mixing, "features", dim)), words.say(spec.mixing)),
        Step("a = q·Σ kᵀv / q·Σ kᵀ", "", f"sums {near}: no score per pair"),
    ]


def _scale(heads: Any, dim: int) -> str:
    scale = getattr(heads, "scale", None)
    return times(scale) if scale is not None else f" / √{dim}" if dim else ""


def _position(spec: Any, made: Made, scale: str) -> tuple[list[Step], list[Step]]:
    """(steps on q and k, steps on the scores)"""
    if spec.kind == "none":
        return [], []
    text = words.position(spec, made.wide)
    if spec.kind == "rotary":
        return [Step(made.turn, "", text)], []
    step = {
        "alibi": _alibi, "buckets": lambda c, _: "s = s + bias[i − j]", "shaw": lambda c, scale: f"s = s + q·r[i − j]{scale}",
        "disentangled": lambda c, scale: f"s = s + (q·(r·Wk) + k·(r·Wq)){scale}",
    }.get(spec.kind, lambda c, _: "s = s + bias(query, key)")  # fmt: skip
    return [], [Step(step(spec, scale), "", text)]


def _alibi(spec: Any, scale: str) -> str:
    return ("s = s − slope·|i − j|" if spec.form == "relative" else "s = s + slope·j") + times(spec.scale)


# ---------------------------------------------------------------- choices of heads


def _unknown(heads: Any, width: int, memory: str, source: str, length: str) -> Made:
    told = "; ".join(dict.fromkeys((source, memory)))
    project = [Step(f"q, k, v from {told}", "", words.say(heads))]
    return Made(project, "q, k = turn(q), turn(k)", 0, [], [Step("a from softmax(s) and v", shape("B", "T", width))], 0)


_GROUPED = ("heads", "kv_heads", "head_dim", "bias", "qk_norm", "qk_norm_over", "scale", "softcap", "sinks")


def _grouped(heads: Any, width: int, memory: str, source: str, length: str) -> Made:
    h, kv, dim = heads.heads, heads.kv, heads.dim(width)
    b = {name: " + b" if name in heads.bias else "" for name in "qkvo"}
    share = "" if h == kv else ", for all of q" if kv == 1 else f", each for {h // kv} of q"
    wide, size = f"{width} → {kv * dim}", shape("B", kv, length, dim)
    steps = [Step(f"q = {source}·Wq{b['q']}", shape("B", h, "T", dim), f"{width} → {h * dim}: {count(h, 'head')} of {dim}")]
    if b["k"] == b["v"]:
        text = f"k, v = {memory}·Wk{b['k']}, {memory}·Wv{b['v']}"
        steps.append(Step(text, size, f"{wide} each: {count(kv, 'head')}{share}"))
    else:
        steps.append(Step(f"k = {memory}·Wk{b['k']}", size, f"{wide}: {count(kv, 'head')}{share}"))
        steps.append(Step(f"v = {memory}·Wv{b['v']}", size, wide))
    if heads.qk_norm is not None:
        over = f"over each head's {dim}" if heads.qk_norm_over == "head" else "over all heads at once"
        steps.append(Step("q, k = norm(q), norm(k)", "", f"{words.norm(heads.qk_norm)}, {over}"))
    steps += [Step(more) for more in words.fields(heads, skip=_GROUPED)]
    return Made(steps, "q, k = turn(q), turn(k)", dim, [], _out(h * dim, width, "o" in heads.bias), dim)


def _latent(heads: Any, width: int, memory: str, source: str, length: str) -> Made:
    """Multi-head latent attention: what the cache keeps is one small vector per token."""
    h, b = heads.heads, " + b" if heads.bias else ""
    nope, rope, value, rank = heads.nope, heads.rope, heads.value, heads.kv_rank
    norm, told = words.norm(heads.norm), f"{count(h, 'head')} of {nope} + {rope}"
    asked, steps = f"{source}·Wq", []
    if heads.q_rank is not None:
        steps.append(Step(f"z = norm({source}·Wq_a{b})", shape("B", "T", heads.q_rank), f"{width} → {heads.q_rank}; {norm}"))
        asked = "z·Wq_b"
    start = heads.q_rank or width
    small = f"{width} → {rank + rope}: all that the cache keeps of a token, {rope} of them one key for all heads"
    steps += [
        Step(f"q_nope, q_rope = {asked}", shape("B", h, "T", nope + rope), f"{start} → {h * (nope + rope)}: {told}"),
        Step(f"c, k_rope = {memory}·Wkv_a{b}", shape("B", length, rank + rope), small),
        Step("c = norm(c)", shape("B", length, rank), norm),
        Step("k_nope, v = c·Wkv_b", shape("B", h, length, nope + value), f"{rank} → {h * (nope + value)}: {count(h, 'head')} of {nope} + {value}"),
    ]
    known = ("heads", "q_rank", "kv_rank", "nope", "rope", "value", "norm", "bias", "scale")
    steps += [Step(more) for more in words.fields(heads, skip=known)]
    join = [Step("q, k = [nope, rope] of each", shape("B", h, length, nope + rope), "k_rope repeated for every head")]
    return Made(steps, "turn q_rope and k_rope", rope, join, _out(h * value, width, heads.bias), nope + rope)


def _out(joined: int, width: int, bias: bool) -> list[Step]:
    """The heads' answers side by side, and the matrix that mixes them."""
    return [
        Step("a = softmax(s)·v", shape("B", "T", joined)),
        Step(f"a = a·Wo{' + b' if bias else ''}", shape("B", "T", width), f"{joined} → {width}"),
    ]
