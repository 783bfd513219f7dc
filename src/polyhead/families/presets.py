"""The logic over the families' literals: a preset's name, or a file, becomes a validated ModelSpec.

A family's file has RECIPES, nested data in which "$name" stands for a value, and PRESETS, which name a recipe and give
the values. A value may hold references itself. What differs is a value; the only arithmetic is a list such as
["@sqrt", "$width"] or ["@times", "$width", 4]. A recipe with a `base` says what it changes of that other recipe. Of a
stack's block kinds those stay that its layout names; a kind "w{n}" stands for w8, w16, … with "$n" inside.

The section `hf`, what Hugging Face folders of the family look like, is read by exchange.py and checkpoint/renaming.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..nn import ModelSpec
from .document import SUFFIXES, read
from .problems import check, nearest
from .unpublished import UNPUBLISHED

_FAMILIES = (
    "modern",
    "gpt",
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "embedding_gemma",
    "phi3",
    "olmo2",
    "qwen3_moe",
    "gpt_oss",
    "deepseek_v2",
    "deepseek_v3",
    "neox",
    "opt",
    "bloom",
    "falcon",
    "bert",
    "bert_decoder",
    "roberta",
    "longformer",
    "bigbird",
    "albert",
    "distilbert",
    "electra",
    "modernbert",
    "deberta",
    "t5",
    "bart",
    "marian",
    "fsmt",
    "led",
    "whisper",
    "vit",
    "dinov2",
    "clip",
    "transformer",
)
FAMILIES: dict[str, Any] = {name: import_module(f".{name}", __package__) for name in _FAMILIES}  # own.py adds to them
_PRESETS: dict[str, Any] = {name: values for family in FAMILIES.values() for name, values in family.PRESETS.items()}
PAIRS: dict[str, Any] = {name: pair for family in FAMILIES.values() for name, pair in getattr(family, "PAIRS", {}).items()}  # see pairs.py
PAIRED = {name: (kind, two["image"], two["text"]) for kind, pair in PAIRS.items() for name, two in pair["presets"].items()}
_ROWS = ("config", "weights")  # lists of rows: a row with the same first entry replaces its base's
_SECTIONS = ("tokenizer", "training")


def presets() -> list[str]:
    """The names of all presets, family by family, small ones first."""
    return list(_PRESETS)


def by_family() -> dict[str, list[str]]:
    """The names of all presets under the name of their family's file."""
    paired = {name: [pair for pair, (kind, *_) in PAIRED.items() if kind in getattr(family, "PAIRS", {})] for name, family in FAMILIES.items()}
    return {name: [*family.PRESETS, *paired[name]] for name, family in FAMILIES.items() if family.PRESETS}


@cache
def preset(name: str) -> ModelSpec:
    """The frozen architecture of a preset. ConfigError, with the nearest names, if there is none of that name."""
    return check(ModelSpec, fill(*_recipe(name, "spec")), f"preset {name}")


def defaults(name_or_path: str | Path) -> dict[str, Any]:
    """How a model is trained unless told otherwise: {"tokenizer": {kind, vocab_size}, "training": {objective, steps,
    batch, optimizer, schedule, …}}, the sections of a run's configuration. A fresh copy each time.

    The batch counts rows of one update on one machine; published models were trained with larger ones, for longer.
    For a file: those of the preset it starts from, else of the CPU size of its shape, with plain AdamW.
    """
    if not _is_file(name_or_path):
        name = str(name_or_path)
        return {section: fill(*_recipe(name, section)) for section in _SECTIONS}
    data = read(name_or_path)
    spec = spec_from(data, str(name_or_path))
    if "preset" not in data:
        return _general(spec)
    found, vocab = defaults(data["preset"]), spec.vocab
    if vocab != preset(data["preset"]).vocab:
        found["tokenizer"]["vocab_size"] = vocab
    return found


def resolve(name_or_path: str | Path) -> ModelSpec:
    """A preset's name, or a .json or .yaml file with a whole spec or {"preset": name, …what differs…}, to its spec."""
    if not _is_file(name_or_path):
        return preset(str(name_or_path))
    return spec_from(read(name_or_path), str(name_or_path))


def spec_from(data: dict[str, Any], source: str = "the spec") -> ModelSpec:
    """The spec that plain data describes; source names it in errors. Data of a newer format is refused as such."""
    data, known = dict(data), ModelSpec.model_fields["version"].default
    version = data.get("version", known)
    if isinstance(version, int) and version > known:
        raise ConfigError(
            f"{source} was written by a newer polyhead: format {version}, this program reads {known}",
            expected=f"version {known}",
            received=f"version {version}",
            change="update polyhead",
        )
    if "preset" not in data:
        return check(ModelSpec, data, source)
    name = data.pop("preset")
    if not isinstance(name, str):
        raise ConfigError(f"{source}: preset is not a name", expected="a preset's name", received=repr(name), change="write its name")
    return override(preset(name), data, source)


