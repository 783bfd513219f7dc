"""python -m recipes.small.table FOLDER … [--into PAGE]: the results in folders of small recipes as a table, in a page between its two marks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results: written by python -m recipes.small.table -->\n", "<!-- end of results -->"


def table(results: Sequence[dict[str, Any]]) -> str:
    """A row for each figure; time is the processor's, all runs of the recipe together."""
    lines = ["| recipe | seed | processor time | figure | measured | should be |", "|---|---|---|---|---|---|"]
    for result in results:
        seconds = sum(run["processor_seconds"] for run in result["training"].values())
        changed = "".join(f", {name}={value}" for name, value in result["settings"].items())
        first = f"| `{result['recipe']}`{changed} | {result['seed']} | {seconds:,.0f} s "
        for figure in result["figures"]:
            reach = "" if figure["reach"] is None else f"{'≤' if figure['under'] else '≥'} {figure['reach']:g}{'' if figure['reached'] else ', not reached'}"
            lines.append(f"{first}| {figure['name']} | {figure['value']:.3f} | {reach} |")
            first = "| | | "
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.small.table")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, metavar="PAGE")
    asked = parser.parse_args(words)
    made = table([json.loads((folder / "result.json").read_text(encoding="utf-8")) for folder in asked.folders])
    if asked.into is None:
        print(made, end="")
        return 0
    page = asked.into.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print(f"{asked.into} has no line {BEGIN.strip()} with {END} behind it", file=sys.stderr)
        return 2
    asked.into.write_text(before + BEGIN + made + END + after, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
