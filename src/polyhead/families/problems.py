"""From pydantic's words to a person's: what was expected, what came, what to change, and where.

    check(ModelSpec, data, "my.json")   data → a validated object, or a ConfigError that names the path and the nearest key
    explain(error, ModelSpec, data)     the second half, for an error that is already there
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[str | int, ...]

# "heads must divide the width: got width 130 and 4 heads; change heads to …", as the validators of specs write it
_SENTENCE = re.compile(r"^(?P<need>.*?): (?:expected (?P<expected>.*?), )?got (?P<got>.*?)(?:; (?P<change>.*))?$", re.S)


def check(model: type[Model], data: Any, source: str = "") -> Model:
    """data (what JSON or YAML holds) as a model. Types are strict: 12 is not "12", true is not 1. ConfigError if it fails."""
    try:
        return model.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise explain(error, model, data, source) from None
    except (RecursionError, OverflowError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{source or model.__name__} cannot be read",
            expected="names with texts, numbers, lists and mappings, not nested hundreds deep",
            received=f"{type(error).__name__}: {error}",
            change="write it as JSON would",
        ) from None


def explain(error: ValidationError, model: type[BaseModel], data: Any, source: str = "") -> ConfigError:
    """One ConfigError for all that pydantic found: the clearest in full, up to four more in a line each."""
    found: dict[str, dict[str, Any]] = {}
    for item in error.errors(include_url=False):
        path, lost = _path(item, data)
        words = _words(item, path, lost, model, data)
        key = f"{dotted(path)}:{item['type'] == 'extra_forbidden'}"
        if key in found:  # a value that fits no member of a union is reported once per member
            old, new = found[key]["expected"], words["expected"]
            found[key]["expected"] = old if old == new or not old or not new else f"{old}, or {new}"
        else:
            found[key] = words
    ranked = sorted(found.values(), key=lambda words: words["rank"])
    first, rest = ranked[0], ranked[1:]
    message = f"{source}: {first['message']}" if source else first["message"]
    message += "".join(f"\n  also: {words['message']}" for words in rest[:4])
    message += f"\n  and {len(rest) - 4} more" if len(rest) > 4 else ""
    return ConfigError(message, expected=first["expected"], received=first["received"], change=first["change"])


def nearest(word: str, names: Iterable[str], count: int = 1) -> list[str]:
    """The names most like a word that is none of them, best first; may be empty."""
    return difflib.get_close_matches(str(word)[:100], list(names), count, 0.5)


def dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)


def _path(item: Any, data: Any) -> tuple[Path, bool]:
    """(where in the data, whether the last part is a key that is not there). Pydantic's own path also carries the tags
    and names of union members, which no user wrote."""
    path: list[str | int] = []
    node, lost = data, False
    loc = item["loc"]
    for i, part in enumerate(loc):
        if isinstance(node, dict) and part in node and not (node.get("kind") == part and i < len(loc) - 1):
            path, node = [*path, part], node[part]
        elif isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
            path, node = [*path, part], node[part]
        elif item["type"] == "missing" and i == len(loc) - 1:
            path, lost = [*path, part], True
    return tuple(path), lost


def _words(item: Any, path: Path, lost: bool, model: type[BaseModel], data: Any) -> dict[str, Any]:
    """message, expected, received, change, and a rank: the lower, the likelier the cause of the others."""
    kind, where, context = item["type"], dotted(path), item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, model, data, item["input"])
    if kind == "missing":
        return _say(2, f"{where} is missing", _field(model, path, data), "nothing", f"add {where}")
    if kind in ("union_tag_not_found", "union_tag_invalid", "literal_error"):
        names = re.findall(r"'([^']*)'", str(context.get("expected_tags") or context.get("expected")))
        if kind == "union_tag_not_found":
            names = [str(choice.model_fields["kind"].default) for choice in _models(model, path, data)]
        where = where if kind == "literal_error" else dotted((*path, "kind"))
        got = context.get("tag", item["input"]) if kind != "union_tag_not_found" else None
        near = nearest(got, names) if isinstance(got, str) else []
        change = f"write {near[0]}" if near else f"choose one for {where}"
        message = f"{where} is missing" if got is None else f"{where} is not one of its choices"
        return _say(1, message, " | ".join(names), "nothing" if got is None else _show(got), change)
    if kind == "value_error":
        return _sentence(str(context["error"]), where)
    expected = re.sub(r"^Input should be ", "", item["msg"])
    return _say(1, f"{where or 'the whole'} does not fit", expected, _show(item["input"]), f"correct {where or 'it'}")


def _say(rank: int, message: str, expected: str | None, received: str | None, change: str | None) -> dict[str, Any]:
    return {"rank": rank, "message": message, "expected": expected, "received": received, "change": change}


def _unknown(path: Path, model: type[BaseModel], data: Any, value: Any) -> dict[str, Any]:
    names = _keys(model, path[:-1], data)
    meant, received = _meant(path, model, data, names), f"{path[-1]} = {_show(value)}"
    while meant and isinstance(value, dict) and len(value) == 1:  # a section that stands elsewhere: down to what was set in it
        (inner, value), = value.items()
        meant = [(*place, str(inner)) for place in meant]
    change = "write " + " or ".join(map(dotted, meant)) if meant else "remove it"
    return _say(0, f"unknown key {dotted(path)}", "one of " + ", ".join(names) if names else None, received, change)


def _meant(path: Path, model: type[BaseModel], data: Any, names: list[str]) -> list[Path]:
    """Where what was meant by an unknown key stands: the key of that name elsewhere, or the one most like it. A model may say
    in `also` how its settings are called elsewhere."""
    key, parent = str(path[-1]), path[:-1]
    name = getattr(model, "also", {}).get(key, key)
    for start in dict.fromkeys((parent, ())):
        below = _below(model, start, data)
        near = [name] if any(place[-1] == name for place in below) else difflib.get_close_matches(key[:100], [str(place[-1]) for place in below], 1, 0.8)
        if near and near[0] not in names:
            found = [place for place in below if place[-1] == near[0]]
            return [place for place in found if len(place) == len(found[0])][:3]
        if near:
            break
    return [(*parent, near) for near in ([name] if name in names else nearest(key, names))]


def _below(model: type[BaseModel], start: Path, data: Any) -> list[Path]:
    """Every key that may stand at `start` of the data or up to three levels further down, the highest first."""
    found, level = dict[Path, None](), [start]
    for _ in range(4):
        level = [(*path, key) for path in level for key in _keys(model, path, data)]
        found |= dict.fromkeys(level)
    return list(found)


def _sentence(text: str, where: str) -> dict[str, Any]:
    """A validator's own sentence, taken apart where it follows the house's form."""
    place = f"{where}: " if where else ""
    match = _SENTENCE.match(text)
    if match is None:
        return _say(1, place + text, None, None, f"correct {where}" if where else None)
    parts = match.groupdict()
    change = parts["change"] or f"correct {where}" if where else parts["change"]
    return _say(1, place + parts["need"], parts["expected"] or parts["need"], parts["got"], change)


def _show(value: Any) -> str:
    """A value as it stands in the file, cut short, with its type in plain words."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    text = json.dumps(value, default=str, ensure_ascii=False)
    text = text if len(text) <= 60 else text[:57] + "…"
    return "null" if value is None else f"{text} ({names.get(type(value), type(value).__name__)})"


