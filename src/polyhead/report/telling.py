"""Two architectures side by side: what differs, in people's words and by part, then the parameters."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from polyhead.nn import ModelSpec, PairSpec, StackSpec

from . import words
from .counting import towers
from .differing import Difference, differences, kind_pairs, stack_pairs

WIDTH = 100  # columns
_NAME, _VALUE = 32, 32

_GROUPS = ("sizes", "layers", "embedding", "attention", "cross-attention", "positions", "feed-forward", "norms", "residual", "heads", "training", "other")  # fmt: skip
_PARTS = {
    "attention": "attention", "cross": "cross-attention", "position": "positions", "ffn": "feed-forward", "norm": "norms",
    "final_norm": "norms", "residual": "residual", "embedding": "embedding", "share_embeddings": "embedding", "sharing": "layers",
    "layout": "layers", "shape": "layers", "encoder": "layers", "decoder": "layers", "width": "sizes", "context": "sizes", "layers": "sizes",
    "dropout": "training", "init": "training", "heads": "heads",
}  # fmt: skip
_LABELS = {
    "vocab": "vocabulary", "share_embeddings": "one table for both", "kv_heads": "heads of k and v", "head_dim": "width of a head",
    "bias": "biases", "qk_norm": "norm on q and k", "qk_norm_over": "norm on q and k over", "softcap": "soft cap", "mixing": "weights", "inner": "inner width",
    "act": "activation", "theta": "rotary θ", "types": "token types", "top_k": "experts per token", "shared": "shared expert's width",
    "top_groups": "groups per token", "placement": "place of the norms", "values": "value residual", "x0": "x₀ residual", "length": "rows",
    "offset": "first row", "layout": "kinds of layers", "project": "projection", "tied": "tied to the table", "output": "logits",
}  # fmt: skip
_PATHS = {
    "embedding.width": "width of the table", "embedding.position": "in the embedding", "attention.position": "in attention",
    "attention.heads": "heads", "attention.heads.heads": "heads of q", "cross.heads.heads": "heads of q",
    "attention.heads.scale": "factor on scores", "cross.heads.scale": "factor on scores", "embedding.scale": "factor on tokens",
    "position.dim": "features turned", "cross": "looks at a source",
}  # fmt: skip
_INSIDE = ("norm", "final_norm", "qk_norm", "input_norm", "scaling", "gain", "init", "dropout", "sharing")  # named before their fields


class Place(NamedTuple):
    """Where a difference stands: stack and kind of layer of a and b; "" outside them."""

    stack: str = ""
    kind: str = ""
    other: str = ""


def side_by_side(a: ModelSpec | PairSpec, b: ModelSpec | PairSpec, names: tuple[str, str]) -> str:
    """The differences grouped by part, then the parameters by part; within 100 columns."""
    if not differences(a, b):
        same = f"{names[0]} and {names[1]} are the same architecture: {a.params().total:,} parameters"
        return same + (f"\nonly the family's name differs: {a.family or 'none'}, {b.family or 'none'}" if a.family != b.family else "")
    told = [row for rows in _told(a, b) for row in rows]
    lines = [f"{names[0]} against {names[1]}: {words.count(sum(len(row) > 1 for row in told), 'difference')}", "", *_columns("", *names)]
    for row in told:
        lines += _columns(*row) if len(row) > 1 else row
    return "\n".join([*lines, "", *_parameters(a, b)])


def _told(a: ModelSpec | PairSpec, b: ModelSpec | PairSpec) -> Iterator[list[tuple[str, ...]]]:
    """For each tower: lines of (label, a's value, b's value), and of (group,) before them."""
    if isinstance(a, PairSpec) != isinstance(b, PairSpec):
        kinds = ["an image and a text tower" if isinstance(spec, PairSpec) else "one model" for spec in (a, b)]
        yield [("layers",), ("shape", *kinds)]
        return
    if isinstance(a, PairSpec) and isinstance(b, PairSpec) and a.scale != b.scale:
        yield [("where they meet",), ("scale", words.plain(a.scale), words.plain(b.scale))]
    for name, tower in towers(a).items():
        other = towers(b)[name]
        rows = _rows([d for d in differences(tower, other) if not _repeats_vocabulary(d, tower, other)], tower, other)
        for group in _GROUPS:
            told = [row[1:] for row in rows if row[0] == group]
            yield [(f"{name}: {group}" if name else group,), *told] if told else []


def _columns(name: str, one: str, other: str) -> list[str]:
    cells = [textwrap.wrap(text, room - 2) or [""] for text, room in ((name, _NAME), (one, _VALUE), (other, _VALUE))]
    height = max(map(len, cells))
    filled = [cell + [""] * (height - len(cell)) for cell in cells]
    return [f"  {x:<{_NAME}}{y:<{_VALUE}}{z}".rstrip() for x, y, z in zip(*filled, strict=True)]


def _repeats_vocabulary(difference: Difference, a: ModelSpec, b: ModelSpec) -> bool:
    """A language model has as many logits as its table has rows: one difference, not two."""
    vocab = (a.top.embedding.vocab, b.top.embedding.vocab)
    return difference.path.startswith("heads.") and difference.path.endswith(".output") and (difference.a, difference.b) == vocab


def _rows(found: list[Difference], a: ModelSpec, b: ModelSpec) -> list[tuple[str, str, str, str]]:
    """(group, label, a's value, b's value); what all stacks or all kinds of layers have in common is said once."""
    places: dict[tuple[str, str, str], list[Place]] = {}
    for difference in found:
        place, tail = _split(difference)
        other = difference.other or difference.path
        told = (tail, _value(difference.path, difference.a, a), _value(other, difference.b, b))
        places.setdefault(told, []).append(place)
    rows = []
    for (tail, one, other), where in places.items():
        rows += [(_group(tail), label, one, other) for label in _labels(tail, where, a, b)]
    return rows


def _split(difference: Difference) -> tuple[Place, str]:
    """ "decoder.blocks.full.attention.pattern" → (Place("decoder", "full", "full"), "attention.pattern")"""
    mine, theirs = difference.path.split("."), (difference.other or difference.path).split(".")
    if mine[0] not in ("encoder", "decoder") or len(mine) == 1:
        return Place(), difference.path
    if mine[1] != "blocks":
        return Place(mine[0]), ".".join(mine[1:])
    return Place(mine[0], mine[2], theirs[2]), ".".join(mine[3:])


# ---------------------------------------------------------------- where and what


def _group(tail: str) -> str:
    """The first part a path goes through; positions are a part of their own wherever they stand."""
    steps = tail.split(".")
    if "position" in steps:
        return "positions"
    if tail == "embedding.vocab":
        return "sizes"
    return _PARTS.get(steps[0], "other")


def _labels(tail: str, where: list[Place], a: ModelSpec, b: ModelSpec) -> list[str]:
    """One label if the value stands in every stack and kind, else one per stack, with its kinds."""
    label, expected = _label(tail), _everywhere(where[0], a, b)
    if not where[0].stack or expected <= set(where):
        return [label]
    out = []
    for stack in dict.fromkeys(place.stack for place in where):
        here = [place for place in where if place.stack == stack]
        whose = f"{stack}: " if max(len(a.stacks), len(b.stacks)) > 1 else ""
        kinds = "" if {p for p in expected if p.stack == stack} <= set(here) else f" ({', '.join(map(_kind, here))})"
        out.append(whose + label + kinds)
    return out


def _kind(place: Place) -> str:
    return place.kind if place.kind == place.other else f"{place.kind}/{place.other}"


def _everywhere(like: Place, a: ModelSpec, b: ModelSpec) -> set[Place]:
    """Every stack, or every kind of layer in every stack, that both have."""
    out: set[Place] = set()
    for mine, theirs in stack_pairs(a, b):
        if mine and theirs and not like.kind:
            out.add(Place(mine))
        elif mine and theirs:
            out |= {Place(mine, *pair) for pair in kind_pairs(a.stacks[mine], b.stacks[theirs])}
    return out


def _label(tail: str) -> str:
    """ "attention.heads.kv_heads" → "heads of k and v"."""
    steps = tail.split(".")
    name = next((_PATHS[key] for n in (3, 2, 1) if (key := ".".join(steps[-n:])) in _PATHS), "")
    name = name or _LABELS.get(steps[-1], steps[-1].replace("_", " "))
    if len(steps) > 1 and steps[-2] in _INSIDE:
        name = f"{_LABELS.get(steps[-2], steps[-2].replace('_', ' '))}: {name}"
    return f"{steps[1]}: {name}" if steps[0] == "heads" and len(steps) > 2 else name


# ---------------------------------------------------------------- values


def _value(path: str, value: Any, spec: ModelSpec) -> str:
    if isinstance(value, dict):  # a choice as a whole: the spec's own object knows its defaults
        choice = _at(spec, path)
        return words.norm(choice) if path.endswith("norm") else _choice(choice)
    if path.endswith(".layout"):
        return ", ".join(f"{n} {kind}" for kind, n in Counter(value).items())
    if path.endswith(".scale"):
        return "1 / √ of a head's width" if value is None else _factor(value)
    if value is None and path.endswith((".position.dim", ".embedding.width")):
        return "all" if path.endswith("dim") else "the stack's"
    return "none" if value == "" else words.plain(value)


def _choice(choice: Any) -> str:
    if isinstance(choice, StackSpec):
        return f"{words.count(choice.layers, 'layer')} of width {choice.width}"
    if not isinstance(choice, BaseModel):
        return words.plain(list(choice))
    return words.say(choice) if hasattr(choice, "kind") else ", ".join(words.fields(choice)) or "as usual"


def _factor(value: float) -> str:
    """0.0441942 → "1 / √512"."""
    text = words.times(value).strip(" ·")
    return f"1 {text}" if text.startswith("/") else text or "1"


def _at(spec: Any, path: str) -> Any:
    for name in path.split("."):
        spec = spec.get(name) if isinstance(spec, dict) else getattr(spec, name, None)
    return spec


# ---------------------------------------------------------------- parameters


def _parameters(a: ModelSpec | PairSpec, b: ModelSpec | PairSpec) -> list[str]:
    one, other = _by_part(a), _by_part(b)
    rows = [(part, one[part], other[part]) for part in dict.fromkeys([*one, *other]) if one[part] != other[part]]
    rows.append(("in all", one.total(), other.total()))
    out = ["parameters"]
    for name, x, y in rows:
        more = f"{y - x:+,}{_share(x, y)}".replace("-", "−") if x != y else "the same"
        out.append(f"  {name:<{_NAME}}{f'{x:,}':<20}{f'{y:,}':<20}{more}")
    return out


def _share(x: int, y: int) -> str:
    if not x or not y:
        return ""
    if not 1 / 3 <= y / x <= 3:
        ratio = max(x, y) / min(x, y)
        return f" ({'×' if y > x else '÷'} {ratio:,.0f})" if ratio >= 10 else f" ({'×' if y > x else '÷'} {ratio:.2g})"
    return f" ({(y - x) / x:+.1%})"


def _by_part(spec: ModelSpec | PairSpec) -> Counter[str]:
    """Parameters by part, stacks and towers taken together."""
    total: Counter[str] = Counter()
    for tower in towers(spec).values():
        for name, n in tower.params().parts.items():
            place, _, part = name.partition(".")
            total["heads" if place == "heads" else part.replace("_", "-")] += n
    total["scale"] = spec.params().total - total.total()
    return total
