"""One row of a recipe's config table: what a key may hold, and the ops on numbers and on several keys. Read by exchange.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ..errors import ConfigError
from .layouts import LAYOUTS
from .problems import nearest
from .scalings import mscale_read, mscale_write, rope_read, rope_write

Config = dict[str, Any]
Values = dict[str, Any]

_LARGEST = 2**31  # no size in a config may reach it
MISSING = object()


def is_choice(row: Any) -> bool:
    return len(row) > 2 and isinstance(row[2], dict) and not str(row[0]).startswith("@")


def spellings(key: str | list[str]) -> list[str]:
    return [key] if isinstance(key, str) else key


def same(a: Any, b: Any) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def choose(choices: dict[Any, Any], found: Any, default: Any, key: str, source: str) -> Any:
    if found is None:
        if None in choices:
            return choices[None]
        if default is MISSING:
            raise ConfigError(f"{source}: {key} is missing", expected=_listed(choices), received="nothing")
        found = default
    for theirs, ours in choices.items():
        if same(theirs, found):
            return ours
    raise refused(source, key, list(choices), found)


def own_words(rows: list[Any], config: Config, source: Config) -> Config:
    """The source's words for what a config says, where every row of their key means the same by both."""
    own: Config = {}
    other: set[str] = set()
    for key, _, *rest in (row for row in rows if len(row) > 1):
        key = spellings(key)[0]
        if source.get(key) is None or key not in config:
            continue
        theirs, ours = source[key], config[key]
        own[key] = theirs
        if not same(theirs, ours) and not _synonyms(rest[0] if rest else None, theirs, ours):
            other.add(key)
    return {key: theirs for key, theirs in own.items() if key not in other}


def _synonyms(choices: Any, one: Any, other: Any) -> bool:
    """Whether two words are choices of a row, and the same choice."""
    if not isinstance(choices, dict):
        return False
    first, second = ([value for word, value in choices.items() if same(word, said)] for said in (one, other))
    return bool(first) and first == second


def check_facts(config: Config, source: str, alone: bool) -> None:
    """What no number of the network depends on must be possible all the same. alone: the model is a decoder alone."""
    for key in ("dtype", "torch_dtype"):
        told = config.get(key)
        if told is not None and not (isinstance(told, str) and isinstance(getattr(torch, told.removeprefix("torch."), None), torch.dtype)):
            raise impossible(source, key, "float32, bfloat16, float16 or another dtype's name", told)
    if alone and config.get("is_encoder_decoder") is True:
        raise impossible(source, "is_encoder_decoder", "false: this class is a decoder alone", True)


def refused(source: str, key: str, allowed: list[Any], found: Any) -> ConfigError:
    near = nearest(found, [a for a in allowed if isinstance(a, str)]) if isinstance(found, str) else []
    change = f"did it mean {near[0]}?" if near else "a model with this setting cannot be loaded"
    return ConfigError(f"{source}: {key} is not one polyhead reads", expected=_listed(allowed), received=shown(found), change=change)


def _listed(choices: Any) -> str:
    return " | ".join(dict.fromkeys(shown(choice) for choice in choices))


def shown(value: Any) -> str:
    text = {True: "true", False: "false", None: "null"}.get(value, repr(value)) if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 100 else text[:97] + "…"


def checked(found: Any, key: str, source: str, default: Any) -> Any:
    """A plain value of its default's type and a sane size. What has no default, or one made of other values, is a size:
    sizes become allocations."""
    if isinstance(default, bool | dict) or isinstance(default, str | list) and not _is_made(default):
        if type(found) is not type(default):
            raise impossible(source, key, _TYPES[type(default)], found)
        if isinstance(found, str | list) and len(found) > 10_000:
            raise impossible(source, key, "at most 10,000 entries", len(found))
        return found
    if (default is MISSING or _is_made(default)) and not (type(found) is int and 0 < found < _LARGEST):
        raise impossible(source, key, "a whole number from 1 to 2**31 - 1", found)
    return number(found, key, source)


_TYPES = {bool: "true or false", str: "a text", list: "a list", dict: "a mapping"}


