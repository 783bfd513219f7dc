"""A layer as plain steps: what is computed, the shape that comes out, how. attending.py has attention, ends.py what stands
before the first layer and after the last.

Letters: B rows, T tokens (S of the source); x the stream, h a sublayer's input, a attention's output, f the feed-forward's.
q, k, v, Wq, Wup, … are the tensors of that name. A choice without words here is told by its kind and fields.
"""

from __future__ import annotations

from typing import Any

from polyhead.nn import BlockSpec, DeepNorm

from . import words
from .attending import attention
from .words import Section, Step, count, shape, times

# ---------------------------------------------------------------- feed-forward and experts


def feed_forward(spec: Any, width: int, source: str) -> list[Step]:
    """From source to f."""
    make = {"plain": _plain, "gated": _gated, "experts": _experts}.get(spec.kind)
    return make(spec, width, source) if make else [Step(f"f from {source}", shape("B", "T", width), words.say(spec))]


def _plain(spec: Any, width: int, source: str) -> list[Step]:
    inner, b = spec.hidden(width), " + b" if spec.bias else ""
    how = "; ".join(filter(None, [f"{width} → {inner}", words.act(spec.act)]))
    steps = [Step(f"f = {spec.act}({source}·Wup{b})", shape("B", "T", inner), how)]
    steps.append(Step(f"f = f·Wdown{b}", shape("B", "T", width), f"{inner} → {width}"))
    return steps + [Step(more) for more in words.fields(spec, skip=("inner", "ratio", "act", "bias"))]


def _gated(spec: Any, width: int, source: str) -> list[Step]:
    inner, b = spec.hidden(width), " + b" if spec.bias else ""
    steps = [
        Step(f"g, u = {source}·Wgate{b}, {source}·Wup{b}", shape("B", "T", inner), f"{width} → {inner} each"),
        Step(f"f = {_gate(spec.act)}", "", _gate_note(spec.act)),
        Step(f"f = f·Wdown{b}", shape("B", "T", width), f"{inner} → {width}"),
    ]
    return steps + [Step(more) for more in words.fields(spec, skip=("inner", "ratio", "act", "bias"))]


def _gate(act: str) -> str:
    return "(u + 1)·g·σ(1.702 g)" if act == "clamped_swiglu" else f"{act}(g)·u"


def _gate_note(act: str) -> str:
    return "g at most 7, u between −7 and 7" if act == "clamped_swiglu" else words.act(act)


_EXPERTS = ("experts", "top_k", "inner", "act", "bias", "router", "router_fp32", "correction", "normalise", "scale", "groups", "top_groups", "group_score", "shared", "balance")  # fmt: skip


def _experts(spec: Any, width: int, source: str) -> list[Step]:
    b = " + b" if spec.bias else ""
    chosen = ["the best by p + a learned correction" if spec.correction else "the best by p"]
    if spec.groups > 1:
        by = {"max": "best", "top2": "two best together"}.get(spec.group_score, spec.group_score)
        chosen.append(f"from {spec.top_groups} of {spec.groups} groups, ranked by their {by}")
    weights = ("p / Σ p" if spec.normalise else "p") + times(spec.scale)
    exact = ", in fp32" if getattr(spec, "router_fp32", False) else ""
    inside = "in each of the chosen" if spec.top_k > 1 else "in the chosen one"
    steps = [
        Step(f"p = {spec.router}({source}·Wrouter{b})", shape("B", "T", spec.experts), f"a score for each of {count(spec.experts, 'expert')}{exact}"),
        Step(f"choose {count(spec.top_k, 'expert')}", shape("B", "T", spec.top_k), ", ".join(chosen)),
        Step(f"w = {weights}", shape("B", "T", spec.top_k), "weights of the chosen" + (", summing to 1" if weights == "p / Σ p" else "")),
        Step(f"g, u = {source}·Wgate{b}, {source}·Wup{b}", shape("B", "T", spec.top_k, spec.inner), f"{inside}, {width} → {spec.inner} each"),
        Step(f"f = {_gate(spec.act)}", "", _gate_note(spec.act)),
        Step(f"f = Σ w·(f·Wdown{b})", shape("B", "T", width), f"{spec.inner} → {width}, the chosen together"),
    ]
    if spec.shared:
        steps.append(Step(f"f = f + shared({source})", "", f"one expert for every token, {width} → {spec.shared} → {width}"))
    if spec.balance:
        steps.append(Step("", "", f"in training, a loss of {spec.balance:g} × imbalance keeps the experts evenly used"))
    return steps + [Step(more) for more in words.fields(spec, skip=_EXPERTS)]


