"""A Hugging Face config.json ↔ a ModelSpec. The one place that applies the families' `hf` sections; no family is named here.
rows.py has what one key may hold and the ops, laying.py how a spec is laid over a template.

A recipe's `hf` section is data:
    types     the model_type values it answers to           when     config facts that choose it among recipes of one type
    classes   architecture → the heads it has, first = default          heads    name → head, as the spec writes it
    config    rows, theirs ↔ ours                            weights, drop, prefixes    see checkpoint/renaming.py
    class_prefix   a class whose base has another name than the first of the prefixes
    inside    the key under which a composed model's config has the part that is read; its keys "outside" stand beside it
    implied        what a model_type means by leaving such a fact out
    computed       rows of tables that we compute from positions and their files hold
    renames   its modules' names differ from its files', by version of transformers: no adapter files (checkpoint/peft.py)
    pad       the class's own padding id: null is written where a smaller vocabulary lacks it

Config rows, read top to bottom:
    (key, value)                     as it is, required           (key, value, default)        absent or null → default
    (key, value, {theirs: ours}, d)  one of these                 (key, value, "@op", d)       through a number's op;
                                                                  d {"absent": x}: null stays null
    (key, "=", [allowed, …])         anything else is refused     ("@op", value, {…})            several keys at once
("<key", value)                  replaces what was read, if there
`key` may be a list of spellings, the first is written. Defaults and choices may hold "$references".

Writing runs the rows backwards over the values that the spec's template binds, keeps the source's word where it means the same, and then reads the result again: what does
not come back equal cannot be expressed, and is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import ValidationError

from ..errors import ConfigError
from ..nn import ModelSpec
from .laying import close, differences, resolved, unify
from .nearness import nearest_families
from .presets import fill, recipes
from .problems import nearest
from .rows import (
    MISSING,
    NUMBERS,
    OPS,
    Config,
    Values,
    check_facts,
    checked,
    choose,
    computed,
    impossible,
    is_choice,
    number,
    own_words,
    refused,
    same,
    shown,
    spellings,
)

STATES = {"states": {"task": "embed"}}  # the head of a bare model: its hidden states


class Reading(NamedTuple):
    """What a config.json says. recipe: the name of the recipe that read it; values: what its rows bound."""

    spec: ModelSpec
    recipe: str
    architecture: str
    values: Values


def read_config(
    config: Config, source: str = "config.json", *, untie: bool = False, heads: list[str] | None = None, names: Iterable[str] = ()
) -> Reading:
    """The architecture of a config.json. untie: an output matrix of its own whatever the config says (the file has one).
    heads: only these of its class. names: those of the weights, which tell a family that is not known. ConfigError names
    the key."""
    refuse_packed(config, source)
    config = _inner(config)
    name = find_recipe(config, source, names)
    recipe = recipes()[name]
    architecture = _architecture(config, recipe, source)
    values = read_values(config, recipe, source)
    if untie:
        values["tied"] = False
    wanted = recipe["hf"]["classes"][architecture] if heads is None else heads
    out = {head: recipe["hf"]["heads"][head] for head in wanted} or STATES
    template = recipe["spec"] | {"heads": out, "family": name}
    spec = _validated(template, values, recipe, source)
    check_facts(config, source, alone=spec.encoder is None)
    return Reading(spec, name, architecture, values)


def refuse_packed(config: Config, source: str) -> None:
    """Weights that are not numbers of their own (8 or 4 bits with scales), and heads that were cut out."""
    for key in ("quantization_config", "compression_config"):
        told = config.get(key)
        if told:
            method = told.get("quant_method") if isinstance(told, dict) else None
            raise ConfigError(
                f"{source}: {key}: quantized weights are not read", expected=f"no {key}: weights in fp32, bf16 or fp16",
                received=shown(method or told), change="load the original in 16 bits, or write one: in transformers, load it with dequantize and save_pretrained",
            )  # fmt: skip
    if config.get("pruned_heads"):
        raise ConfigError(f"{source}: pruned_heads: all layers have the same heads", expected="none", received=shown(config["pruned_heads"]), change="load a model that was not pruned")


def _inner(config: Config) -> Config:
    """The part of a composed model's config that a recipe reads ("inside": the text of a model that sees), under its own type."""
    for recipe in recipes().values():
        hf = recipe.get("hf", {})
        if "inside" not in hf or config.get("model_type") not in hf["types"] or not fits(config, hf):
            continue
        part = part_of(config, hf["inside"])
        if part is not None:
            outside = {key: config[key] for key in hf.get("outside", ()) if key in config}
            kept = {key: config[key] for key in ("architectures",) if "outside" in hf and key in config}
            return {**part, **outside, **kept, "model_type": config["model_type"]}
    return config


