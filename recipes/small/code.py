"""Code from a description, judged by running it: English words of what is to be computed, and an expression of a small language.
An answer is right if it is an expression that gives the right number for every input tried, however it is written."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .base import Figure, Judged, Small, distinct, drawer, read_rows, share, write_rows, written
from .calculator import Wrong, evaluate

TRAINED, ASKED, TRIES = 40000, 300, 20
MOST = 4  # operations of a description


class Part(NamedTuple):
    """text: in English; code: in the language; rank: how tightly the code holds together, 0 a sum, 1 a product, 2 a whole."""

    text: str
    code: str
    rank: int


TWO = {"+": ("the sum of {a} and {b}", "{a} added to {b}"), "-": ("the difference of {a} and {b}", "{a} without {b}"), "*": ("the product of {a} and {b}", "{a} multiplied with {b}"),
       "max": ("the larger of {a} and {b}", "the maximum of {a} and {b}"), "min": ("the smaller of {a} and {b}", "the minimum of {a} and {b}")}  # fmt: skip
ONE = {"twice": ("twice {a}", "the double of {a}"), "square": ("the square of {a}", "{a} squared"), "next": ("one more than {a}", "the successor of {a}")}


def described(draw: random.Random, count: int) -> Part:
    """A description of `count` operations and its expression. A description within another stands in brackets; the expression has
    those alone that it needs."""
    if count == 0:
        word = draw.choice(("a", "b", "c", "a", "b", "c", str(draw.randint(2, 9))))
        return Part(word, word, 2)
    if draw.random() < 0.3:
        name = draw.choice(list(ONE))
        inner = described(draw, count - 1)
        code = {"twice": f"2 * {_at(inner, 1)}", "square": f"{_at(inner, 2)} * {_at(inner, 2)}", "next": f"{inner.code} + 1"}[name]
        return Part(draw.choice(ONE[name]).format(a=_within(inner)), code, 0 if name == "next" else 1)
    name, left = draw.choice(list(TWO)), draw.randint(0, count - 1)
    one, other = described(draw, left), described(draw, count - 1 - left)
    text = draw.choice(TWO[name]).format(a=_within(one), b=_within(other))
    if name in ("max", "min"):
        return Part(text, f"{name} ( {one.code} , {other.code} )", 2)
    rank = 1 if name == "*" else 0
    return Part(text, f"{_at(one, rank)} {name} {_at(other, 1 if name == '-' else rank)}", rank)


def _within(part: Part) -> str:
    return part.text if " " not in part.text else f"( {part.text} )"


def _at(part: Part, rank: int) -> str:
    return part.code if part.rank >= rank else f"( {part.code} )"


def write(folder: Path, seed: int) -> None:
    """train.jsonl and judged.jsonl: source and target; no description is in both."""
    draw, barred = drawer("code", seed), set[str]()

    def one(least: int) -> dict[str, str]:
        made = described(draw, draw.randint(least, MOST))
        return {"source": made.text, "target": made.code}

    write_rows(folder / "judged.jsonl", distinct(lambda: one(2), ASKED, lambda row: row["source"], barred))
    write_rows(folder / "train.jsonl", distinct(lambda: one(1), TRAINED, lambda row: row["source"], barred))


def passes(answer: str, right: str, draw: random.Random) -> bool:
    """Whether an answer gives what the right expression gives, for every one of TRIES inputs."""
    for _ in range(TRIES):
        values = {name: draw.randint(-20, 20) for name in "abc"}
        try:
            if evaluate(answer, values) != evaluate(right, values):
                return False
        except Wrong:
            return False
    return True


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """pass@1: one answer to each new description, run on TRIES inputs."""
    rows, draw = read_rows(folder / "judged.jsonl"), drawer("code judged", 0)
    asked, right = [row["source"] for row in rows], [row["target"] for row in rows]
    given = written(models["code"], asked, 80)
    ok = [passes(g, r, draw) for g, r in zip(given, right, strict=True)]
    same = share(g.split() == r.split() for g, r in zip(given, right, strict=True))
    samples = [f"{a} → {g}{'' if passed else f'   WRONG, such as {r}'}" for a, g, r, passed in zip(asked[:8], given, right, ok, strict=False)]
    return Judged([Figure("pass@1 on new descriptions", share(ok), 0.9), Figure("written as in the file, word for word", same)], samples)


CODE = Small("code", "write the expression that a description asks for; judged by running it", write, judge)
