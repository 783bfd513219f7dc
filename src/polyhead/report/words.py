"""One choice of an architecture in words. A choice this file has no words for is told by its kind and its fields.

Shapes are written as Python writes them (4096, 14336), counts with commas (8,192 tokens).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel


class Step(NamedTuple):
    do: str  # "q = h·Wq"
    shape: str = ""  # "(B, 32, T, 128)"
    how: str = ""


class Section(NamedTuple):
    title: str
    steps: list[Step]


def shape(*sizes: object) -> str:
    return f"({', '.join(map(str, sizes))})"


# ---------------------------------------------------------------- one choice


def norm(choice: BaseModel | None) -> str:
    """ "LayerNorm, eps 1e-12"; "" without one."""
    return "" if choice is None else _say(choice, _NORMS)


def position(choice: Any, dim: int = 0) -> str:
    """How a token knows where it is; dim is the width of what is turned, or of the table's rows."""
    make = _POSITIONS.get(choice.kind)
    return say(choice) if make is None else _and_more(choice, *make(choice, dim))


def gain(choice: BaseModel) -> str:
    return _say(choice, _GAINS)


def sharing(order: tuple[int, ...]) -> str:
    """Which set of weights each layer uses: "all with one set of weights", "weights 0, 0, 1, 1 of 2 sets"."""
    sets = len(set(order))
    if sets == 1:
        return "all with one set of weights"
    shown = ", ".join(map(str, order[:12])) + (", …" if len(order) > 12 else "")
    return f"{sets} sets of weights in the order {shown}"


def act(name: str) -> str:
    """What an activation's name does not say."""
    return {
        "relu2": "relu, squared", "gelu_tanh": "gelu by its tanh formula", "quick_gelu": "quick_gelu(z) = z·σ(1.702 z)",
        "silu": "silu(z) = z·σ(z)",
    }.get(name, "")  # fmt: skip


# ---------------------------------------------------------------- numbers


def number(value: float) -> str:
    """500000.0 → "500,000", 0.4 → "0.4", 1e-05 → "1e-05"."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def times(value: float) -> str:
    """A factor: 0.0441942 → " / √512", 22.6274 → " · √512", 0.4 → " · 0.4", 1 → ""."""
    if value == 1:
        return ""
    if float(value).is_integer():
        return f" · {number(value)}"
    for square, sign in ((value**2, "·"), (value**-2, "/")):
        if square > 1.5 and math.isclose(square, round(square), rel_tol=1e-5):
            return f" {sign} √{round(square)}"
    return f" · {number(value)}"


def count(n: int, noun: str) -> str:
    """count(2, "layer") → "2 layers"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def nth(n: int) -> str:
    """2 → "2nd", 11 → "11th"."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"


def spans(numbers: list[int]) -> str:
    """[0, 1, 2, 6] → "0–2, 6"; [3, 7, …] → "every 4th: 3, 7, …, 31"; what is long ends with …"""
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    if len(numbers) > 3 and len(steps) == 1 and (step := steps.pop()) > 1:
        return f"every {nth(step)}: {numbers[0]}, {numbers[1]}, …, {numbers[-1]}"
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    told = [str(a) if a == b else f"{a}–{b}" for a, b in parts]
    return ", ".join(told if len(told) <= 5 else [*told[:3], "…", told[-1]])


# ---------------------------------------------------------------- any choice


def say(choice: BaseModel) -> str:
    """One choice by its kind and the fields that are not as usual: "window (back 31)"."""
    told = fields(choice, skip=("kind",))
    return str(getattr(choice, "kind", type(choice).__name__)) + (f" ({', '.join(told)})" if told else "")


def fields(choice: BaseModel, skip: Iterable[str] = ()) -> list[str]:
    """["name value", …] of the fields that differ from their defaults."""
    out = []
    for name, field in type(choice).model_fields.items():
        value = getattr(choice, name)
        if name in skip or name == "kind" or (not field.is_required() and value == field.get_default(call_default_factory=True)):
            continue
        out.append(name if value is True else f"no {name}" if value is False else f"{name} {plain(value)}")
    return out


def plain(value: Any) -> str:
    """A field's value: numbers with commas, choices in words, long lists cut."""
    if isinstance(value, BaseModel):
        return say(value)
    if isinstance(value, list | tuple):
        shown = [*map(plain, value[:4]), *(["…"] if len(value) > 4 else [])]
        return f"[{', '.join(shown)}]" + (f" ({len(value)})" if len(value) > 4 else "")
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return number(value) if isinstance(value, int | float) else str(value)


Told = tuple[str, tuple[str, ...]]  # the words, and the fields they tell; what else is unusual is added by _and_more


