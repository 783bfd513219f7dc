"""Measures every family beside transformers, both ways, and writes docs/families.md. Run from the repository's root:

    python -m benchmarks.families                       all of them, a few minutes
    python -m benchmarks.families --only bert llama     these anew, the others as they were
    python -m benchmarks.families --page                the page alone, from the numbers that are there

For each tiny checkpoint of tests/parity/cases.py, all its weights random:
    in      transformers writes it, polyhead opens it: the largest difference of their answers
    out     polyhead writes the same network with a config.json of its own making, transformers opens it: the same
    equal   written as what came in, every tensor has the same name, type and bits
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file

import polyhead as ph
from benchmarks.families_page import MEASURED, found, renew
from tests.parity import reference
from tests.parity.cases import Case
from tests.parity.common import ask, gap

WEIGHTS = "model.safetensors"


class Found(NamedTuple):
    """Of one checkpoint. into, out: max |Δ| over all answers. largest: the largest |answer|."""

    into: float
    out: float
    largest: float
    equal: bool


def measure(case: Case, place: Path) -> Found:
    made = reference.make(case, place / "theirs")
    model = ph.load(place / "theirs")
    ours = ask(model.net, case, made.batch)
    into = gap(ours, made.answer, case, made.batch)
    model.save(place / "again", to="hf")
    ph.Model(model.net).save(place / "born", to="hf")
    theirs, info = reference.reopen(case, place / "born")
    if any(info.values()):
        raise ValueError(f"{case}: transformers does not find its weights in what was written: {info}")
    out = gap(ours, reference.ask(theirs, case, made.batch), case, made.batch)
    if not (into.same_choice and out.same_choice):
        raise ValueError(f"{case}: the most probable answer differs, {into}, {out}")
    largest = max((float(t.abs().max()) for t in made.answer.heads.values()), default=0.0)
    return Found(into.head, out.head, largest, same_tensors(place / "theirs" / WEIGHTS, place / "again" / WEIGHTS))


def same_tensors(a: Path, b: Path) -> bool:
    before, after = load_file(a), load_file(b)
    return before.keys() == after.keys() and all(
        t.dtype == after[name].dtype and torch.equal(t, after[name]) for name, t in before.items()
    )  # fmt: skip


def measured(only: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(family, its row): the worst over its checkpoints."""
    for family in found():
        if only and family.name not in only:
            continue
        rows = []
        for case in family.cases:
            with tempfile.TemporaryDirectory() as place:
                rows.append(measure(case, Path(place)))
        into, out, largest, equal = zip(*rows, strict=True)
        assert all(map(math.isfinite, (*into, *out))), family.name
        row = {"in": max(into), "out": max(out), "largest": max(largest), "equal": all(equal), "cases": len(rows)}
        print(family.name, row, flush=True)
        yield family.name, row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="FAMILY")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if not asked.page:
        rows = json.loads(MEASURED.read_text(encoding="utf-8"))["families"] if asked.only else {}
        versions = {"torch": torch.__version__.partition("+")[0], "transformers": transformers.__version__}
        rows |= dict(measured(asked.only))
        MEASURED.write_text(json.dumps(versions | {"families": rows}, indent=1) + "\n", encoding="utf-8")
    renew()


if __name__ == "__main__":
    main()
