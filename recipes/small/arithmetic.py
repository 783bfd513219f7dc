"""Sums of many steps, answered at once or with every step written down (Nye et al. 2021, arXiv 2112.00114; Wei et al. 2022,
arXiv 2201.11903). "7+5*3-8" goes from left to right, and only the last digit is kept: 7+5 is 2, times 3 is 6, minus 8 is 8.
The scratchpad holds what is done and what it makes, +5=2*3=6-8=8; the last digit is the answer. Both models see the same sums in the same number of updates; a layered model that answers at once runs out of depth."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Figure, Judged, Small, distinct, drawer, others, read_rows, share, write_rows, written

TRAINED, ASKED = 40000, 100
FEWEST, MOST, BEYOND = 1, 6, 8  # steps of a sum: in training, and in the longest judged ones


def steps_of(text: str) -> str:
    """The last digit after each step: "7+5*3-8" gives "268". ValueError for anything else."""
    if len(text) % 2 == 0 or not all(c.isdigit() for c in text[::2]) or not all(c in "+-*" for c in text[1::2]) or not text.isascii():
        raise ValueError(f"no sum of digits: {text!r}")
    value, found = int(text[0]), ""
    for sign, digit in zip(text[1::2], map(int, text[2::2]), strict=True):
        value = (value + digit if sign == "+" else value - digit if sign == "-" else value * digit) % 10
        found += str(value)
    return found


def scratchpad(text: str) -> str:
    """Every step of a sum with what it makes."""
    return "".join(f"{text[2 * i + 1 : 2 * i + 3]}={made}" for i, made in enumerate(steps_of(text)))


def sum_of(draw: random.Random, steps: int) -> str:
    """A sum whose last digit depends on every digit in it: it is multiplied by 3, 7 and 9 alone."""
    text = draw.choice("0123456789")
    for _ in range(steps):
        sign = draw.choice("+-*")
        text += sign + draw.choice("379" if sign == "*" else "123456789")
    return text


def write(folder: Path, seed: int) -> None:
    """direct.jsonl and scratchpad.jsonl: the same sums; judged.jsonl: others, as many of each number of steps."""
    draw, barred = drawer("arithmetic", seed), set[str]()
    judged = [text for steps in (*range(2, MOST + 1), BEYOND) for text in distinct(lambda n=steps: sum_of(draw, n), ASKED, str, barred)]  # type: ignore[misc]
    write_rows(folder / "judged.jsonl", [{"prompt": f"{text}=", "completion": steps_of(text)[-1]} for text in judged])
    sums = list(others(lambda: sum_of(draw, draw.randint(FEWEST, MOST)), TRAINED, str, barred))
    write_rows(folder / "direct.jsonl", [{"prompt": f"{text}=", "completion": steps_of(text)[-1]} for text in sums])
    write_rows(folder / "scratchpad.jsonl", [{"prompt": f"{text}=", "completion": scratchpad(text)} for text in sums])


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """The share of right last digits by the number of steps; what was written before it is not judged."""
    rows = read_rows(folder / "judged.jsonl")
    asked, right = [row["prompt"] for row in rows], [row["completion"] for row in rows]
    given = {name: written(model, asked, 4 * BEYOND + 1 if name == "scratchpad" else 2) for name, model in models.items()}
    figures = []
    for name, answers in given.items():
        ok = [(len(a) // 2 - 1, g[-1:] == r) for a, g, r in zip(asked, answers, right, strict=True)]
        known = share(one for steps, one in ok if steps <= MOST)
        figures.append(Figure(f"{name}: 2 to {MOST} steps", known, 0.95 if name == "scratchpad" else None))
        figures += [Figure(f"{name}: {n} steps", share(one for steps, one in ok if steps == n)) for n in (*range(2, MOST + 1), BEYOND)]
    by = {figure.name: figure.value for figure in figures}
    if len(given) == 2:
        figures.append(Figure("what the scratchpad gains at 6 steps", by[f"scratchpad: {MOST} steps"] - by[f"direct: {MOST} steps"], 0.2))
    samples = [f"{asked[i]} {'  '.join(f'{name} {answers[i]}' for name, answers in given.items())}   (right: {right[i]})" for i in range(0, len(rows), ASKED)]
    return Judged(figures, samples)


ARITHMETIC = Small(
    "arithmetic", "the last digit of a sum of many steps, at once and with a scratchpad, in the same number of updates", write, judge,
    {"direct": {"data.path": "direct.jsonl"}, "scratchpad": {"data.path": "scratchpad.jsonl"}},
)  # fmt: skip
