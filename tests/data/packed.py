"""Rows written, opened and packed in one step, for tests of objectives."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from polyhead.data import ExampleFile, Objective, open_source, pack
from polyhead.text import Tokenizer


@cache
def by_bytes() -> Tokenizer:
    """A token per byte, `<cls>` and `<sep>` around texts."""
    return Tokenizer.train(["abc"], "bytes").framed()


def packed(folder: Path, rows: list[dict], tokenizer: Tokenizer | None = None, **options) -> ExampleFile:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    file = pack(open_source(path), tokenizer or by_bytes(), folder / "rows.examples", **options)
    assert isinstance(file, ExampleFile)
    return file


def shown(tokenizer: Tokenizer, batch, i: int) -> str:
    """Row i as text, special tokens by a letter, padding left out."""
    tokens = batch.inputs
    ids = tokens.ids[i].tolist()
    if tokens.padded:
        ids = [number for number, place in zip(ids, tokens.pos[i].tolist(), strict=True) if place >= 0]
    names = {tokenizer.cls: "^", tokenizer.sep: "|"}
    return "".join(names.get(number) or tokenizer.decode([number]) for number in ids)


def whole_epoch(objective: Objective, batch: int, seed: int = 3) -> list[int]:
    """The samples of the first epoch, sorted."""
    steps = len(objective) // batch
    drawn = [objective.order(step * batch, batch, seed)[1] for step in range(steps)]
    return sorted(np.concatenate(drawn).tolist()) if drawn else []
