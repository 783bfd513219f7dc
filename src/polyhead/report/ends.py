"""Both ends of a model as plain steps: from ids, pixels or frames to x, and from the last x to a head's answer."""

from __future__ import annotations

import math
from typing import Any

from polyhead.nn import HeadSpec, StackSpec

from . import words
from .words import Step, number, shape, times


def embedding(stack: StackSpec, length: str, shared: bool = False) -> list[Step]:
    """From what is read to x (B, length, D). shared: the decoder reads the encoder's table."""
    spec, width = stack.embedding, stack.width
    read = {"patches": _patches, "frames": _frames}.get(_input(spec))
    if read:
        steps, inner = read(spec.input, width, length), width
    elif _input(spec) == "tokens":
        steps, inner = _tokens(spec, width, length, shared), spec.sum_width(width)
    else:
        steps, inner = [Step(f"x from {_input(spec)}", shape("B", length, width), words.say(spec.input))], width
    if spec.position.kind != "none":
        steps.append(Step(f"x = x + position{_place(spec.position)}", "", words.position(spec.position, inner)))
    up = [] if spec.project not in ("sum", "sum_first") else [_project(spec, width, length)]
    norm = [] if spec.norm is None else [Step("x = norm(x)", "", words.norm(spec.norm))]
    known = ("input", "vocab", "width", "project", "scale", "round_scale", "types", "position", "norm")
    return [*steps, *(up + norm if spec.project == "sum_first" else norm + up), *map(Step, words.fields(spec, skip=known))]


def _input(spec: Any) -> str:
    return spec.input.kind if hasattr(spec, "input") else "tokens"


def _place(spec: Any) -> str:
    """ "[t + 2]": which row of a table a token at place t reads."""
    if spec.kind not in ("learned", "sinusoidal"):
        return ""
    offset = getattr(spec, "offset", 0)
    return f"[t + {offset}]" if offset else "[t]"


def _project(spec: Any, width: int, length: str) -> Step:
    bias = " + b" if spec.project == "sum" else ""
    return Step(f"x = x·Wproject{bias}", shape("B", length, width), f"{spec.table_width(width)} → {width}")


def _tokens(spec: Any, width: int, length: str, shared: bool) -> list[Step]:
    first, inner = spec.table_width(width), spec.sum_width(width)
    ids = Step("ids, types" if spec.types > 1 else "ids", shape("B", length), f"B rows of {length} {'source ' if length == 'S' else ''}tokens")
    table = ("a row of the encoder's table" if shared else "a row of the table") + f", {spec.vocab} × {first}"
    if getattr(spec, "round_scale", False):
        table += "; the factor in the weights' precision"
    factor = f" · √{width}" if math.isclose(spec.scale**2, width, rel_tol=1e-5) else times(spec.scale)
    steps = [ids, Step("x = token[ids]" + factor, shape("B", length, first), table)]
    if spec.project == "token":
        steps.append(_project(spec, width, length))
    if spec.types:
        what = f"a row of {spec.types} × {inner}" if spec.types > 1 else f"one vector of {inner} for every token"
        steps.append(Step(f"x = x + types[{'types' if spec.types > 1 else 0}]", "", what))
    return steps


def _patches(spec: Any, width: int, length: str) -> list[Step]:
    side, n = spec.image // spec.patch, spec.channels * spec.patch**2
    vectors = spec.positions
    steps = [
        Step("pixels", shape("B", spec.channels, spec.image, spec.image), f"{length} = {vectors} vectors of an image of this size"),
        *_stem(spec),
        Step(
            f"x = {'places' if spec.stem else 'patches'}·Wpatch{' + b' if spec.bias else ''}", shape("B", side * side, width),
            f"{spec.stem[-1]} → {width}" if spec.stem else f"{side} × {side} squares of {spec.patch} × {spec.patch} pixels, {n} → {width}",
        ),
    ]  # fmt: skip
    if spec.mask_token:
        steps.append(Step("x = mask where hidden", "", "a learned vector, in training only"))
    if spec.class_token:
        steps.append(Step("x = [cls, x]", shape("B", length, width), "a learned vector stands first"))
    known = ("image", "patch", "channels", "bias", "class_token", "mask_token", "stem")
    return steps + [Step(more) for more in words.fields(spec, skip=known)]


def _stem(spec: Any) -> list[Step]:
    pairs = zip((spec.channels, *spec.stem), spec.stem, strict=False)
    name, steps = "pixels", []
    for i, (a, b) in enumerate(pairs, 1):
        side = spec.image // spec.patch * 2 ** (len(spec.stem) - i)
        steps.append(Step(f"x = gelu(conv{i}({name}) + b)", shape("B", b, side, side), f"over 3 × 3, every other one, {a} → {b}"))
        name = "x"
    return steps