def override(spec: ModelSpec, changes: dict[str, Any], source: str = "the changed spec") -> ModelSpec:
    """A copy of the spec with values replaced: {"decoder.layers": 8} or, nested, {"decoder": {"layers": 8}}.

    A new `kind`, or a mapping with a `kind`, starts that choice anew, with its own defaults; {} empties a mapping first.
    Two short names do what a person means by them: "vocab" is with_vocab, "context" is with_context.
    """
    flat = _flatten(changes)
    vocab, context = flat.pop("vocab", None), flat.pop("context", None)
    data = spec.model_dump(mode="json")
    for path, value in sorted(flat.items(), key=_outer_first):
        _put(data, path.split("."), value, source)
    changed = check(ModelSpec, data, source) if flat else spec
    if vocab is not None:
        changed = with_vocab(changed, _whole("vocab", vocab, source))
    return changed if context is None else with_context(changed, _whole("context", context, source))


def with_vocab(spec: ModelSpec, vocab: int) -> ModelSpec:
    """The same architecture for another vocabulary: token tables of every stack that has one, and the lm and mlm heads' outputs."""
    data = spec.model_dump(mode="json")
    for name, stack in spec.stacks.items():
        if stack.embedding.vocab is not None:
            data[name]["embedding"]["vocab"] = vocab
    for name, head in spec.heads.items():
        if head.task in ("lm", "mlm"):
            data["heads"][name]["output"] = vocab
    return check(ModelSpec, data, f"vocabulary {vocab}")


def with_context(spec: ModelSpec, context: int) -> ModelSpec:
    """The same architecture for another row length; learned tables of token positions get as many rows."""
    data = spec.model_dump(mode="json") | {"context": context}
    for name, stack in spec.stacks.items():
        if stack.embedding.position.kind == "learned" and stack.embedding.vocab is not None:
            data[name]["embedding"]["position"]["length"] = context
    return check(ModelSpec, data, f"context {context}")


# ---------------------------------------------------------------- below: how


@cache
def recipes() -> dict[str, Any]:
    """Every recipe by name, bases filled in. Not to be changed."""
    raw = {name: recipe for family in FAMILIES.values() for name, recipe in family.RECIPES.items()}

    def whole(name: str) -> dict[str, Any]:
        own = raw[name]
        base = whole(own["base"]) if "base" in own else {}
        family = {"values": {"family": name} | own.get("values", {})}
        return _merged(base, {key: part for key, part in own.items() if key != "base"} | family)

    return {name: whole(name) for name in raw}


def known_anew() -> None:
    """After FAMILIES has changed: what was worked out from them is forgotten."""
    _PRESETS.clear()
    _PRESETS.update({name: values for family in FAMILIES.values() for name, values in family.PRESETS.items()})
    recipes.cache_clear()
    preset.cache_clear()


def _merged(base: Any, own: Any) -> Any:
    """Mappings merge key by key, unless the new one states a `kind`; values of a recipe and everything else replace."""
    if not isinstance(base, dict) or not isinstance(own, dict) or "kind" in own:
        return own
    out = dict(base)
    for key, part in own.items():
        if key in _ROWS and isinstance(base.get(key), list):
            rows = {_row_name(row): row for row in base[key]} | {_row_name(row): row for row in part}
            out[key] = [row for row in rows.values() if len(row) > 1]  # a row with its first entry alone takes it away
        elif key in ("values", "heads", "classes", "when", "types", "blocks"):
            out[key] = {**base.get(key, {}), **part} if isinstance(part, dict) and key in ("values", "heads") else part
        else:
            out[key] = _merged(base.get(key), part)
    return out


def _row_name(row: Any) -> str:
    name = row[0] if isinstance(row[0], str) else row[0][0]  # "@rope position": two rows may have one op
    return f"{name} {row[1]}" if name.startswith("@") and len(row) > 1 else name


def _recipe(name: str, section: str) -> tuple[Any, dict[str, Any]]:
    """(a section of the preset's recipe, with the preset's own entries of it, and the values for its references)"""
    if name not in _PRESETS:
        raise _no_preset(name)
    own = _PRESETS[name]
    recipe = recipes()[own["recipe"]]
    return recipe[section] | own.get(section, {}), recipe["values"] | own


