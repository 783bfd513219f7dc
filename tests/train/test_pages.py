"""The tables of docs/train.md and docs/objectives.md say what the code does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from pydantic import TypeAdapter

from polyhead.data import Source
from polyhead.errors import ConfigError
from polyhead.families import preset
from polyhead.train.objectives import ObjectiveChoice, ObjectiveSpec
from polyhead.train.objectives.choosing import _BY_DATA, fitting

DOCS = Path(__file__).parents[2] / "docs"
SPECS: dict[str, type[ObjectiveSpec]] = {spec.model_fields["kind"].default: spec for spec in get_args(get_args(ObjectiveChoice)[0])}
SHAPES = {"encoder": "bert-nano", "decoder": "gpt-nano", "both": "transformer-nano"}


def table(page: str, head: str) -> list[str]:
    """The rows below a head, down to the first line that is none."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    start = lines.index(head) + 2
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    return lines[start:end]


def constants(spec: type[ObjectiveSpec]) -> str:
    def told(value: Any) -> str:
        return {None: "none", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)

    fields = {name: field for name, field in spec.model_fields.items() if name != "kind"}
    return ", ".join(f"`{name}` " + ("(a model)" if field.is_required() else told(field.default)) for name, field in fields.items()) or "–"


def test_which_objective_fits() -> None:
    rows = []
    for kind, by in _BY_DATA.items():
        found = []
        for shape, name in SHAPES.items():
            try:
                objective = fitting(preset(name), cast(Source, SimpleNamespace(kind=kind, name="data", examples=lambda: iter(()))))
            except ConfigError:
                found.append("–")
            else:
                assert objective == by[shape] and ("pairs" if (kind, shape) == ("labelled", "both") else kind) in SPECS[objective].takes
                found.append(f"`{objective}`")
        rows.append(f"| `{kind}` | {' | '.join(found)} |")
    assert table("train.md", "| data | encoder | decoder | encoder–decoder |") == rows


def test_every_objective_with_its_constants() -> None:
    rows = [f"| `{kind}` | {', '.join(spec.takes)} | {spec.asks} | {constants(spec)} |" for kind, spec in SPECS.items()]
    assert table("objectives.md", "| `training.objective` | data | asks | its constants |") == rows


@pytest.mark.parametrize("kind", SPECS)
def test_every_objective_has_words_of_its_own(kind: str) -> None:
    assert SPECS[kind].asks and sum(spec.asks == SPECS[kind].asks for spec in SPECS.values()) == 1
    more = {"source": "a"} if kind == "distilled" else {}
    assert TypeAdapter(ObjectiveChoice).validate_python({"kind": kind} | more).asks == SPECS[kind].asks
    assert f"`{kind}`" in (DOCS / "objectives.md").read_text(encoding="utf-8").split("## How they are judged")[1]
