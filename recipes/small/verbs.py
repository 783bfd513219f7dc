"""Instructions: a verb and a string nobody has seen before. Each verb is learnt alone; two in a row were never shown, and that
they mostly fail is part of the result (Lake & Baroni 2018, arXiv 1711.00350)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .base import Figure, Judged, Small, distinct, drawer, read_rows, share, shown, write_rows, written

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TRAINED, ASKED = 30000, 200
VERBS: Mapping[str, Callable[[str], str]] = {"reverse": lambda s: s[::-1], "upper": str.upper, "sort": lambda s: "".join(sorted(s))}
PAIRS = tuple((a, b) for a in VERBS for b in VERBS if a != b)


def obeyed(verbs: tuple[str, ...], text: str) -> str:
    """What the verbs make of a string, the last one first: "upper: sort: cab" is ABC."""
    for verb in reversed(verbs):
        text = VERBS[verb](text)
    return text


def row(verbs: tuple[str, ...], text: str) -> dict[str, str]:
    return {"prompt": "".join(f"{verb}: " for verb in verbs) + text + "\n", "completion": obeyed(verbs, text)}


def write(folder: Path, seed: int) -> None:
    """train.jsonl; judged.jsonl: each verb, and judged-two.jsonl: two verbs, of strings that the training has not."""
    draw, barred = drawer("verbs", seed), set[str]()

    def strings(count: int) -> list[str]:
        return list(distinct(lambda: _string(draw), count, str, barred))

    write_rows(folder / "judged.jsonl", [row((verb,), text) for verb in VERBS for text in strings(ASKED)])
    write_rows(folder / "judged-two.jsonl", [row(pair, text) for pair in PAIRS for text in strings(ASKED // 4)])
    write_rows(folder / "train.jsonl", [row((draw.choice(list(VERBS)),), text) for text in strings(TRAINED)])


def _string(draw: random.Random) -> str:
    return "".join(draw.choices(LETTERS, k=draw.randint(3, 8)))


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """Exact answers: of each verb, and of two in a row."""
    figures, samples = [], []
    for file in ("judged.jsonl", "judged-two.jsonl"):
        rows = read_rows(folder / file)
        asked, right = [one["prompt"] for one in rows], [one["completion"] for one in rows]
        given = written(models["verbs"], asked, 12)
        if file == "judged.jsonl":
            figures += [Figure(verb, share(g == r for a, g, r in zip(asked, given, right, strict=True) if a.startswith(verb)), 0.9) for verb in VERBS]
        else:
            figures.append(Figure("two verbs in a row, never shown", share(g == r for g, r in zip(given, right, strict=True))))
        step = len(rows) // 3
        samples += [line for i in range(3) for line in shown(*(part[i * step :] for part in (asked, given, right)), 1)]
    return Judged(figures, samples)


INSTRUCTIONS = Small("verbs", "follow the instructions reverse, upper and sort on strings it has not seen", write, judge)
