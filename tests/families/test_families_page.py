"""docs/families.md holds every family as its literals say it is, with numbers that were measured and are small enough."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from polyhead.families.own import HF, HF_MORE, SECTIONS, register
from tests.tiny import families_as_before

pytest.importorskip("benchmarks", reason="an installed package brings no benchmarks")

from benchmarks.families_page import MARKS, MEASURED, PAGE, found, render, renew, sizes  # noqa: E402

TEXT = PAGE.read_text(encoding="utf-8")
NUMBERS = json.loads(MEASURED.read_text(encoding="utf-8"))["families"]


def test_the_tables_are_current(tmp_path: Path) -> None:
    """If this fails: python -m benchmarks.families --missing, with --only and their names for families that have changed"""
    assert MARKS[0] in TEXT and MARKS[1] in TEXT
    copy = Path(shutil.copy(PAGE, tmp_path / "families.md"))
    renew(copy)
    assert copy.read_text(encoding="utf-8") == TEXT


def test_every_family_was_measured_over_all_its_checkpoints_both_ways() -> None:
    families = {family.name: family for family in found()}
    assert families.keys() == NUMBERS.keys()
    for name, row in NUMBERS.items():
        limit = 2e-5 * max(1.0, row["largest"] / 5)  # as tests/parity/common.py has it
        assert 0 <= row["in"] <= limit and 0 <= row["out"] <= limit and row["equal"], name
        assert row["cases"] == len(families[name].cases) > 0, f"{name}: python -m benchmarks.families --missing"


def test_a_new_family_appears_by_itself_and_is_not_called_measured() -> None:
    assert "not measured" not in TEXT
    hf = {"types": ["heron"], "classes": {"HeronForCausalLM": ["lm"]}}
    values = {"residual": {"placement": "post"}, "position": {"kind": "alibi"}, "kv_heads": 1}
    with families_as_before():
        register("heron", {"heron": {"base": "llama", "values": values, "hf": hf}}, {"heron-1b": {"recipe": "heron", "width": 64, "layers": 2, "heads": 4, "inner": 96}})
        rows = [line for line in render(json.loads(MEASURED.read_text(encoding="utf-8"))).splitlines() if line.startswith("| `heron` |")]
    assert rows[0].startswith("| `heron` | RMSNorm after each sum | ALiBi | multi-query | causal | gated, silu | none | plain |")
    assert rows[1].startswith("| `heron` | `heron` | lm | not measured |")


def test_the_readme_names_families_that_there_are_and_none_is_left_out() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    part = readme.partition("<!-- families -->")[2].partition("<!-- end of families -->")[0]
    named = set(re.findall(r"`([\w.-]+)`", part))
    types = {kind for family in found() for kind in family.types}
    assert named - types == set(), "no family of this model_type"
    assert {family.types[0] for family in found()} - named == set(), "not named"


def test_the_page_of_a_new_family_stays_a_family_of_literals() -> None:
    text = (PAGE.parent / "adding-a-family.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)[:3]
    assert sum(len(block.splitlines()) for block in blocks) < 60 and "fewer than 60 lines" in text
    assert all(f"`{key}`" in text for key in (*SECTIONS, *HF, *HF_MORE)), "a key of a recipe that the page does not explain"
    assert sizes() and min(sizes().values()) > 10
