"""Texts, or words → a tag for each word, and the entities that tags of an IOB or BIOES scheme spell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.tags import marks_spans
from ..data.tags import spans as spans_of
from ..errors import UserError
from ..nn import Pair, Transformer
from ..text import Tokenizer
from ..text.offsets import Span, by_word, words_of
from .reading import Row, Tool, check, labels_of, logits, room, tool, wrapped
from .windows import judged, windows


class Word(NamedTuple):
    """text: as it stands in the text, from character `begin` to before `end`. score: the tag's probability."""

    text: str
    tag: str
    score: float
    begin: int
    end: int


class Entity(NamedTuple):
    """label: without the scheme's letter. score: the mean of its words' probabilities."""

    text: str
    label: str
    score: float
    begin: int
    end: int


class Tags(NamedTuple):
    """text: what begin and end count in; words that were given as a list stand in it with a blank between them."""

    text: str
    words: tuple[Word, ...]
    entities: tuple[Entity, ...]

    @property
    def tags(self) -> list[str]:
        return [word.tag for word in self.words]


class _Read(NamedTuple):
    text: str
    words: list[Span]
    ids: list[int]
    owner: list[int]  # the word of each id


def tag(
    net: Transformer | Pair, tokenizer: Tokenizer | None, meta: Mapping[str, Any], texts: Any, by: str, size: int
) -> Tags | list[Tags]:
    """What Model.tag says; size: rows at a time."""
    at = tool(net, tokenizer, meta, ("tag",), "tag words")
    check("batch", size)
    if by not in ("word", "token"):
        raise UserError("tags are given by word or by token", expected="word | token", received=repr(by)[:100])
    single, rows = _given(texts)
    names = labels_of(meta, at.outputs)
    read = [_read(at, row, by) for row in rows]
    shares = _shares(at, [one.ids for one in read], size)
    found = [_tags(one, share, names) for one, share in zip(read, shares, strict=True)]
    return found[0] if single else found


def _given(texts: Any) -> tuple[bool, list[Any]]:
    """A text; a list of texts; or, in place of a text, a tuple of words."""
    single = isinstance(texts, str | tuple)
    rows = [texts] if single else texts
    if not isinstance(rows, list):
        raise UserError("only texts and words can be tagged", expected="a text, a tuple of words, or a list of them", received=type(texts).__name__)
    for row in rows:
        if not isinstance(row, str) and (not isinstance(row, list | tuple) or not all(isinstance(word, str) and word.strip() for word in row)):
            raise UserError("only texts and words can be tagged", expected="a text, or words that are not blank", received=repr(row)[:100])
    return single, rows


def _read(at: Tool, row: Any, by: str) -> _Read:
    """Words and their tokens. A model that learnt from lists of words reads a text as such a list, any other reads it as it
    stands; by token: each is a word of its own."""
    text = row if isinstance(row, str) else " ".join(row)
    learnt = at.meta.get("problem") == "tag"
    if by == "word" and (learnt or not isinstance(row, str)):
        spans = words_of(text) if isinstance(row, str) else _joined(row)
        if not spans:
            return _Read(text, [], [], [])
        (found,) = at.tokenizer.encode_words([[text[begin:end] for begin, end in spans]])
        return _Read(text, spans, found.ids, found.words)
    (placed,) = at.tokenizer.encode_offsets([text])
    kept = [(number, span) for number, span in zip(placed.ids, placed.spans, strict=True) if span[0] < span[1]]
    ids, spans = [number for number, _ in kept], [span for _, span in kept]
    if by == "token":
        return _Read(text, spans, ids, list(range(len(ids))))
    words = words_of(text)
    merged: list[Span] = []
    owner: list[int] = []
    for number, (_, end) in zip(by_word(spans, words), spans, strict=True):
        if not merged or words[number][0] != merged[-1][0]:
            merged.append((words[number][0], max(words[number][1], end)))
        elif end > merged[-1][1]:  # a token over several words makes one of them
            merged[-1] = (merged[-1][0], end)
        owner.append(len(merged) - 1)
    return _Read(text, merged, ids, owner)


def _joined(words: Sequence[str]) -> list[Span]:
    spans, at = [], 0
    for word in words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return spans


def _shares(at: Tool, texts: list[list[int]], size: int) -> list[Tensor]:
    """(tokens, tags) probabilities of each text, long ones read in windows half of which overlap."""
    space = room(at, False)
    parts: list[list[tuple[Span, list[int]]]] = []
    rows: list[Row] = []
    for ids in texts:
        parts.append([])
        for begin, end in windows(len(ids), space, max(1, space // 2)) if ids else []:
            row, places, _ = wrapped(at.tokenizer, ids[begin:end])
            parts[-1].append(((begin, end), places))
            rows.append(row)
    found = iter(logits(at, rows, size))
    return [
        _put_together(len(ids), [(span, next(found)[places]) for span, places in own], at.outputs)
        for ids, own in zip(texts, parts, strict=True)
    ]


def _put_together(n: int, parts: list[tuple[Span, Tensor]], outputs: int) -> Tensor:
    if not parts:
        return torch.empty(0, outputs)
    chosen, whole = judged(n, [span for span, _ in parts]), torch.empty(n, outputs)
    for number, ((begin, end), answer) in enumerate(parts):
        mine = torch.from_numpy(np.flatnonzero(chosen[begin:end] == number))
        whole[begin + mine] = answer[mine]
    return whole.softmax(-1)


def _tags(read: _Read, shares: Tensor, names: list[str]) -> Tags:
    """Each word's tag is that of its first token."""
    first: dict[int, int] = {}
    for token, word in enumerate(read.owner):
        first.setdefault(word, token)
    best = shares.max(-1) if len(read.ids) else None
    words = []
    for i, (begin, end) in enumerate(read.words):
        assert best is not None
        words.append(Word(read.text[begin:end], names[int(best.indices[first[i]])], float(best.values[first[i]]), begin, end))
    return Tags(read.text, tuple(words), tuple(entities(read.text, words)) if marks_spans(names) else ())


def entities(text: str, words: Sequence[Word]) -> list[Entity]:
    """The spans that tags spell, of any scheme, malformed ones as conlleval reads them (data/tags.py)."""
    found = []
    for first, behind, label in spans_of([word.tag for word in words]):
        part = words[first:behind]
        begin, end = part[0].begin, part[-1].end
        found.append(Entity(text[begin:end], label, sum(word.score for word in part) / len(part), begin, end))
    return found
