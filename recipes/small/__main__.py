"""python -m recipes.small NAME -o FOLDER [--seed N] [--data-only] [FIELD=VALUE …]: make the data, train, judge.

FOLDER gets data/, a folder for each run, and result.json. Exit code 0: every figure reaches what it should; 1: one does not.
Called again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polyhead as ph
from polyhead.errors import PolyheadError
from polyhead.train import parse_overrides

from .base import Figure, Judged, Small
from .catalogue import RECIPES


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.small", description=_names(), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES, metavar="NAME")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-only", action="store_true", help="write the examples and stop")
    parser.add_argument("settings", nargs="*", metavar="FIELD=VALUE", help="of the run's configuration, such as training.steps=50")
    asked = parser.parse_intermixed_args(words)
    recipe = RECIPES[asked.name]
    try:
        settings = parse_overrides(asked.settings)
        make(recipe, asked.out / "data", asked.seed)
        return 0 if asked.data_only else run(recipe, asked.out, asked.seed, settings)
    except PolyheadError as error:
        print(f"polyhead: {error}", file=sys.stderr)
        return 2


def make(recipe: Small, folder: Path, seed: int) -> None:
    """The examples of a seed, once: their files are the run's identity."""
    mark = folder / "seed"
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        recipe.write(folder, seed)
        mark.write_text(f"{seed}\n")
    elif mark.read_text().strip() != str(seed):
        raise ph.errors.ConfigError(f"{folder} has the examples of another seed", expected=mark.read_text().strip(), received=str(seed), change="choose another -o")


def run(recipe: Small, out: Path, seed: int, settings: Mapping[str, Any]) -> int:
    """Train every run, judge them together, write result.json; 0 if all is reached, else 1."""
    models: dict[str, Any] = {}
    cost = _costs(out / "result.json")
    for name, own in (recipe.runs or {recipe.name: {}}).items():
        own = {key: str(out / "data" / value) if key == "data.path" else value for key, value in own.items()}
        print(f"— {name}", flush=True)
        made: list[int] = []
        wall, processor = time.perf_counter(), time.process_time()
        ph.train(str(recipe.recipe), own.pop("data.path", str(out / "data" / "train.jsonl")), out / name, {"seed": seed, **own, **settings}, resume=True, tell=partial(told, made))
        if made or name not in cost:  # else it was finished before
            cost[name] = {"seconds": round(time.perf_counter() - wall, 1), "processor_seconds": round(time.process_time() - processor, 1)}
        models[name] = ph.load(out / name)
    found = recipe.judge(models, out / "data")
    result = {
        "recipe": recipe.name, "seed": seed, "version": ph.__version__, "settings": dict(settings), "figures": [figure._asdict() | {"reached": figure.reached} for figure in found.figures],
        "training": cost, "threads": _threads(), "machine": platform.processor() or platform.machine(), "samples": found.samples,
    }  # fmt: skip
    (out / "result.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return tell_result(recipe, found)


def told(made: list[int], event: str, fields: dict[str, Any]) -> None:
    """A line whenever the held-out part was read; `made` grows with every step."""
    if event == "step":
        made.append(fields["step"])
    if event == "step" and "val_loss" in fields:
        more = "".join(f"  {name.removeprefix('val_')} {value:.3f}" for name, value in fields.items() if name.startswith("val_") and name != "val_loss")
        print(f"step {fields['step']:>5}  loss {fields['loss']:.3f}  held out {fields['val_loss']:.3f}{more}  {fields['seconds']:.0f} s", flush=True)
    elif event == "note":
        print(f"note: {fields['text']}", flush=True)


def _costs(path: Path) -> dict[str, dict[str, float]]:
    """What the training of each run took when it was made."""
    return json.loads(path.read_text(encoding="utf-8"))["training"] if path.exists() else {}


def tell_result(recipe: Small, found: Judged) -> int:
    print(f"\n{recipe.name}: {recipe.asks}")
    for line in found.samples:
        print(f"  {line}")
    print()
    wide = max(len(figure.name) for figure in found.figures)
    for figure in found.figures:
        print(f"{figure.name:<{wide}}  {figure.value:8.4f}  {_reach(figure)}".rstrip())
    return 0 if all(figure.reached for figure in found.figures) else 1


def _reach(figure: Figure) -> str:
    if figure.reach is None:
        return ""
    return f"{'at most' if figure.under else 'at least'} {figure.reach:g}: {'reached' if figure.reached else 'NOT reached'}"


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _names() -> str:
    wide = max(map(len, RECIPES))
    return "\n".join(f"  {name:<{wide}}  {recipe.asks}" for name, recipe in RECIPES.items())


if __name__ == "__main__":
    sys.exit(main())