def part_of(config: Config, key: str) -> Config | None:
    """A part of a composed config. Old files repeat one under "…_dict", which then counts."""
    found = next((config[k] for k in (f"{key}_dict", key) if config.get(k) is not None), None)
    return found if isinstance(found, dict) else None


def fits(config: Config, hf: Config) -> bool:
    """Whether a config has the facts that choose a recipe."""
    facts = {**hf.get("implied", {}).get(config.get("model_type"), {}), **config}
    return all(facts.get(key) in allowed for key, allowed in hf.get("when", {}).items())


def find_recipe(config: Config, source: str = "config.json", weights: Iterable[str] = ()) -> str:
    """The recipe that answers to a config's model_type and facts. ConfigError: unknown, with the nearest known ones."""
    kind = config.get("model_type")
    known = {t: n for n, r in recipes().items() if "hf" in r for t in r["hf"]["types"]}
    if not isinstance(kind, str):
        expected = "one of " + ", ".join(sorted(known))
        raise ConfigError(f"{source}: model_type is not a text", expected=expected, received=shown(kind), change="is this a model's folder?")
    names = [n for n, r in recipes().items() if "hf" in r and kind in r["hf"]["types"]]
    for name in names:
        if fits(config, recipes()[name]["hf"]):
            return name
    if names:
        told = {key: config.get(key) for name in names for key in recipes()[name]["hf"].get("when", {})}
        raise ConfigError(f"{source}: a {kind} of a form no published one has", expected=f"one of {', '.join(names)}", received=shown(told))
    raise _unknown(config, source, weights, known)


def _unknown(config: Config, source: str, weights: Iterable[str], known: Config) -> ConfigError:
    """A model_type that is none of ours: the families that read most of its config and weights, and what is missing."""
    kind = str(config["model_type"])
    lines: list[str] = []
    near, refusing = nearest_families(config, weights), 0
    for one in near:
        try:
            read_config({**config, "model_type": one.model_type, "architectures": None}, "it")
            lines.insert(len(lines) - refusing, f"nearest: {one}")
        except ConfigError as error:
            lines.append(f"nearest: {one}; {error.message.removeprefix('it: ')}" + (f": {error.received}" if error.received else ""))
            refusing += 1
    inner = {key: part["model_type"] for key, part in config.items() if isinstance(part, dict) and isinstance(part.get("model_type"), str)}
    lines += [f"its {key} is of model_type {shown(theirs)}" for key, theirs in inner.items()][:3]
    alike = nearest(kind.lower(), known, 3)
    change = f"the nearest by name: {', '.join(alike)}" if alike else "load a model of a known family"
    if near:
        change = f"if none of that changes what it computes, write model_type {lines[0].split()[1]}; else describe it: polyhead.families.register"
    return ConfigError(
        f"{source}: model_type {shown(kind)} is not one polyhead reads" + "".join(f"\n  {line}" for line in lines),
        expected="one of " + ", ".join(sorted(known)), received=shown(kind), change=change,
    )  # fmt: skip


def _architecture(config: Config, recipe: Config, source: str) -> str:
    classes, given = recipe["hf"]["classes"], config.get("architectures")
    if given in (None, []):
        return next(iter(classes))
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"{source}: architectures is not a list of names", expected="a list of texts", received=shown(given), change="write the class's name in [ ]")
    if given[0] in classes:
        return given[0]
    near = nearest(given[0], classes)
    raise ConfigError(
        f"{source}: architectures: {shown(given[0])} is not a class polyhead reads",
        expected="one of " + ", ".join(classes), received=shown(given[0]),
        change=f"write {near[0]} if that is its head" if near else "export it from one of these",
    )  # fmt: skip