def _is_made(default: Any) -> bool:
    """Whether a default is made of other values: "$name", or a computation."""
    return computed(default) or isinstance(default, str) and default.startswith("$")


def number(found: Any, key: str, source: str) -> Any:
    """A finite number of a sane size, or null; ConfigError names the key."""
    fine = found is None or isinstance(found, int | float) and not isinstance(found, bool)
    if not fine or found is not None and not abs(found) < _LARGEST:  # false for NaN
        raise impossible(source, key, "a finite number below 2**31", found)
    return found


def impossible(source: str, key: str, expected: str, found: Any) -> ConfigError:
    return ConfigError(f"{source}: {key} is not possible", expected=expected, received=shown(found), change=f"correct {key}")


def computed(node: Any) -> bool:
    return isinstance(node, list) and bool(node) and isinstance(node[0], str) and node[0].startswith("@")


# ---------------------------------------------------------------- ops


class Number(NamedTuple):
    """theirs → ours and back, of one number."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


class Several(NamedTuple):
    """read(config, values so far, arguments, source) → our value; write(bound, defaults, value's name, arguments) → entries."""

    read: Callable[[Config, Values, Config, str], Any]
    write: Callable[[Values, Values, str, Config], Config]


def _whole(x: float) -> float:
    """A float that is a whole number but for rounding, as that number."""
    return round(x) if math.isclose(x, round(x), rel_tol=1e-9) else x


def _window_back(pattern: Any) -> int | None:
    return pattern["back"] + 1 if isinstance(pattern, dict) and pattern["kind"] == "window" else None


NUMBERS: dict[str, Number] = {
    "@null": Number(lambda n: n, lambda n: n),  # null is a value, not an absent key
    "@less_one": Number(lambda n: None if n is None else n - 1, lambda n: None if n is None else n + 1),
    "@less_two": Number(lambda n: None if n is None else n - 2, lambda n: None if n is None else n + 2),
    "@half": Number(lambda n: None if n is None else n // 2, lambda n: None if n is None else 2 * n),
    "@unless_2": Number(lambda n: None if n == 2 else n, lambda n: 2 if n is None else n),
    "@rsqrt": Number(lambda n: None if n is None else n**-0.5, lambda x: None if x is None else _whole(x**-2)),
    # a causal window that counts the token itself; null = no window
    "@window": Number(lambda n: {"kind": "causal"} if n is None else {"kind": "window", "back": n - 1}, _window_back),
}


def _read_labels(config: Config, values: Values, args: Config, source: str) -> int:
    labels = config.get("id2label")
    found = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)
    return number(found, "num_labels", source)


def _write_labels(bound: Values, defaults: Values, name: str, args: Config) -> Config:
    if name not in bound:
        return {}
    names = {str(i): f"LABEL_{i}" for i in range(bound[name])}
    return {"id2label": names, "label2id": {label: int(i) for i, label in names.items()}}


def _read_buckets(config: Config, values: Values, args: Config, source: str) -> int | None:
    """DeBERTa's two numbers: buckets that grow up to a distance, or without them a row for each distance up to it."""
    buckets, far = (number(config.get(key), key, source) for key in ("position_buckets", "max_relative_positions"))
    far = values["context"] if far is None or far < 1 else far
    bucketed = buckets is not None and buckets > 0
    return {"span": buckets if bucketed else far, "distance": far if bucketed else None}[args["give"]]


def _write_buckets(bound: Values, defaults: Values, name: str, args: Config) -> Config:
    span, distance = bound.get("span"), bound.get("distance")
    return {"position_buckets": -1, "max_relative_positions": span} if distance is None else {"position_buckets": span, "max_relative_positions": distance}


OPS: dict[str, Several] = {
    "@buckets": Several(_read_buckets, _write_buckets),
    "@labels": Several(_read_labels, _write_labels),
    "@rope": Several(rope_read, rope_write),
    "@mscale": Several(mscale_read, mscale_write),
    **{name: Several(*pair) for name, pair in LAYOUTS.items()},
}