def _frames(spec: Any, width: int, length: str) -> list[Step]:
    steps = [
        Step("frames", shape("B", spec.channels, f"2{length}"), f"a spectrum of {spec.channels} bands"),
        Step("x = gelu(conv1(frames) + b)", shape("B", width, f"2{length}"), f"over 3 frames, {spec.channels} → {width}"),
        Step("x = gelu(conv2(x) + b)", shape("B", length, width), f"over 3, every other one, {width} → {width}"),
    ]
    return steps + [Step(more) for more in words.fields(spec, skip=("channels",))]


# ---------------------------------------------------------------- heads

_POOLS = {
    "first": "the first token's", "last": "the last real token's", "mean": "the mean over real tokens",
    "max": "the largest over real tokens, feature by feature", "mean_sqrt": "the sum over real tokens / √count",
    "weighted_mean": "the mean over real tokens, weighted by 1, 2, 3, …", "mean_patches": "the mean over patches",
    "first_mean": "the class token's, beside the mean over patches", "eos": "where the first end-of-text token stands",
    "last_eos": "where the last end-of-text token stands", "largest_id": "where the largest id stands",
}  # fmt: skip
_KNOWN = ("task", "pool", "eos", "input_norm", "dense", "dense_bias", "act", "back", "norm", "output", "bias", "tied", "scale", "softcap", "normalise")


def head(spec: HeadSpec, width: int) -> list[Step]:
    """From the top stack's x (B, T, D) to logits."""
    steps, name = _pooled(spec, width), "x"
    rows = ("B", "T") if spec.pool == "none" else ("B",)
    width = spec.pooled_width(width) if hasattr(spec, "pooled_width") else width
    if spec.input_norm is not None:
        steps.append(Step("x = norm(x)", "", words.norm(spec.input_norm)))
    if spec.dense is not None:
        dense = f"x·Wdense{' + b' if spec.dense_bias else ''}"
        dense = f"{spec.act}({dense})" if spec.act else dense
        steps.append(Step(f"{'y' if spec.back else 'x'} = {dense}", shape(*rows, spec.dense), f"{width} → {spec.dense}"))
        if spec.back:
            steps.append(Step(f"x = x + y·Wback{' + b' if spec.dense_bias else ''}", shape(*rows, width), f"{spec.dense} → {width}"))
    elif spec.act:
        steps.append(Step(f"x = {spec.act}(x)"))
    if spec.norm is not None:
        steps.append(Step("x = norm(x)", "", words.norm(spec.norm)))
    width = spec.dense if spec.dense and not spec.back else width
    if spec.output is not None:
        matrix = "the token table again (tied)" if spec.tied else "a matrix of its own"
        name = "x" if spec.task in ("embed", "pool") else "logits"
        product = f"x·{'tokenᵀ' if spec.tied else 'W'}{' + b' if spec.bias else ''}"
        steps.append(Step(f"{name} = {product}", shape(*rows, spec.output), f"{width} → {spec.output}, {matrix}"))
    steps += _finish(spec, name)
    if not steps:
        steps.append(Step("x", shape(*rows, width), "the states as they are"))
    return steps + [Step(more) for more in words.fields(spec, skip=_KNOWN)]


def _pooled(spec: HeadSpec, width: int) -> list[Step]:
    pools = spec.pool if isinstance(spec.pool, tuple) else () if spec.pool == "none" else (spec.pool,)
    if not pools:
        return []
    wide = spec.pooled_width(width) if hasattr(spec, "pooled_width") else width
    how = "; ".join(_POOLS.get(kind, "") for kind in pools) + (f" (id {spec.eos})" if getattr(spec, "eos", None) is not None else "")
    made = ", ".join(f"{kind}(x)" for kind in pools)
    return [Step(f"x = {f'[{made}]' if len(pools) > 1 else made}", shape("B", wide), how)]


def _finish(spec: HeadSpec, name: str) -> list[Step]:
    """Scale, soft cap, unit length."""
    steps = [] if spec.scale == 1 else [Step(f"{name} = {name}{times(spec.scale)}")]
    if spec.softcap is not None:
        cap = number(spec.softcap)
        steps.append(Step(f"{name} = {cap}·tanh({name} / {cap})", "", "soft cap"))
    if spec.normalise:
        steps.append(Step(f"{name} = {name} / |{name}|", "", "unit length"))
    return steps
