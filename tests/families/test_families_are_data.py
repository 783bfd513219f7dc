"""Families are data, by test: literals only, short, and every value is used."""

from __future__ import annotations

import ast
import statistics
from importlib import import_module
from pathlib import Path

import pytest

import polyhead.families as families
from polyhead.families.own import check_hf
from polyhead.families.unpublished import UNPUBLISHED

FOLDER = Path(families.__file__).parent
LOGIC = {"__init__", "__main__", "document", "exchange", "heads", "laying", "layouts", "nearness", "own", "pairs", "presets", "problems", "rows", "scalings", "unpublished"}
DATA = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in LOGIC)


@pytest.mark.parametrize("name", DATA)
def test_a_family_holds_literals_and_nothing_else(name: str) -> None:
    """Every statement is the docstring or NAME = a literal: no def, class, if, for, comprehension, lambda, call, import."""
    body = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body
    assert isinstance(body[0], ast.Expr) and ast.get_docstring(ast.Module(body, []))
    names = []
    for statement in body[1:]:
        assert isinstance(statement, ast.Assign), ast.unparse(statement)[:60]
        ast.literal_eval(statement.value)
        names += [target.id for target in statement.targets]
    assert {"RECIPES", "PRESETS"} <= set(names) <= {"RECIPES", "PRESETS", "PAIRS"}


def test_what_is_unpublished_is_said_with_something_to_take_instead() -> None:
    ast.literal_eval(ast.parse((FOLDER / "unpublished.py").read_text(encoding="utf-8")).body[1].value)
    for start, (why, instead) in UNPUBLISHED.items():
        assert not any(preset.startswith(start) for preset in families.presets()), f"{start} hides a preset"
        assert why[-1] != "." and instead.startswith("take ") and instead.split()[1].rstrip(",") in families.presets()


def test_families_are_short() -> None:
    lines = [len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in DATA]
    assert statistics.median(lines) <= 60, dict(zip(DATA, lines, strict=True))


def references(node: object) -> set[str]:
    if isinstance(node, str):
        return {node[1:]} if node.startswith("$") else set()
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return set().union(*(references(part) for part in inner))


@pytest.mark.parametrize("name", DATA)
def test_every_value_is_asked_for_and_every_reference_has_one(name: str) -> None:
    family = import_module(f"polyhead.families.{name}")
    known = {"recipe", "tokenizer", "training"}
    for preset, own in family.PRESETS.items():
        recipe = families.recipes()[own["recipe"]]
        asked = references(recipe) | references(own)
        assert set(own) - known <= asked, f"{preset} gives values that nobody asks for"
        assert references({k: v for k, v in recipe.items() if k != "hf"}) - {"n"} <= set(recipe["values"]) | set(own), f"{preset} leaves references open"
    for recipe_name in family.RECIPES:
        recipe = families.recipes()[recipe_name]
        assert {"values", "spec", "tokenizer", "training"} <= set(recipe)
        members = [own for own in family.PRESETS.values() if own["recipe"] == recipe_name]
        assert members or "hf" in recipe, f"nobody uses recipe {recipe_name}"
        rows = [row[1] for row in recipe.get("hf", {}).get("config", []) if row[1] != "="]
        assert set(rows) <= references(recipe), f"a row of {recipe_name} binds a value nobody asks for"
        own_values = set(family.RECIPES[recipe_name].get("values", ()))
        assert own_values <= references(recipe) | references(members) | {"tied"}, f"{recipe_name} has values nobody asks for"


@pytest.mark.parametrize("name", [name for name, recipe in families.recipes().items() if "hf" in recipe])
def test_a_recipe_for_huggingface_is_whole(name: str) -> None:
    check_hf(name, families.recipes()[name]["hf"])


def test_no_preset_or_recipe_hides_another() -> None:
    modules = [import_module(f"polyhead.families.{name}") for name in DATA]
    for table in ("PRESETS", "RECIPES"):
        names = [name for module in modules for name in getattr(module, table)]
        assert len(names) == len(set(names))
    assert sorted(families.presets()) == sorted(name for module in modules for name in module.PRESETS)