def _say(choice: BaseModel, words: dict[str, Callable[[Any], Told]]) -> str:
    make = words.get(getattr(choice, "kind", ""))
    return say(choice) if make is None else _and_more(choice, *make(choice))


def _and_more(choice: BaseModel, text: str, told: tuple[str, ...]) -> str:
    return ", ".join([text, *fields(choice, skip=told)])


# ---------------------------------------------------------------- norms and gains


def _layer(c: Any) -> Told:
    text = f"LayerNorm, eps {c.eps:g}" + (" (added to σ, not under the root)" if c.form == "plus" else "")
    missing = " and ".join(name for name in ("gain", "bias") if not getattr(c, name))
    return text + (f", no {missing}" if missing else ""), ("eps", "form", "gain", "bias")


def _rms(c: Any) -> Told:
    return f"RMSNorm, eps {c.eps:g}" + {"one_plus": ", gain 1 + w", "none": ", no gain"}.get(c.gain, ""), ("eps", "gain")


_NORMS: dict[str, Callable[[Any], Told]] = {
    "layer": _layer,
    "rms": _rms,
    "dyt": lambda c: (f"DyT: γ·tanh(α·z) + β, α from {c.alpha:g}", ("alpha",)),
    "batch": lambda c: (f"BatchNorm over all tokens of the batch, eps {c.eps:g}", ("eps",)),
    "none": lambda c: ("none", ()),
}

_GAINS: dict[str, Callable[[Any], Told]] = {
    "layer_scale": lambda c: (f"γ: learned, one per feature, from {c.start:g}", ("start",)),
    "rezero": lambda c: ("γ: one learned number, from 0", ()),
    "deepnorm": lambda c: (f"DeepNorm; sublayers start scaled by {c.beta:g}", ("alpha", "beta")),
}

def initial(choice: BaseModel) -> str:
    """Where the weights start."""
    return _say(choice, _INITS)


def _normal(c: Any) -> Told:
    smaller = ", smaller in matrices that write into x" if c.residual else ""
    return f"normal, deviation {c.std:g}{smaller}", ("std", "residual")


def _zero_out(c: Any) -> Told:
    return f"0 in matrices that write into x, so that layers start as the identity; tables normal, deviation {c.table:g}", ("table",)


_INITS: dict[str, Callable[[Any], Told]] = {
    "normal": _normal,
    "xavier": lambda c: (f"Xavier's, uniform; tables normal, deviation {c.std:g}", ("std",)),
    "zero_out": _zero_out,
}

# ---------------------------------------------------------------- patterns


def pattern(choice: Any) -> str:
    """Who sees whom: "causal: a token sees itself and all before it"."""
    if choice.kind == "full":
        return "full: every token sees every token"
    name = {"and": "", "or": ""}.get(choice.kind, choice.kind.replace("_", " "))
    return f"{name + ': ' if name else ''}a token sees {seen(choice)}"


def seen(choice: Any) -> str:
    """What a token sees, as the end of that sentence."""
    if choice.kind in ("and", "or"):
        parts = [f"({seen(part)})" if part.kind in ("and", "or") else seen(part) for part in choice.parts]
        return {"and": "; of these only ", "or": "; also "}[choice.kind].join(parts)
    return _say(choice, _SEEN)


def _sides(c: Any) -> str:
    told = [f"{n:,} {where} it" for n, where in ((c.back, "before"), (c.ahead, "after")) if n]
    return "itself alone" if not told else f"itself and {told[0]}" if len(told) == 1 else f"itself, {told[0]} and {told[1]}"


def _dilated(c: Any) -> Told:
    return f"{_sides(c)}, each {c.step:,} positions from the next", ("back", "ahead", "step")


def _marked(c: Any) -> Told:
    keys, queries = "the marked tokens", "if marked itself, everything"
    told = [text for text, there in ((keys, c.keys), (queries, c.queries)) if there]
    return " and, ".join(told) if len(told) == 2 else told[0], ("keys", "queries")


def _strided(c: Any) -> Told:
    near = f"itself, {c.back:,} before it and every {nth(c.stride)} before those" if c.back else f"itself and every {nth(c.stride)} before it"
    return near, ("stride", "back")


def _block_sparse(c: Any) -> Told:
    others = f", {c.random} drawn at random" if c.draw == "seeded" else f", block 0 another {count(c.random, 'time')}"
    return (
        f"of blocks of {c.block:,} its own, both neighbours, the first, the last{others if c.random else ''}; the first and "
        f"the last block see everything, and so do rows up to {(5 + 2 * c.random) * c.block:,} tokens"
    ), ("block", "random", "draw")