# ---------------------------------------------------------------- which models stand at a path


def _members(annotation: Any) -> list[Any]:
    """The members of an Optional, a Union, or an Annotated of one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _models(model: type[BaseModel], path: Path, data: Any) -> list[type[BaseModel]]:
    """The models that may stand at a path of the data; `kind` decides where it is given."""
    kinds: list[Any] = [model]
    for part in path:
        inner: list[Any] = []
        for kind in _chosen(kinds, data):
            if _is_model(kind) and part in kind.model_fields:
                inner += _members(kind.model_fields[part].annotation)
            elif get_origin(kind) in (dict, tuple, list):
                inner += _members(get_args(kind)[1 if get_origin(kind) is dict else 0])
        kinds = inner
        known = isinstance(data, dict) and part in data or isinstance(data, list | tuple) and isinstance(part, int)
        data = data[part] if known else None
    return [kind for kind in _chosen(kinds, data) if _is_model(kind)]


def _chosen(kinds: list[Any], data: Any) -> list[Any]:
    tag = data.get("kind") if isinstance(data, dict) else None
    tagged = [k for k in kinds if _is_model(k) and "kind" in k.model_fields and k.model_fields["kind"].default == tag]
    return tagged or kinds


def _keys(model: type[BaseModel], path: Path, data: Any) -> list[str]:
    return list(dict.fromkeys(name for kind in _models(model, path, data) for name in kind.model_fields))


def _field(model: type[BaseModel], path: Path, data: Any) -> str | None:
    """What a missing field is for, in its own words or its type's name."""
    for kind in _models(model, path[:-1], data):
        field = kind.model_fields.get(str(path[-1]))
        if field is not None:
            names = [getattr(member, "__name__", str(member)) for member in _members(field.annotation)]
            plain = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
            return field.description or " or ".join(dict.fromkeys(plain.get(name, name) for name in names))
    return None
