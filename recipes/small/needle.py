"""A needle in a long text: somewhere stands "the number of amber is 47", the rest is filler, and at the end amber's number is asked
for. Full attention finds it at any distance. A local window alone can only hand on what lies within layers × window; with one
layer of full attention among the local ones it is found again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Figure, Judged, Small, drawer, read_rows, share, write_rows, written

TRAINED, ASKED = 12000, 100
LENGTHS = (256, 512)  # tokens of judged prompts
SHORTEST, LONGEST = 24, 512  # of training prompts
KEYS = "amber basil cedar daisy ebony fern grape hazel iris jade kelp lilac maple nettle olive peony quince rose sage thyme".split()
FILLER = "the wind went over a hill and some rain fell on every old roof while people slept near one quiet road until morning came".split()
BACK = 31  # tokens a local layer sees behind it


def prompt(draw: random.Random, length: int, far: int = 0) -> tuple[str, str]:
    """(prompt of `length` words, answer): a few needles, of which one is asked for, at least `far` words before the end."""
    keys = draw.sample(KEYS, min(4, length // 12))
    held = {key: f"{draw.randrange(100):02d}" for key in keys}
    room = length - 3 - 3 * len(keys)
    words: list[list[str]] = [[word] for word in draw.choices(FILLER, k=room)]
    asked = keys[0]
    last = max(0, room - far)  # the needle that is asked for stands before it
    words.insert(draw.randint(0, last), [asked, "is", held[asked]])
    for key in keys[1:]:
        words.insert(draw.randint(0, len(words)), [key, "is", held[key]])
    return " ".join(word for part in words for word in part) + f" ? {asked} is", held[asked]


def write(folder: Path, seed: int) -> None:
    """train.jsonl: prompts of many lengths, most of them short; judged.jsonl: of each length in LENGTHS, the needle out of reach of
    every stack of local layers."""
    draw = drawer("needle", seed)
    rows = []
    for length in LENGTHS:
        for _ in range(ASKED):
            text, answer = prompt(draw, length, far=4 * BACK + 20)
            rows.append({"length": length, "prompt": text, "completion": answer})
    write_rows(folder / "judged.jsonl", rows)
    made = [prompt(draw, int(SHORTEST * (LONGEST / SHORTEST) ** draw.random())) for _ in range(TRAINED)]
    write_rows(folder / "train.jsonl", [{"prompt": text, "completion": answer} for text, answer in made])


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """The share of exact answers by pattern and length; chance is 1 in 100."""
    rows = read_rows(folder / "judged.jsonl")
    figures, samples = [], []
    for name, model in models.items():
        for length in LENGTHS:
            part = [row for row in rows if row["length"] == length]
            given = written(model, [row["prompt"] for row in part], 4)
            right = share(g == row["completion"] for g, row in zip(given, part, strict=True))
            known = length <= LONGEST
            figures.append(Figure(f"{name}: {length} tokens", right, (0.05 if name == "local" else 0.99) if known else None, under=name == "local" and known))
            samples.append(f"{name}, {length} tokens: … {part[0]['prompt'][-30:]} → {given[0]}   (right: {part[0]['completion']})")
    return Judged(figures, samples)


NEEDLE = Small(
    "needle", "find one number in a long text: with full attention, local attention, local attention and one full layer", write, judge,
    {
        "full": {"model.decoder.blocks.local.attention.pattern": {"kind": "causal"}},
        "local": {"model.decoder.blocks.layer.attention.pattern": {"kind": "window", "back": BACK}},
        "mixed": {},
    },
)  # fmt: skip
