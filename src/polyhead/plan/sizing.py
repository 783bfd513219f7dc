"""How large a model, on how many tokens: a budget goes in, a size, tokens, a forecast of the loss and a shape of that size come out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from polyhead.errors import ConfigError
from polyhead.families.problems import nearest
from polyhead.nn import GroupedSpec, ModelSpec

from .points import body
from .scaling import BODY, DEFAULT, LAWS, Best, Cloud, Law, Range, refit_cloud


@dataclass(frozen=True)
class Sizing:
    """law: asked. best: what it says. loss: the refit's loss there (of its own surface where the law has one of your fit), nats per
    token of the text that the law was fitted to. around: 95 % of the best size and tokens, where the law has them."""

    law: Law
    best: Best
    loss: Range
    around: dict[str, Range] | None = None


def law_of(name: str) -> Law:
    """ConfigError with the names there are."""
    if name in LAWS:
        return LAWS[name]
    like = next(iter(nearest(name, LAWS)), DEFAULT)
    raise ConfigError(f"no scaling law {name}", expected=", ".join(LAWS), received=name, change=f"such as {like}")


def size(
    *, flops: float | None = None, tokens: float | None = None, params: float | None = None, law: Law | None = None,
    cloud: Cloud | None = None,
) -> Sizing:  # fmt: skip
    """The best use of exactly one of: a budget of FLOPs, a number of tokens, a size. cloud: of your own fit, instead of the refit's."""
    law = law or LAWS[DEFAULT]
    frontier = law.frontier
    if flops is not None:
        best = frontier.best(flops)
    elif tokens is not None:
        best = frontier.best_of_tokens(tokens)
    elif params is not None:
        best = frontier.best_of_params(params)
    else:
        raise ConfigError("nothing to size by", expected="one of FLOPs, tokens, a number of parameters")
    own = cloud if cloud is not None else refit_cloud()
    around = own.best(best.flops) if own.surface == law.surface else None
    return Sizing(law, best, own.loss(*best) if around is None else around["loss"], around)


@dataclass(frozen=True)
class Shape:
    """spec: a model near the size asked for. params: what the law counts of it. changes: how it differs from the preset."""

    preset: str
    spec: ModelSpec
    params: int
    changes: dict[str, Any]


def shape(params: float, like: str = "gpt2", *, vocab: int | None = None, counts: str = "") -> Shape:
    """A model like a preset with about this many parameters: width, layers and heads changed, head_dim kept, a layer's inner width kept
    as a multiple. Width over layers stays between 16 and 160 and near 90: within that, loss hardly depends on it (Kaplan et al. 2020,
    §3.1). counts: scaling.BODY leaves embeddings out. ConfigError where the preset is no decoder, or its table alone is larger."""
    from polyhead.families import override, resolve

    base = resolve(like)
    if not isinstance(base, ModelSpec) or base.decoder is None or base.encoder is not None:
        raise ConfigError(f"{like} is no decoder", expected="a preset with a decoder alone, such as gpt2 or llama-3-8b", received=like)
    base = override(base, {"vocab": vocab}) if vocab else base
    count = body if counts == BODY else lambda spec: spec.params().total
    best: tuple[float, Shape] | None = None
    for width in _widths(params, _dim(base)):
        layers = _layers(base, width, params, count)
        for depth in {max(1, layers), layers + 1}:
            if not 16 <= width / depth <= 160 and params > 3e6:
                continue
            changes = _changes(base, width, depth)
            spec = override(base, changes)
            found = count(spec)
            score = abs(math.log(found / params)) + 0.02 * abs(math.log(width / depth / 90))
            if best is None or score < best[0]:
                best = (score, Shape(like, spec, found, ({"vocab": vocab} if vocab else {}) | changes))
    if best is None or abs(math.log(best[1].params / params)) > 0.25:
        got = f"{best[1].params:,} at the nearest" if best else "none"
        raise ConfigError(f"nothing like {like} has about {params:,.0f} parameters", received=got, expected="a vocabulary small beside the model",
                          change="give a smaller --vocab, or --like another preset")  # fmt: skip
    return best[1]


def _widths(params: float, dim: int) -> list[int]:
    """Around the width at which width/layers is 90: multiples of heads, of four heads where there are many."""
    middle = (params * 90 / 12) ** (1 / 3)
    step = 4 * dim if middle > 16 * dim else dim if middle > 3 * dim else 16
    return sorted({max(step, round(middle * share / step) * step) for share in (0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4)})


def _dim(base: ModelSpec) -> int:
    """Numbers per head of its first kind of layer."""
    stack = base.decoder
    assert stack is not None, "shape has looked"
    kinds = [block.attention.heads for block in stack.blocks.values()]
    for heads in kinds:
        if not isinstance(heads, GroupedSpec):
            raise ConfigError("the heads of this preset have no simple size", expected="grouped heads", received=heads.kind,
                              change="give --like another preset, such as llama-3-8b")  # fmt: skip
    return next(heads.dim(stack.width) for heads in kinds if isinstance(heads, GroupedSpec))


def _layers(base: ModelSpec, width: int, params: float, count: Any) -> int:
    """As many layers as fit under the size; sizes grow by equal steps with depth where kinds of layers alternate in pairs."""
    from polyhead.families import override

    period = len(base.decoder.layout) if base.decoder is not None else 1
    one, two = (count(override(base, _changes(base, width, n * period))) for n in (1, 2))
    return max(1, int((params - one) / (two - one)) + 1) * period


def _changes(base: ModelSpec, width: int, layers: int) -> dict[str, Any]:
    """Overrides that make the preset's decoder this wide and deep."""
    stack = base.decoder
    assert stack is not None, "shape has looked"
    out: dict[str, Any] = {"decoder.width": width, "decoder.layers": layers}
    for kind, block in stack.blocks.items():
        heads = block.attention.heads
        assert isinstance(heads, GroupedSpec), "shape has looked"
        dim = min(heads.dim(stack.width), width)
        many = max(1, width // dim)
        many = next(n for n in range(many, 0, -1) if width % n == 0 or heads.head_dim)
        path = f"decoder.blocks.{kind}.attention.heads"
        out[f"{path}.heads"] = many
        if heads.kv_heads:
            out[f"{path}.kv_heads"] = max(n for n in range(1, min(many, heads.kv_heads) + 1) if many % n == 0)
        if heads.head_dim:
            out[f"{path}.head_dim"] = dim
        if inner := getattr(block.ffn, "inner", None):
            step = 64 if width >= 256 else 8
            out[f"decoder.blocks.{kind}.ffn.inner"] = max(step, round(inner / stack.width * width / step) * step)
    return out
