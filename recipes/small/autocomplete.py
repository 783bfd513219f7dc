"""Autocomplete: the most probable next words while somebody types, beside a trigram that has read the same text. The stories say
who has what and come back to it, so that much of what comes is settled further back than two words."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from polyhead.nn import Tokens

from .base import Figure, Judged, Small, distinct, drawer
from .ngram import Trigram

TRAINED, ASKED, OFFERED = 12000, 300, 3
PEOPLE = "anna ben clara david emma felix greta henry ida jonas karla leo mara nils olga paul".split()
THINGS = "kite boat drum lamp book coat ball clock basket violin bicycle blanket".split()
COLOURS = "red blue green yellow white black silver brown".split()
PLACES = "garden kitchen harbour market forest station attic school".split()
DOES = "carries cleans shows hides paints mends".split()


def story(draw: random.Random) -> str:
    """Two people, their things, their places; then what they do with them."""
    people, things, places = draw.sample(PEOPLE, 2), draw.sample(THINGS, 2), draw.sample(PLACES, 2)
    colours = [draw.choice(COLOURS) for _ in people]
    told = [f"{people[i]} has a {colours[i]} {things[i]} and goes to the {places[i]} ." for i in (0, 1)]
    for _ in range(draw.randint(3, 5)):
        i = draw.randrange(2)
        told.append(draw.choice((
            f"{people[i]} {draw.choice(DOES)} the {colours[i]} {things[i]} in the {places[i]} .", f"the {things[i]} of {people[i]} is {colours[i]} .",
            f"in the {places[i]} {people[i]} {draw.choice(DOES)} the {things[i]} .", f"{people[1 - i]} asks {people[i]} about the {things[i]} .",
        )))  # fmt: skip
    return " ".join(told)


def write(folder: Path, seed: int) -> None:
    """train.txt and judged.txt: a story a line; no story is in both."""
    draw, barred = drawer("autocomplete", seed), set[str]()
    for name, count in (("judged", ASKED), ("train", TRAINED)):
        rows = distinct(lambda: story(draw), count, str, barred)
        (folder / f"{name}.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", newline="\n")


class Typed(NamedTuple):
    """What typing a text cost. keys: with the offers; letters: without, a blank after each word; first, among: next words that
    were the first offer, or one of those, before a letter was typed; words: how many."""

    keys: int
    letters: int
    first: int
    among: int
    words: int


def typed(words: Sequence[str], names: Sequence[str], chances: np.ndarray) -> Typed:
    """A text with (n, V) the chances of every word of `names` at each place. After each letter the OFFERED most probable words that
    begin like it are shown, and one key takes one, blank included; full stops are typed."""
    keys = letters = first = among = count = 0
    for word, row in zip(words, chances, strict=True):
        if not word.isalpha():
            keys, letters = keys + 2, letters + 2
            continue
        order = [names[i] for i in np.argsort(-row, kind="stable") if names[i].isalpha()]
        need = len(word) + 1
        for start in range(len(word)):
            shown = [name for name in order if name.startswith(word[:start])][:OFFERED]
            if word in shown:
                need = start + 1
                break
        first, among, count = first + (order[0] == word), among + (word in order[:OFFERED]), count + 1
        keys, letters = keys + need, letters + len(word) + 1
    return Typed(keys, letters, first, among, count)


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """Keystrokes saved and next words foretold on new stories, by the model and by the trigram."""
    model = models["autocomplete"]
    words, (train, asked) = model.tokenizer, ((folder / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in ("train", "judged"))
    names = [words.token(i) or "" for i in range(words.vocab_size)]
    rows = words.encode_batch(asked)
    grams = Trigram(words.encode_batch(train), words.vocab_size, words.eos)
    found = {"model": [], "trigram": []}
    for text, row in zip(asked, rows, strict=True):
        for name, chances in (("model", _after(model.net, row, words.eos)), ("trigram", grams.after(row))):
            found[name].append(typed(text.split(), names, chances))
    figures = []
    for name, parts in found.items():
        keys, letters, first, among, count = (sum(column) for column in zip(*parts, strict=True))
        figures += [Figure(f"{name}: keystrokes saved", 1 - keys / letters), Figure(f"{name}: next word first", first / count), Figure(f"{name}: next word among {OFFERED}", among / count)]
    saved = {figure.name: figure.value for figure in figures}
    figures.append(Figure("saved more than the trigram", saved["model: keystrokes saved"] - saved["trigram: keystrokes saved"], 0.01))
    half = asked[0].split()[: len(rows[0]) // 2]
    nexts = [names[i] for i in np.argsort(-_after(model.net, rows[0], words.eos)[len(half)])[:OFFERED]]
    return Judged(figures, [f"{' '.join(half)} → {' | '.join(nexts)}"])


@torch.inference_mode()
def _after(net: Any, row: Sequence[int], begin: int) -> np.ndarray:
    """(n, V): the model's chances at every place of a text."""
    logits = net(Tokens(torch.tensor([[begin, *row[:-1]]])))
    return logits[0].softmax(-1).numpy()


AUTOCOMPLETE = Small("autocomplete", "offer the next words while somebody types, better than a trigram", write, judge, {"autocomplete": {"data.path": "train.txt"}})
