"""What tells two architectures apart, value by value. telling.py puts it into words.

Sizes left to a default are compared as the numbers they come to: inner 3072 is ratio 4 of width 768. Kinds of layers are paired
by name where both have the same names, else each with the kind it resembles most; an encoder alone is compared with a
decoder alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pydantic import BaseModel

from polyhead.nn import BlockSpec, ModelSpec, PairSpec, StackSpec

from .counting import towers


class Difference(NamedTuple):
    """path in a's spec; a and b: plain data, None where there is nothing. other: the path in b where it is not the same."""

    path: str
    a: Any
    b: Any
    other: str = ""


def differences(a: ModelSpec | PairSpec, b: ModelSpec | PairSpec) -> list[Difference]:
    """Every value that is not the same, outer ones first. Empty for one architecture; the family's name does not count."""
    if not isinstance(a, PairSpec) and not isinstance(b, PairSpec):
        return _of_models(a, b)
    if not isinstance(a, PairSpec) or not isinstance(b, PairSpec):
        return [Difference("", _plain(a), _plain(b))]
    found = _compare(a.scale, b.scale, "scale", "scale")
    for name, tower in towers(a).items():
        for difference in _of_models(tower, towers(b)[name]):
            other = f"{name}.{difference.other}" if difference.other else ""
            found.append(difference._replace(path=f"{name}.{difference.path}", other=other))
    return found


def _of_models(a: ModelSpec, b: ModelSpec) -> list[Difference]:
    found = [
        Difference(name, getattr(a, name), getattr(b, name))
        for name in ("context", "share_embeddings")
        if getattr(a, name) != getattr(b, name)
    ]
    for mine, theirs in stack_pairs(a, b):
        left, right = a.stacks.get(mine), b.stacks.get(theirs)
        if left is None or right is None:
            found.append(Difference(mine or theirs, _plain(left), _plain(right)))
            continue
        if mine != theirs:
            found.append(Difference("shape", mine, theirs))
        found += _stack(left, right, mine, theirs)
    for name in dict.fromkeys([*a.heads, *b.heads]):
        found += _compare(_plain(a.heads.get(name)), _plain(b.heads.get(name)), f"heads.{name}", f"heads.{name}")
    known = {"version", "family", "context", "share_embeddings", "encoder", "decoder", "heads"}
    for name in type(a).model_fields:
        if name not in known:
            found += _compare(_plain(getattr(a, name)), _plain(getattr(b, name)), name, name)
    return found


def stack_pairs(a: ModelSpec, b: ModelSpec) -> list[tuple[str, str]]:
    """(a's place, b's place), "" where the other has none."""
    if len(a.stacks) == len(b.stacks) == 1:
        return [(next(iter(a.stacks)), next(iter(b.stacks)))]
    places = [place for place in ("encoder", "decoder") if place in a.stacks or place in b.stacks]
    return [(place if place in a.stacks else "", place if place in b.stacks else "") for place in places]


def _stack(a: StackSpec, b: StackSpec, mine: str, theirs: str) -> list[Difference]:
    left, right = (_plain(stack) | {"embedding": _embedding(stack)} for stack in (a, b))
    pairs = kind_pairs(a, b)
    names = dict(pairs) if len(pairs) == len(a.blocks) == len(b.blocks) else {}
    layouts = [[stack.kind(i) for i in range(stack.layers)] for stack in (a, b)]
    renamed = [names.get(kind, kind) for kind in layouts[0]]
    drop = {"blocks", "layout"} | ({"sharing"} if a.order() == b.order() else set())
    found = _compare({k: v for k, v in left.items() if k not in drop}, {k: v for k, v in right.items() if k not in drop}, mine, theirs)
    alike = len(a.blocks) == len(b.blocks) == 1 or (a.layers == b.layers and renamed == layouts[1])
    if not alike:
        found.append(_difference(f"{mine}.layout", layouts[0], layouts[1], f"{theirs}.layout"))
    for one, other in pairs:
        blocks = _block(a.blocks[one], a.width), _block(b.blocks[other], b.width)
        found += _compare(*blocks, f"{mine}.blocks.{one}", f"{theirs}.blocks.{other}")
    return found


def kind_pairs(a: StackSpec, b: StackSpec) -> list[tuple[str, str]]:
    """(a kind of a's, the kind of b's it is compared with); every kind of both is in some pair."""
    if set(a.blocks) == set(b.blocks):
        return [(name, name) for name in a.blocks]
    left = {name: _block(block, a.width) for name, block in a.blocks.items()}
    right = {name: _block(block, b.width) for name, block in b.blocks.items()}

    def apart(one: str, other: str) -> int:
        return len(_compare(left[one], right[other], "", ""))

    pairs = [(min(left, key=lambda one: apart(one, other)), other) for other in right]
    pairs += [(one, min(right, key=lambda other: apart(one, other))) for one in left if one not in dict(pairs)]
    return pairs


def _compare(a: Any, b: Any, path: str, other: str) -> list[Difference]:
    """Plain data; mappings of one kind field by field, everything else as a whole."""
    if a == b:
        return []
    whole = not (isinstance(a, dict) and isinstance(b, dict)) or a.get("kind") != b.get("kind")
    if whole:
        return [_difference(path, a, b, other)]
    return [
        difference
        for name in dict.fromkeys([*a, *b])
        for difference in _compare(a.get(name), b.get(name), f"{path}.{name}", f"{other}.{name}")
    ]


def _difference(path: str, a: Any, b: Any, other: str) -> Difference:
    return Difference(path, a, b, "" if other == path else other)


# ---------------------------------------------------------------- specs as plain data, defaults resolved


def _plain(choice: BaseModel | None) -> Any:
    return None if choice is None else choice.model_dump(mode="json")


def _embedding(stack: StackSpec) -> dict[str, Any]:
    table = stack.embedding.table_width(stack.width)
    return _plain(stack.embedding) | {"width": None if table == stack.width else table}


def _block(block: BlockSpec, width: int) -> dict[str, Any]:
    data = _plain(block)
    for name in ("attention", "cross"):
        spec = getattr(block, name)
        if spec is not None:
            _resolve_heads(data[name], spec, width)
    if hasattr(block.ffn, "hidden"):
        data["ffn"]["inner"] = block.ffn.hidden(width)
        data["ffn"].pop("ratio", None)
    return data


def _resolve_heads(data: dict[str, Any], spec: Any, width: int) -> None:
    heads, own = spec.heads, data["heads"]
    if heads.kind == "grouped":
        dim = heads.dim(width)
        usual = heads.scale is None or math.isclose(heads.scale, dim**-0.5)
        own |= {"kv_heads": heads.kv, "head_dim": dim, "scale": None if usual else heads.scale}
        if spec.position.kind == "rotary" and spec.position.dim == dim:
            data["position"]["dim"] = None
