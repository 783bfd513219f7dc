"""Copy, reverse, sort, associative recall and induction: what attention is built to do, by one decoder (Graves et al. 2014,
arXiv 1410.5401; Olsson et al. 2022, arXiv 2209.11895). Right is only what is right to the last letter."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .base import Figure, Judged, Small, distinct, drawer, read_rows, share, shown, write_rows, written

LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
LONGEST, TRAINED, ASKED = 8, 40000, 200


def _string(draw: random.Random) -> str:
    return "".join(draw.choices(LETTERS, k=draw.randint(2, LONGEST)))


def copied(draw: random.Random) -> tuple[str, str]:
    text = _string(draw)
    return text, text


def backwards(draw: random.Random) -> tuple[str, str]:
    text = _string(draw)
    return text, text[::-1]


def in_order(draw: random.Random) -> tuple[str, str]:
    text = _string(draw)
    return text, "".join(sorted(text))


def recalled(draw: random.Random) -> tuple[str, str]:
    """Pairs of a letter and a digit, then one of the letters: its digit."""
    keys = draw.sample(LETTERS, draw.randint(2, 6))
    held = {key: draw.choice(DIGITS) for key in keys}
    asked = draw.choice(keys)
    return "".join(key + held[key] for key in keys) + "?" + asked, held[asked]


def induced(draw: random.Random) -> tuple[str, str]:
    """Different letters, then one of them again: what followed it, to the end."""
    text = "".join(draw.sample(LETTERS, draw.randint(4, LONGEST)))
    at = draw.randrange(len(text) - 1)
    return text + "?" + text[at], text[at + 1 :]


TASKS: Mapping[str, Callable[[random.Random], tuple[str, str]]] = {
    "copy": copied, "reverse": backwards, "sort": in_order, "recall": recalled, "induction": induced,
}  # fmt: skip


def write(folder: Path, seed: int) -> None:
    """train.jsonl, judged.jsonl: prompt "task:input=" and completion."""
    draw, barred = drawer("sequences", seed), set[str]()

    def one(task: str) -> dict[str, str]:
        given, answer = TASKS[task](draw)
        return {"prompt": f"{task}:{given}=", "completion": answer}

    judged = [row for task in TASKS for row in distinct(lambda t=task: one(t), ASKED, lambda row: row["prompt"], barred)]  # type: ignore[misc]
    write_rows(folder / "judged.jsonl", judged)
    write_rows(folder / "train.jsonl", distinct(lambda: one(draw.choice(list(TASKS))), TRAINED, lambda row: row["prompt"], barred))


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """The share of each task's unseen inputs that is answered right."""
    rows = read_rows(folder / "judged.jsonl")
    asked, right = [row["prompt"] for row in rows], [row["completion"] for row in rows]
    given = written(models["sequences"], asked, LONGEST + 2)
    figures = [Figure(task, share(g == r for a, g, r in zip(asked, given, right, strict=True) if a.startswith(task)), 1.0) for task in TASKS]
    return Judged(figures, [line for i in range(len(TASKS)) for line in shown(*(part[i * ASKED :] for part in (asked, given, right)), 1)])


SEQUENCES = Small("sequences", "copy, reverse, sort, recall and continue sequences of letters, exactly", write, judge)