_SEEN: dict[str, Callable[[Any], Told]] = {
    "full": lambda c: ("every token", ()),
    "causal": lambda c: ("itself and all before it", ()),
    "prefix": lambda c: ("itself, all before it, and the marked tokens", ()),
    "window": lambda c: (_sides(c), ("back", "ahead")),
    "dilated": _dilated,
    "strided": _strided,
    "chunked": lambda c: (f"its own chunk of {c.size:,} tokens", ("size",)),
    "marked": _marked,
    "block_sparse": _block_sparse,
    "document": lambda c: ("the tokens of its own document", ()),
}

# ---------------------------------------------------------------- positions


def _rotary(c: Any, dim: int) -> Told:
    turned = c.dim or dim
    part = "each head" if turned == dim else f"the first {turned} of {dim} features"
    pairs = "(2i, 2i+1)" if c.interleaved else f"(i, i+{turned // 2})"
    text = f"rotary, θ {number(c.theta)}: pairs {pairs} of {part}"
    return text + (f"; {_say(c.scaling, _SCALINGS)}" if c.scaling else ""), ("dim", "interleaved", "theta", "scaling")


def _yarn(c: Any) -> Told:
    factor = c.attention if c.attention is not None else 0.1 * math.log(max(c.factor, 1.0)) + 1
    text = f"slow turns {_slower(c.factor)} (YaRN, trained at {c.original:,}), cos and sin × {factor:.4g}"
    return text, ("factor", "original", "attention")


def _longrope(c: Any) -> Told:
    short, long = (f"÷ {min(one):.4g} to {max(one):.4g}" for one in (c.short, c.long))
    text = f"LongRoPE: turns {short} in rows up to {c.original:,} tokens, {long} in longer ones, cos and sin × {c.attention:.4g}"
    return text, ("original", "short", "long", "attention")


def _slower(factor: float) -> str:
    return f"{number(factor)} times slower"


_SCALINGS: dict[str, Callable[[Any], Told]] = {
    "linear": lambda c: (f"every turn {_slower(c.factor)}", ("factor",)),
    "dynamic": lambda c: (f"θ grows beyond {c.original:,} tokens (dynamic NTK, factor {number(c.factor)})", ("factor", "original")),
    "llama3": lambda c: (f"slow turns {_slower(c.factor)} (llama3, trained at {c.original:,})", ("factor", "original")),
    "yarn": _yarn,
    "longrope": _longrope,
}


def _learned(c: Any, dim: int) -> Told:
    other = ", stretched to images of other sizes" if getattr(c, "resize", "no") == "bicubic" else ""
    return f"learned, {c.length + c.offset} × {dim}; t: place of a token{other}", ("length", "offset", "resize")


def _sinusoidal(c: Any, dim: int) -> Told:
    layout = {"pairs": "sin, cos in turn", "halves": "all sines, then all cosines"}[c.layout]
    spaced = f"^(2i/{dim})" if c.step == "half" else f"^(i/{dim // 2 - 1})"
    return f"not learned: {layout} of t / {number(c.base)}{spaced}; t: place of a token", ("layout", "base", "step", "offset")


def _alibi(c: Any, dim: int) -> Told:
    rounded = ", all rounded to bf16" if c.rounded else ""
    return f"ALiBi: a fixed slope per head; i, j: places of query and key{rounded}", ("form", "scale", "rounded")


def _buckets(c: Any, dim: int) -> Told:
    sides = "before and after" if c.two_sided else "backwards"
    told = ("buckets", "distance", "two_sided")
    return f"learned per head and distance i − j: {c.buckets} buckets {sides}, the last from {c.distance}; one table for all layers", told


def _disentangled(c: Any, dim: int) -> Told:
    table = f"r: a learned row per distance i − j, {c.span:,} before and {c.span:,} after, one table for all layers"
    far = f"; far ones share rows, up to {c.distance:,}" if c.distance is not None else ""
    return table + far + (f"; {norm(c.norm)}" if c.norm is not None else ""), ("span", "distance", "norm")


def _shaw(c: Any, dim: int) -> Told:
    return f"r: a learned vector of {dim} per distance, up to {c.distance:,} before and after, for all layers", ("distance",)


_POSITIONS: dict[str, Callable[[Any, int], Told]] = {
    "none": lambda c, dim: ("none", ()),
    "rotary": _rotary,
    "learned": _learned,
    "sinusoidal": _sinusoidal,
    "alibi": _alibi,
    "buckets": _buckets,
    "disentangled": _disentangled,
    "shaw": _shaw,
}
