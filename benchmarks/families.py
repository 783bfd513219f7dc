"""Measures every family beside transformers, both ways, and writes docs/families.md. Run from the repository's root:

    python -m benchmarks.families                       all of them, a few minutes
    python -m benchmarks.families --only bert llama     these anew, the others as they were
    python -m benchmarks.families --missing             those without a number, or with checkpoints more or less
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
from benchmarks.families_page import MEASURED, found, renew
from safetensors.torch import load_file
from tests.parity import reference
from tests.parity.cases import Case
from tests.parity.common import ask, gap

import polyhead as ph
import polyhead.errors

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
    ours, answer = with_states(ask(model.net, case, made.batch)), with_states(made.answer)
    into = gap(ours, answer, case, made.batch)
    model.save(place / "again", to="hf")
    ph.Model(model.net).save(place / "born", to="hf")
    tell_tokens(place / "theirs", place / "born")
    theirs, info = reference.reopen(case, place / "born")
    if any(info.values()):
        raise ValueError(f"{case}: transformers does not find its weights in what was written: {info}")
    out = gap(ours, with_states(reference.ask(theirs, case, made.batch)), case, made.batch)
    if not (into.same_choice and out.same_choice and into.head + out.head < math.inf):
        raise ValueError(f"{case}: the most probable answer differs, {into}, {out}")
    largest = max(float(t.abs().max()) for t in answer.heads.values())
    return Found(into.head, out.head, largest, same_tensors(case, place / "theirs" / WEIGHTS, place / "again" / WEIGHTS))


def with_states(answer: reference.Answer) -> reference.Answer:
    """The last hidden states are the answer of a class without a head."""
    return answer if answer.heads else answer._replace(heads={"states": answer.states[-1]})


def tell_tokens(source: Path, target: Path) -> None:
    """Which ids are padding, separators and so on: they belong to the texts that are asked, not to the network."""
    told = {key: value for key, value in json.loads((source / "config.json").read_text()).items() if key.endswith("_token_id")}
    path = target / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **told}))


def same_tensors(case: Case, a: Path, b: Path) -> bool:
    before, after = {case.prefix + name: tensor for name, tensor in load_file(a).items()}, load_file(b)
    return before.keys() == after.keys() and all(
        t.dtype == after[name].dtype and torch.equal(t, after[name]) for name, t in before.items()
    )  # fmt: skip


def measured(names: list[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(family, its row, the worst over its checkpoints; None, where one of them fails)."""
    for family in found():
        if family.name not in names:
            continue
        rows = [row for case in family.cases if (row := attempt(case)) is not None]
        if not rows or len(rows) < len(family.cases):
            yield family.name, None
            continue
        into, out, largest, equal = zip(*rows, strict=True)
        row = {"in": rounded(max(into)), "out": rounded(max(out)), "largest": rounded(max(largest)), "equal": all(equal), "cases": len(rows)}
        print(f"{family.name:20} in {row['in']:.1e}  out {row['out']:.1e}  of {row['largest']}  {row['cases']} checkpoints", flush=True)
        yield family.name, row


def attempt(case: Case) -> Found | None:
    """The measurement, or None with the reason told."""
    with tempfile.TemporaryDirectory() as place:
        try:
            row = measure(case, Path(place))
        except (ph.errors.PolyheadError, ValueError, AssertionError) as error:
            print(f"{case} FAILS: {error}", flush=True)
            return None
    if not row.equal:
        print(f"{case}: not every tensor came back as it was", flush=True)
    return row


def rounded(x: float) -> float:
    """To two digits, as the page shows it."""
    return float(f"{x:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="FAMILY")
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if not asked.page:
        everyone = {family.name: len(family.cases) for family in found()}
        rows = json.loads(MEASURED.read_text(encoding="utf-8"))["families"] if asked.only or asked.missing else {}
        missing = [name for name, cases in everyone.items() if rows.get(name, {}).get("cases") != cases]
        versions = {"torch": torch.__version__.partition("+")[0], "transformers": transformers.__version__}
        rows |= dict(measured(missing if asked.missing else asked.only or list(everyone)))
        rows = {name: rows[name] for name in everyone if rows.get(name) is not None}
        lines = ",\n".join(f'  "{name}": {json.dumps(row)}' for name, row in rows.items())
        head = "".join(f' "{name}": "{version}",\n' for name, version in versions.items())
        MEASURED.write_text(f'{{\n{head} "families": {{\n{lines}\n }}\n}}\n', encoding="utf-8")
    renew()


if __name__ == "__main__":
    main()