def read_values(config: Config, recipe: Config, source: str) -> Values:
    """The recipe's values with those that the config's rows bind."""
    values: Values = dict(recipe["values"])
    rows = sorted(recipe["hf"]["config"], key=lambda row: str(row[0]).startswith("@"))  # these look at what the others bound
    for key, name, *rest in rows:
        if isinstance(key, str) and key.startswith("@"):
            values[name] = OPS[key].read(config, values, rest[0] if rest else {}, source)
            continue
        if isinstance(key, str) and key.startswith("<"):
            told = config.get(key[1:])
            if told is not None:
                values[name] = choose(rest[0], told, MISSING, key[1:], source) if rest else told
            continue
        found = next((config[k] for k in spellings(key) if config.get(k) is not None), None)
        if name == "=":
            allowed = fill(rest[0], values)
            found = rest[1] if found is None and len(rest) > 1 else found
            if found is not None and not any(same(found, one) for one in allowed):
                raise refused(source, spellings(key)[0], allowed, found)
        elif rest and isinstance(rest[0], dict):
            if name == "act" and found is None and any(k in config for k in spellings(key)):
                raise refused(source, spellings(key)[0], list(rest[0]), None)  # transformers has no activation of that name
            values[name] = choose(rest[0], found, rest[1] if len(rest) > 1 else MISSING, spellings(key)[0], source)
        elif rest and isinstance(rest[0], str) and rest[0].startswith("@"):
            default = rest[1] if len(rest) > 1 else None
            if isinstance(default, dict):  # null is a value of its own, and this the one of an absent key
                default = None if any(k in config for k in spellings(key)) else default["absent"]
            found = fill(default, values) if found is None else found
            found = number(found, spellings(key)[0], source)
            if isinstance(found, int | float) and found <= 0 and rest[0] == "@rsqrt":
                raise impossible(source, spellings(key)[0], "a number above 0", found)
            values[name] = NUMBERS[rest[0]].read(found)
        else:
            if found is None and not rest:
                raise ConfigError(f"{source}: {spellings(key)[0]} is missing", expected="a value", received="nothing")
            values[name] = rest[0] if found is None else checked(found, spellings(key)[0], source, rest[0] if rest else MISSING)
    return values