COMPUTE: dict[str, Callable[..., Any]] = {
    "@sqrt": lambda x: x**0.5,
    "@rsqrt": lambda x: x**-0.5,
    "@times": lambda x, y: x * y,
    "@over": lambda x, y: x // y if isinstance(x, int) and isinstance(y, int) else x / y,
    "@minus": lambda x, y: x - y,
    "@runs": lambda *runs: [kind for kind, n in zip(runs[::2], runs[1::2], strict=True) for _ in range(n)],
    "@first": lambda first, cycle, n: [first, *(cycle[i % len(cycle)] for i in range(1, n))],
    "@differ": lambda x, y, then, otherwise: then if x != y else otherwise,
    "@swiglu": lambda x: (int(x * 2 / 3) + 7) // 8 * 8,  # two thirds, up to a multiple of 8 (DINOv2)
    "@patches": lambda image, patch: (image // patch) ** 2 + 1,  # and a class token
}


def fill(node: Any, values: dict[str, Any]) -> Any:
    """A copy of the node with every text "$name" replaced by that value, which may hold references in turn, and every
    ["@op", …] worked out."""
    if isinstance(node, str) and node.startswith("$"):
        return fill(values[node[1:]], values)
    if isinstance(node, dict):
        return _filled_stack(node, values) if {"blocks", "layout"} <= node.keys() else {k: fill(v, values) for k, v in node.items()}
    if isinstance(node, list):
        parts = [fill(value, values) for value in node]
        computed = bool(node) and isinstance(node[0], str) and node[0].startswith("@")
        return COMPUTE[node[0]](*parts[1:]) if computed else parts
    return node


def _filled_stack(node: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A stack keeps the kinds its layout names; "w{n}" makes w8 with n = 8."""
    out = {key: fill(value, values) for key, value in node.items() if key != "blocks"}
    kinds = node["blocks"]
    while isinstance(kinds, str):
        kinds = values[kinds[1:]]
    out["blocks"] = {}
    for name in dict.fromkeys(out["layout"] or ()):
        if name in kinds:
            out["blocks"][name] = fill(kinds[name], values)
            continue
        for pattern, kind in kinds.items():
            match = re.fullmatch(re.escape(pattern).replace(r"\{n\}", r"(\d+)"), name)
            if match and "{n}" in pattern:
                out["blocks"][name] = fill(kind, values | {"n": int(match[1])})
    return out


def _no_preset(name: str) -> ConfigError:
    if name in PAIRED:
        _, image, text = PAIRED[name]
        return ConfigError(
            f"{name} is two models, a tower for images and one for texts", expected="one model",
            received="a pair", change=f"take {image} or {text}; in Python, families.pair({name!r}) is the pair, which is not trained here",
        )  # fmt: skip
    bare = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    begins = [start for start in UNPUBLISHED if bare.startswith(start.replace("-", ""))]
    if begins:
        why, instead = UNPUBLISHED[max(begins, key=len)]
        message = f"there is no preset {name}, because its architecture is unpublished: {why}"
        return ConfigError(message, expected="a published architecture", received=name, change=instead)
    near = nearest(name.lower(), _PRESETS, 3)
    change = "did you mean " + " or ".join(near) + "?" if near else "polyhead show lists them"
    return ConfigError(f"there is no preset {name!r}", expected="one of " + ", ".join(_PRESETS), received=name, change=change)


def _is_file(name_or_path: str | Path) -> bool:
    if isinstance(name_or_path, Path):
        return True
    return name_or_path not in _PRESETS and (name_or_path.lower().endswith(SUFFIXES) or "/" in name_or_path or "\\" in name_or_path)


def _general(spec: ModelSpec) -> dict[str, Any]:
    """Defaults of a spec that comes from no preset: its shape's CPU size, with an optimizer that suits any initial values."""
    objective = "causal" if spec.encoder is None else "masked" if spec.decoder is None else "seq2seq"
    found = defaults({"causal": "gpt-micro", "masked": "bert-nano", "seq2seq": "transformer-nano"}[objective])
    found["tokenizer"]["vocab_size"] = spec.vocab or found["tokenizer"]["vocab_size"]
    plain = defaults("llama-nano")["training"]
    found["training"] |= {"optimizer": plain["optimizer"] | {"lr": 1e-3}, "schedule": plain["schedule"]}
    return found


def _flatten(changes: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested and dotted keys alike as {dotted path: value}; a mapping with its own `kind` stays whole."""
    flat: dict[str, Any] = {}
    for key, value in changes.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and "kind" not in value:
            flat |= _flatten(value, f"{path}.")
        else:
            flat[path] = deepcopy(value)
    return flat


def _outer_first(change: tuple[str, Any]) -> tuple[int, bool]:
    """Outer paths before inner ones and `kind` before its siblings, whatever order they were given in."""
    path = change[0].split(".")
    return len(path), path[-1] != "kind"


def _put(data: dict[str, Any], path: list[str], value: Any, source: str) -> None:
    """Set one value in place, making room where nothing was."""
    node = data
    for i, part in enumerate(path[:-1]):
        if node.get(part) is None:
            node[part] = {}
        inner = node[part]
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{source}: {'.'.join(path)} points into a single value",
                expected=f"a path that ends at {'.'.join(path[: i + 1])}",
                received=f"{'.'.join(path)} = {value!r}",
                change=f"set {'.'.join(path[: i + 1])} as a whole",
            )
        node = inner
    if path[-1] == "kind" and node.get("kind") != value:
        node.clear()
    node[path[-1]] = value


def _whole(name: str, value: Any, source: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"{source}: {name} does not fit", expected="a whole number above 0", received=repr(value), change=f"correct {name}"
        )
    return value