# ---------------------------------------------------------------- block: sublayers and their joins


def block(spec: BlockSpec, width: int) -> list[Section]:
    """The sublayers of one kind of layer, in order, each from the stream x and back to it."""
    residual = spec.residual
    bare = getattr(residual, "skip_first_norm", False)
    first = [Step("x = α·x + β·x₀", "", "x₀: what entered the first layer; α, β learned, from the second on")] if residual.x0 else []
    if residual.parallel != "no":
        return [_side_by_side(spec, width, first)]
    before, source = _before(spec, bare)
    steps = [*first, *before, *attention(spec.attention, width, source, mixed=residual.values), *_after(spec, "a", width)]
    sections = [Section("attention", steps)]
    before, source = _before(spec)
    if spec.cross is not None:
        steps = [*before, *attention(spec.cross, width, source, cross=True), *_after(spec, "a", width)]
        sections.append(Section("cross-attention", steps))
    steps = [*before, *feed_forward(spec.ffn, width, source), *_after(spec, "f", width)]
    sections.append(Section(_title(spec), steps))
    told = ("attention", "ffn", "cross", "norm", "residual")
    return sections + [Section(more, []) for more in words.fields(spec, skip=told)]


def _title(spec: BlockSpec) -> str:
    return "experts" if spec.ffn.kind == "experts" else "feed-forward"


def _before(spec: BlockSpec, bare: bool = False) -> tuple[list[Step], str]:
    """(the norm before a sublayer, the name of what the sublayer reads)"""
    if bare or spec.residual.placement not in ("pre", "sandwich"):
        return [], "x"
    return [Step("h = norm(x)", "", words.norm(spec.norm))], "h"


_RESIDUAL = ("placement", "parallel", "gain", "values", "x0", "stochastic_depth", "skip_first_norm")


def _after(spec: BlockSpec, out: str, width: int) -> list[Step]:
    """How the outputs of sublayers, a letter each, join the stream."""
    residual, gain = spec.residual, spec.residual.gain
    kind = gain.kind
    steps = []
    if residual.placement in ("inner", "sandwich"):
        steps += [Step(f"{name} = norm({name})", "", words.norm(spec.norm)) for name in out]
    notes = [] if kind == "none" else [words.gain(gain)]
    skip = f"{gain.alpha:.4g}·x" if isinstance(gain, DeepNorm) else "x"
    factor = "" if kind in ("none", "deepnorm") else "γ·"
    total = " + ".join([skip, *(factor + name for name in out)])
    if residual.placement == "post":
        total, notes = f"norm({total})", [words.norm(spec.norm), *notes]
    if residual.stochastic_depth:
        notes.append(f"in training {' and '.join(out)} is left out for some rows, more often in later layers, up to {residual.stochastic_depth:g}")
    notes += words.fields(residual, skip=_RESIDUAL)
    return [*steps, Step(f"x = {total}", shape("B", "T", width), "; ".join(notes))]


def _side_by_side(spec: BlockSpec, width: int, first: list[Step]) -> Section:
    """Attention and feed-forward from the same x, added at once."""
    before, source = _before(spec)
    two = spec.residual.parallel == "two_norms"
    steps = [*first, *before, *attention(spec.attention, width, source, mixed=spec.residual.values)]
    steps += [before[0]._replace(how=f"{before[0].how}, its own weights")] if two and before else []
    steps += feed_forward(spec.ffn, width, source)
    join = _after(spec, "af", width)
    return Section(f"attention and {_title(spec)}, side by side", steps + join)
