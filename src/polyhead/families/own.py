"""A family from outside the package: what a file here would hold, given to `register` by whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from ..errors import ConfigError
from .presets import _FAMILIES, FAMILIES, known_anew, preset, recipes
from .problems import nearest
from .rows import NUMBERS, OPS

SECTIONS = ("values", "spec", "tokenizer", "training")  # of a recipe, its base's counted
HF = ("types", "classes", "heads", "config", "weights")  # of its section hf
HF_MORE = ("when", "bare", "drop", "prefixes", "class_prefix", "implied", "computed", "inside", "outside", "pad", "renames")


class Family(NamedTuple):
    """What a family's file holds."""

    RECIPES: dict[str, Any]
    PRESETS: dict[str, Any]


def register(name: str, recipes: Mapping[str, Any], presets: Mapping[str, Any] | None = None) -> list[str]:
    """Make a family known to this process, as if its file lay in this folder: its folders load, export and are shown, its
    presets train. Returns the names of its presets.

    recipes and presets are what a family's file calls RECIPES and PRESETS. The same name again replaces what was registered
    under it. ConfigError, and nothing is changed: a name that is taken, a section that is missing, a preset that describes
    no model.
    """
    family = Family(deepcopy(dict(recipes)), deepcopy(dict(presets or {})))
    _check_names(name, family)
    before = FAMILIES.get(name)
    FAMILIES[name] = family
    known_anew()
    try:
        _check(family)
    except ConfigError:
        FAMILIES.pop(name) if before is None else FAMILIES.update({name: before})
        known_anew()
        raise
    return list(family.PRESETS)


def _check_names(name: str, family: Family) -> None:
    """Nothing here hides or replaces what another family has."""
    others = {other: there for other, there in FAMILIES.items() if other != name}
    if name in _FAMILIES:
        raise ConfigError(f"there is a family {name} already", expected="a name of its own", received=name, change="choose another name")
    there = {part: {n for f in others.values() for n in getattr(f, part)} for part in Family._fields}
    for part in Family._fields:
        for taken in sorted(there[part] & getattr(family, part).keys()):
            raise ConfigError(f"family {name}: {part} has a name that is taken", expected="names of its own", received=taken)
    for own, recipe in family.RECIPES.items():
        base = recipe.get("base", own)
        if base not in there["RECIPES"] | family.RECIPES.keys():
            raise ConfigError(f"recipe {own}: its base does not exist", expected="a recipe's name", received=repr(base), change="correct base")
    for own, values in family.PRESETS.items():
        recipe = values.get("recipe")
        if recipe not in there["RECIPES"] | family.RECIPES.keys():
            raise ConfigError(f"preset {own}: its recipe does not exist", expected="a recipe's name", received=repr(recipe), change="correct recipe")


def _check(family: Family) -> None:
    try:
        whole = recipes()
    except RecursionError:
        raise ConfigError("a recipe is its own base", expected="bases that end", received=", ".join(family.RECIPES)) from None
    for name in family.RECIPES:
        recipe = whole[name]
        _need(f"recipe {name}", recipe, SECTIONS, (*SECTIONS, "hf"))
        if "hf" in recipe:
            check_hf(name, recipe["hf"])
    for name in family.PRESETS:
        try:
            preset(name)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"preset {name} cannot be filled in", expected="a value for every $name", received=str(error)) from None


def check_hf(name: str, hf: Mapping[str, Any]) -> None:
    """That a recipe's hf section is whole. ConfigError names what is missing or unknown."""
    _need(f"recipe {name}, hf", hf, HF, (*HF, *HF_MORE))
    lost = {head for heads in hf["classes"].values() for head in heads} - hf["heads"].keys()
    if lost:
        raise ConfigError(f"recipe {name}: a class has a head that heads does not describe", expected=", ".join(hf["heads"]), received=min(lost))
    for row in hf["config"]:
        for op in (part for part in row if isinstance(part, str) and part.startswith("@")):
            if op not in NUMBERS and op not in OPS:
                raise ConfigError(f"recipe {name}: no such op in a config row", expected=" | ".join([*NUMBERS, *OPS]), received=op)
    for other, recipe in recipes().items():
        same = set(recipe.get("hf", {}).get("types", ())) & set(hf["types"])
        if other != name and same and not recipe["hf"].get("when"):
            raise ConfigError(f"recipe {name}: model_type {min(same)} is read by {other} already", change="say in `when` how they differ, in both")


def _need(where: str, node: Mapping[str, Any], needed: tuple[str, ...], known: tuple[str, ...]) -> None:
    lost = [key for key in needed if key not in node]
    if lost:
        raise ConfigError(f"{where}: {lost[0]} is missing", expected=", ".join(needed), received=", ".join(node))
    odd = [key for key in node if key not in known]
    if odd:
        near = nearest(odd[0], known)
        change = f"write {near[0]}" if near else f"leave {odd[0]} out"
        raise ConfigError(f"{where}: {odd[0]} is not known", expected=", ".join(known), received=odd[0], change=change)
