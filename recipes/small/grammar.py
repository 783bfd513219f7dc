"""Free text that a grammar accepts: a model reads sentences and then writes its own, which a parser judges. Nothing is asked
of it and nothing is cut: every sentence is drawn word by word at temperature 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Figure, Judged, Small, distinct, drawer, share
from .grammars import accepts, english, sentence

TRAINED, ASKED, LONGEST = 12000, 500, 40


def write(folder: Path, seed: int) -> None:
    """train.txt: a sentence a line, each once."""
    draw, grammar = drawer("grammar", seed), english()
    rows = distinct(lambda: sentence(grammar, draw), TRAINED + TRAINED // 10, " ".join, set())
    lines = [" ".join(words) for words in rows if len(words) <= LONGEST][:TRAINED]
    (folder / "train.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """Of sentences written freely: how many the grammar has, how many of those stand nowhere in the training text, and how
    many a text of the same words in another order would have had."""
    model, known = models["grammar"], set((folder / "train.txt").read_text(encoding="utf-8").splitlines())
    texts = [one.text for part in range(4) for one in model.generate([""] * (ASKED // 4), temperature=1.0, max_tokens=LONGEST + 20, seed=1000 * part)]
    grammar, draw = english(), drawer("grammar judged", 0)
    valid = [accepts(grammar, text.split()) for text in texts]
    shuffled = [draw.sample(text.split(), len(text.split())) for text in texts]
    new = [" ".join(text.split()) not in known for text, ok in zip(texts, valid, strict=True) if ok]
    figures = [
        Figure("free sentences that the grammar accepts", share(valid), 0.95), Figure("new among these", share(new), 0.5),
        Figure("words of a sentence, mean", sum(len(text.split()) for text in texts) / len(texts)), Figure("accepted with the words shuffled", share(accepts(grammar, words) for words in shuffled), 0.05, under=True),
    ]  # fmt: skip
    return Judged(figures, [f"{'valid  ' if ok else 'INVALID'} {text}" for text, ok in zip(texts[:8], valid[:8], strict=True)])


GRAMMAR = Small("grammar", "write new sentences of a grammar, with agreement and clauses in clauses", write, judge, {"grammar": {"data.path": "train.txt"}})