def _validated(template: Config, values: Values, recipe: Config, source: str) -> ModelSpec:
    """The filled template as a spec; pydantic's complaint is told in the config's own keys."""
    try:
        return ModelSpec.model_validate_json(json.dumps(fill(template, values)), strict=True)
    except (ArithmeticError, TypeError, KeyError) as error:  # computed values of texts, zeros and nulls
        keys = {name: spellings(key)[0] for key, name, *_ in recipe["hf"]["config"]}
        wrong = [keys.get(n, n) for n in keys if n in values and not isinstance(values[n], int | float | dict | list | str)] or list(keys.values())
        raise ConfigError(f"{source} does not describe a model: {', '.join(wrong[:4])}", expected="numbers above 0", received=str(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = _blame(template, first["loc"], values, recipe)
        message = first["msg"].removeprefix("Value error, ")
        place = f"{source}: {key} is not possible" if key else f"{source} does not describe a model"
        raise ConfigError(place, expected=message, received=shown(first["input"]) if key else None, change=f"correct {key or 'it'}") from None


def _blame(template: Any, loc: tuple[Any, ...], values: Values, recipe: Config) -> str | None:
    """The config key behind a place in the spec: the last reference on the way there that a row binds."""
    keys = {name: key if isinstance(key, str) else key[0] for key, name, *_ in recipe["hf"]["config"]}
    node, found = template, None
    for part in (*loc, None):
        while isinstance(node, str) and node.startswith("$"):
            found = keys.get(node[1:], found)
            node = values.get(node[1:])
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
    return None if found is None else found.removeprefix("@")


# ---------------------------------------------------------------- writing


def write_config(spec: ModelSpec, source: Config | None = None) -> tuple[Config, Reading]:
    """(a config.json that reads back as this spec, that reading). source: the config it was read from, whose other keys
    are kept. ConfigError names what the family's format cannot express."""
    names = [n for n, r in recipes().items() if "hf" in r]
    first = [n for n in names if n == spec.family] or [n for n in names if recipes()[n]["spec"].get("family") == spec.family]
    tried: list[tuple[int, str, ConfigError]] = []
    for name in dict.fromkeys([*first, *names]):
        try:
            return _write(spec, name, source)
        except ConfigError as error:
            tried.append((len(tried), name, error))
            if name in first[-1:]:
                break
    if first:
        raise tried[-1][2]
    raise ConfigError(
        "no published family has this architecture",
        expected="one of " + ", ".join(names),
        received=f"family {spec.family or 'unnamed'}: " + tried[0][2].message if tried else "none",
        change="save it in polyhead's own format (--to native), or train it from a family's preset",
    )


def _write(spec: ModelSpec, name: str, source: Config | None) -> tuple[Config, Reading]:
    recipe = recipes()[name]
    hf = recipe["hf"]
    architecture = _class_of(spec, hf, name)
    bound = bind(spec, recipe)
    config: Config = {key: allowed[-1] for key, allowed in hf.get("when", {}).items()}
    for key, value, *rest in sorted(hf["config"], key=lambda row: not is_choice(row)):  # choices bind more values
        try:
            config |= _written(key, value, rest, bound, recipe["values"])
        except KeyError as lost:  # the row is made of a value that this spec does not have
            raise ConfigError(f"another shape than the {name} family's", expected=f"a value {lost} for {spellings(key)[0]}", received="none") from None
    before = spelled_old((part_of(source or {}, hf["inside"]) if "outside" in hf else source) or {})
    config = {**before, **config, **own_words(hf["config"], config, before), **_own_labels(source or {}, config), "model_type": hf["types"][0], "architectures": [architecture]}
    if "outside" in hf:
        return _proved(_composed(config, before, hf, source or {}), spec, name)
    if source is not None and source.get("model_type") in hf["types"]:
        config["model_type"] = source["model_type"]
    if hf.get("pad", 0) >= (spec.vocab or 1):
        config.setdefault("pad_token_id", None)
    kept = {key: part for key, part in spelled_old(source or {}).items() if key in ("rope_scaling",)}
    if kept and kept != {key: config.get(key) for key in kept}:  # its own words for the same angles, where they still are
        with suppress(ConfigError):
            return _proved(config | kept, spec, name)
    return _proved(config, spec, name)


def _own_labels(source: Config, config: Config) -> Config:
    """The names that the source has for as many classes."""
    theirs, ours = source.get("id2label"), config.get("id2label")
    if not isinstance(theirs, dict) or not isinstance(ours, dict) or theirs.keys() != ours.keys():
        return {}
    return {"id2label": theirs, "label2id": {name: int(i) for i, name in theirs.items() if isinstance(name, str)}}


def _composed(config: Config, before: Config, hf: Config, source: Config) -> Config:
    """A part's config, which was `before`, where it stands in the whole."""
    outer = {key: config[key] for key in (*hf["outside"], "model_type", "architectures") if key in config}
    inner = {key: value for key, value in config.items() if key not in outer} | {k: before[k] for k in ("model_type",) if k in before}
    return {**spelled_old(source), **outer, hf["inside"]: inner, f"{hf['inside']}_dict": None}


def _proved(config: Config, spec: ModelSpec, name: str) -> tuple[Config, Reading]:
    """The config, after it has been read again and found to say the same."""
    rows = {row[1] for row in recipes()[name]["hf"]["config"] if len(row) > 1}
    own = "tied" not in rows and any(head.task == "lm" and not head.tied for head in spec.heads.values())  # the file will say it
    try:
        reading = read_config(config, f"the {name} format", untie=own, heads=[name for name in spec.heads if name not in STATES])
    except ConfigError as error:
        raise ConfigError(f"the {name} format cannot hold this model: {error.message}", expected=error.expected, received=error.received) from None
    _compare(resolved(reading.spec), resolved(spec), name)
    return config, reading


def _class_of(spec: ModelSpec, hf: Config, name: str) -> str:
    wanted = set() if set(spec.heads) == set(STATES) else set(spec.heads)
    for architecture, heads in hf["classes"].items():
        if set(heads) == wanted:
            return architecture
    for architecture, heads in hf["classes"].items():  # its pooler was left out
        more = [hf["heads"][head] for head in heads if head not in wanted]
        if wanted <= set(heads) and all(head["task"] == "pool" and "dense" in head for head in more):
            return architecture
    raise ConfigError(
        f"the {name} format has no class with the heads {', '.join(spec.heads)}",
        expected=" | ".join(f"{c}: {', '.join(h) or 'hidden states'}" for c, h in hf["classes"].items()),
        received=", ".join(spec.heads),
        change="keep only the heads of one class",
    )


def _written(key: Any, name: str, rest: list[Any], bound: Values, defaults: Values) -> Config:
    """The config entries of one row for bound values; none where the value is not in this spec."""
    if isinstance(key, str) and key.startswith("@"):
        return OPS[key].write(bound, defaults, name, rest[0] if rest else {})
    key = spellings(key)[0]
    if key.startswith("<"):
        return {}
    if name == "=":
        return {} if rest[0][0] is None else {key: fill(rest[0][0], {**defaults, **bound})}
    if name not in bound:
        return {}
    value, known = bound[name], {**defaults, **bound}
    if rest and isinstance(rest[0], dict):
        for theirs, ours in sorted(rest[0].items(), key=lambda item: -_size(item[1])):
            trial = dict(bound)
            if unify(ours, value, trial, defaults, set()) == 0 and _agrees(ours, value, known | trial):
                bound |= trial
                return {key: theirs}
        return {}
    if rest and isinstance(rest[0], str) and rest[0].startswith("@"):
        return {key: NUMBERS[rest[0]].write(value)}
    return {key: fill(rest[0], known) if value is None and rest else value}


def _agrees(ours: Any, value: Any, values: Values) -> bool:
    """Whether a choice that is computed comes to this value."""
    node = ours
    while isinstance(node, str) and node.startswith("$"):
        node = values.get(node[1:])
    return not computed(node) or close(fill(node, values), value)


def _size(node: Any) -> int:
    """Leaves of a choice: the more it says, the sooner it is tried."""
    return sum(map(_size, node.values())) if isinstance(node, dict) else 1


def spelled_old(config: Config) -> Config:
    """The spelling that every version of transformers since 4.40 reads: no `rope_parameters`, no `dtype`."""
    out = {k: v for k, v in config.items() if k not in ("rope_parameters", "dtype", "transformers_version", "auto_map")}
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and rope.get("rope_type") == "yarn":
        out["rope_scaling"] = {k: v for k, v in rope.items() if k != "rope_theta"}
    if isinstance(config.get("dtype"), str):
        out["torch_dtype"] = config["dtype"]
    return {k: v for k, v in out.items() if not k.startswith("_")}


def bind(spec: ModelSpec, recipe: Config) -> Values:
    """The values behind a spec, by laying it over the recipe's template."""
    bound: Values = {}
    rows = {name for _, name, *_ in recipe["hf"]["config"]}
    heads = {name: recipe["hf"]["heads"].get(name, {}) for name in spec.heads if name not in STATES}
    unify(recipe["spec"] | {"heads": heads}, resolved(spec), bound, recipe["values"], rows)
    for (_, first, second), product in bound.pop("@times", []):  # the second factor is known by now
        factor = fill(second, recipe["values"] | bound)
        if not isinstance(factor, int | float) or not factor:  # nothing of this spec says it
            raise ConfigError("another shape than the family's", expected=f"a multiple of its {shown(second)}", received=shown(product))
        unify(first, product // factor, bound, recipe["values"], rows)
    return bound


def _compare(theirs: Config, ours: Config, name: str) -> None:
    first = next(differences(theirs, ours), None)
    if first is not None:
        path, expected, received = first
        raise ConfigError(
            f"the {name} format cannot express {path}",
            expected=shown(expected), received=shown(received),
            change=f"set {path} to {shown(expected)}, or save in polyhead's own format (--to native)",
        )  # fmt: skip
