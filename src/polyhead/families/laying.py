"""A spec laid over a recipe's template: what the template's references stand for; and in what two specs differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..nn import ModelSpec
from .rows import Config, Values, computed, same
from .scalings import mscale

# What trains a model but does not change its function; no published format has all of it.
FREE = ("version", "family", "init", "dropout", "stochastic_depth", "balance", "start")


def unify(template: Any, actual: Any, bound: Values, defaults: Values, rows: set[str]) -> int:
    """Bind the template's references to what stands in their place; returns how many literals disagree."""
    if isinstance(template, str) and template.startswith("$"):
        name = template[1:]
        if name in bound:
            return int(not close(bound[name], actual))
        if name not in rows and isinstance(defaults.get(name), dict | list | str):
            inner = defaults[name]
            if not isinstance(inner, str) or inner.startswith("$"):
                return unify(inner, actual, bound, defaults, rows)
        bound[name] = actual
        return 0
    if computed(template):  # checked by reading the result again
        if template[0] == "@times":
            bound.setdefault("@times", []).append((template, actual))
        if template[0] == "@swiglu" and isinstance(actual, int):  # 3/2 of it is at most 10 more than the product
            return unify(template[1], actual * 3 // 2, bound, defaults, rows)
        return unify(template[3], actual, bound, defaults, rows) if template[0] == "@differ" else 0
    if isinstance(template, dict):
        if not isinstance(actual, dict):
            return 1
        if "blocks" in template and "layers" in actual:
            return _unify_stack(template, actual, bound, defaults, rows)
        return sum(unify(part, actual.get(key), bound, defaults, rows) for key, part in template.items())
    if isinstance(template, list) and isinstance(actual, list | tuple) and len(template) == len(actual):
        return sum(unify(a, b, bound, defaults, rows) for a, b in zip(template, actual, strict=True))
    return int(not close(template, actual))


def _unify_stack(template: Config, actual: Config, bound: Values, defaults: Values, rows: set[str]) -> int:
    """Each layer's block takes the template kind that fits it best; `layout` is bound to their names."""
    wrong = sum(
        unify(part, actual.get(key), bound, defaults, rows)
        for key, part in template.items() if key not in ("blocks", "layout")
    )  # fmt: skip
    blocks = template["blocks"]
    while isinstance(blocks, str):
        blocks = defaults[blocks[1:]]
    numbered = {kind: part for kind, part in blocks.items() if "{n}" in kind}
    trials = []
    for kinds in ({k: p for k, p in blocks.items() if k not in numbered}, numbered):
        if kinds:
            trial = dict(bound)
            trials.append((*_unify_layers(kinds, actual["blocks"], trial, defaults, rows), trial))
    misses, names, trial = min(trials, key=lambda t: t[0])
    bound.update(trial)
    layout = template.get("layout")
    if isinstance(layout, str):
        bound.setdefault(layout[1:], names)
    return wrong + misses


def _unify_layers(kinds: Config, layers: list[Any], bound: Values, defaults: Values, rows: set[str]) -> tuple[int, list[str]]:
    """(literals that disagree, the kind of each layer)"""
    wrong, names = 0, []
    for i, layer in enumerate(layers):
        trials: list[tuple[int, int, str, Values]] = []
        for kind, part in kinds.items():
            trial = dict(bound)
            trials.append((unify(part, layer, trial, defaults, rows), len(trials), kind, trial))
        misses, _, kind, trial = min(trials, key=lambda t: t[:2])
        bound |= {k: v for k, v in trial.items() if k != "n"}
        names.append(kind.replace("{n}", str(trial.get("n", i + 1))))
        wrong += misses
    return wrong, names


def close(a: Any, b: Any) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        number = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
        return number and math.isclose(a, b, rel_tol=1e-9)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    return same(a, b)


def resolved(spec: ModelSpec) -> Config:
    """A spec as plain data with every size worked out and every layer written out, for comparison with another's."""
    data = spec.model_dump(mode="json")
    for name, stack in spec.stacks.items():
        out, own = data[name], data[name]["blocks"]
        for kind, block in stack.blocks.items():
            _resolve(own[kind], block, stack.width)
        out["blocks"] = [own[stack.kind(i)] for i in range(stack.layers)]
        out["embedding"]["width"] = stack.embedding.table_width(stack.width)
        del out["layout"]
    return data


def _resolve(data: Config, block: Any, width: int) -> None:
    if data["ffn"].get("inner", 0) is None:
        data["ffn"] |= {"inner": block.ffn.hidden(width), "ratio": None}
    for name in ("attention", "cross"):
        attention = getattr(block, name)
        if attention is None:
            continue
        heads, position = data[name]["heads"], data[name]["position"]
        scaling = position.get("scaling") or {}
        if scaling.get("kind") == "yarn" and scaling["attention"] is None:
            scaling["attention"] = mscale(scaling["factor"], 1.0)
        if heads.get("kind", "grouped") == "grouped":
            dim = attention.heads.dim(width)
            heads |= {"kv_heads": attention.heads.kv, "head_dim": dim}
            heads["scale"] = dim**-0.5 if heads["scale"] is None else heads["scale"]
            if position.get("kind") == "rotary" and position["dim"] is None:
                position["dim"] = dim
        elif position.get("kind") == "rotary" and position["dim"] is None:
            position["dim"] = heads["rope"]


def differences(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, in a, in b) of every leaf in which two resolved specs differ, training's own fields left out."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            if key not in FREE:
                yield from differences(a.get(key), b.get(key), f"{path}.{key}" if path else key)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{path}.{i}")
    elif not close(a, b):
        yield path, a, b
