"""Measured losses for a scaling law: from the folders of runs, or from a table of a user's."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polyhead.errors import DataError

_NAMES = {
    "params": ("params", "parameters", "n", "model size", "model_size", "size"),
    "tokens": ("tokens", "d", "training tokens", "train_tokens"),
    "flops": ("flops", "c", "compute", "training flop", "training flops", "training_flops"),
    "loss": ("loss", "l", "val_loss", "validation loss"),
}
_EXAMPLE = "params,tokens,loss\n1000000,20000000,3.91"


@dataclass(frozen=True)
class Points:
    """params, tokens, loss: (points,) each; losses in nats per token, all of one held-out text. names: where each is from. remarks: what
    makes them less alike than they should be, in sentences."""

    params: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray
    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def flops(self) -> np.ndarray:
        return 6 * self.params * self.tokens


def of_rows(rows: Sequence[Sequence[float]], names: Sequence[str] = (), remarks: Sequence[str] = ()) -> Points:
    """(params, tokens, loss) each."""
    params, tokens, loss = np.asarray(rows, dtype=np.float64).reshape(-1, 3).T
    return Points(params, tokens, loss, tuple(names), tuple(remarks))


def gather(places: Sequence[str | Path], *, embeddings: bool = True) -> Points:
    """Of files (.csv, .jsonl) and folders of runs, in any mixture. embeddings: whether a run's parameters count those of its embedding
    and of an output matrix of its own (Hoffmann) or not (Kaplan). DataError names the file, the line and what is wrong with it."""
    rows: list[tuple[float, float, float]] = []
    names: list[str] = []
    runs: list[dict[str, Any]] = []
    for place in map(Path, places):
        if place.is_dir():
            folders = [place] if (place / "metrics.jsonl").exists() else sorted(p.parent for p in place.glob("*/metrics.jsonl"))
            if not folders:
                raise DataError(f"{place}: no run", expected="a run's folder, with metrics.jsonl and spec.json, or a folder of such",
                                change="give folders that polyhead train wrote")  # fmt: skip
            for folder in folders:
                found = _run(folder, embeddings)
                rows.append((found["params"], found["tokens"], found["loss"]))
                names.append(str(folder))
                runs.append(found)
        else:
            table = _table(place)
            rows += table
            names += [f"{place}:{i}" for i in range(1, len(table) + 1)]
    return of_rows(rows, names, _unlike(runs))


def _run(folder: Path, embeddings: bool) -> dict[str, Any]:
    """A run's size, tokens and last held-out loss. Losses on the way are left out: their learning rate had not come down yet, and
    Hoffmann et al. (§3) find them higher than those of a run of that length."""
    from polyhead.families import read
    from polyhead.nn import ModelSpec

    files = [folder / name for name in ("spec.json", "metrics.jsonl", "config.yaml")]
    if missing := [path.name for path in files if not path.is_file()]:
        raise DataError(f"{folder} is not a whole run", expected="spec.json, metrics.jsonl and config.yaml", received=f"no {', '.join(missing)}",
                        change="give the folder that polyhead train wrote")  # fmt: skip
    spec = ModelSpec.model_validate_json(files[0].read_text(encoding="utf-8"))
    lines = files[1].read_text(encoding="utf-8").splitlines()
    config: Any = read(files[2])
    told = [row for row in map(json.loads, filter(None, lines)) if row.get("val_loss") is not None and row.get("tokens")]
    if not told:
        raise DataError(f"{folder}: no held-out loss", expected="a line of metrics.jsonl with val_loss and tokens",
                        change="train with a held-out part, or wait for the first evaluation")  # fmt: skip
    last, asked = told[-1], config["training"]["steps"]
    params = spec.params().total if embeddings else body(spec)
    about = {key: config["data"].get(key) for key in ("path", "validation", "holdout")}
    return {"params": params, "tokens": last["tokens"], "loss": last["val_loss"], "name": str(folder), "done": last["step"] >= asked,
            "data": json.dumps(about, sort_keys=True), "tokenizer": json.dumps(config["tokenizer"], sort_keys=True), "vocab": spec.vocab}  # fmt: skip


def body(spec: Any) -> int:
    """Parameters without those of embeddings and output matrices (Kaplan et al. 2020, §2.1)."""
    parts: Mapping[str, int] = spec.params().parts
    return sum(n for name, n in parts.items() if not name.endswith(".embedding") and not name.startswith("heads."))


def _unlike(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why losses of these runs may not be points of one law."""
    told = []
    if len({run["tokenizer"] for run in runs}) > 1 or len({run["vocab"] for run in runs}) > 1:
        told.append("the runs have different tokenizers: their losses per token are not comparable")
    if len({run["data"] for run in runs}) > 1:
        told.append("the runs have different data or held-out parts")
    if early := [run["name"] for run in runs if not run["done"]]:
        told.append(f"{len(early)} of the runs ended before their last step, their learning rate not yet down: {', '.join(early[:3])}")
    return told


def _table(path: Path) -> list[tuple[float, float, float]]:
    """Rows of a .csv with a header, or of a .jsonl, with params (or N), tokens (D) or flops (C = 6·N·D), and loss (L)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read", received=str(error), expected="a .csv or .jsonl of points, or a run's folder",
                        change=f"such as\n    {_EXAMPLE.replace(chr(10), chr(10) + '    ')}") from None  # fmt: skip
    if path.suffix == ".jsonl":
        found: list[Any] = [_json(line, f"{path}:{i}") for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    elif path.suffix == ".csv":
        found = list(csv.DictReader(text.splitlines()))
    else:
        raise DataError(f"{path}: neither a table nor a run", expected=".csv, .jsonl, or a run's folder", received=path.suffix or "no ending",
                        change=f"write a .csv such as\n    {_EXAMPLE.replace(chr(10), chr(10) + '    ')}")  # fmt: skip
    return [_row(row, f"{path}:{i}") for i, row in enumerate(found, 2 if path.suffix == ".csv" else 1)]


def _json(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON", received=str(error), expected='{"params": 1e6, "tokens": 2e7, "loss": 3.91}') from None


def _row(row: Any, where: str) -> tuple[float, float, float]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: not an object", expected='{"params": 1e6, "tokens": 2e7, "loss": 3.91}', received=str(row)[:60])
    given = {str(name).strip().lower(): value for name, value in row.items()}
    params, loss = _number(given, "params", where), _number(given, "loss", where)
    if any(name in given for name in _NAMES["tokens"]):
        return params, _number(given, "tokens", where), loss
    return params, _number(given, "flops", where) / (6 * params), loss


def _number(given: Mapping[str, Any], what: str, where: str) -> float:
    name = next((name for name in _NAMES[what] if name in given), None)
    if name is None:
        wanted = "tokens or flops" if what == "flops" else what
        raise DataError(f"{where}: no {wanted}", expected=f"a column {' or '.join(_NAMES[what][:2])}", received=", ".join(given) or "nothing")
    try:
        value = float(given[name])
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise DataError(f"{where}: {name} must be a number above 0", received=repr(given[name]))
    return value
