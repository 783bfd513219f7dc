"""A question and a context → the spans of the context that answer it, or that none does.

BERT's way (arXiv 1810.04805 §4.2 and §4.3): logits of a start and an end for every token, a span is worth the sum of its two,
"no answer" is the span of <cls> alone. A long context is read in windows that overlap; the probabilities are taken over the
tokens of all windows together, so that a window without the answer cannot win by being sure among its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, UserError
from ..nn import Pair, Transformer
from ..text import Tokenizer
from .reading import Row, Tool, check, logits, room, tool, wrapped
from .windows import judged, windows

QUESTION, WINDOW, STRIDE, LONGEST = 64, 384, 128, 30  # tokens; of google-research/bert, run_squad.py


class Answer(NamedTuple):
    """text: context[begin:end]; "" = there is none. score: its probability, that of its first token times that of its last."""

    text: str
    score: float
    begin: int
    end: int


class Answers(NamedTuple):
    """best: the most probable first. none: how much more the model makes of "no answer" than of the best span, in logits;
    None where its rows begin with no special token, so that it cannot say so."""

    best: tuple[Answer, ...]
    none: float | None

    @property
    def text(self) -> str:
        return self.best[0].text


class How(NamedTuple):
    """What Model.answer explains."""

    top: int = 1
    no_answer: bool = False
    threshold: float = 0.0
    longest: int = LONGEST
    window: int = WINDOW
    stride: int = STRIDE


class _Read(NamedTuple):
    context: str
    spans: list[tuple[int, int]]
    parts: list[tuple[int, int]]
    places: list[list[int]]
    cls: bool


def answer(
    net: Transformer | Pair, tokenizer: Tokenizer | None, meta: Mapping[str, Any], questions: Sequence[tuple[str, str]], how: How, size: int
) -> list[Answers]:
    """What Model.answer says of (question, context) pairs; size: windows at a time."""
    at = tool(net, tokenizer, meta, ("span",), "answer questions")
    for name, value in (("batch", size), ("top", how.top), ("longest", how.longest), ("window", how.window), ("stride", how.stride)):
        check(name, value)
    if not isinstance(how.threshold, int | float) or how.threshold != how.threshold:
        raise UserError("threshold is a number of logits", expected="a number", received=repr(how.threshold)[:100])
    rows: list[Row] = []
    read = [_read(at, question, context, how, rows) for question, context in questions]
    if how.no_answer and any(not one.cls for one in read):
        raise ConfigError("this model cannot say that there is no answer", expected="a tokenizer that begins a row with <cls>", received="none", change="leave no_answer out")
    found, done = logits(at, rows, size), 0
    out = []
    for one in read:
        out.append(_best(one, [part.double().numpy() for part in found[done : done + len(one.parts)]], how))
        done += len(one.parts)
    return out


def _read(at: Tool, question: str, context: str, how: How, rows: list[Row]) -> _Read:
    """The windows of a context, each with the question before it, put behind `rows`."""
    (placed,) = at.tokenizer.encode_offsets([context])
    asked = at.tokenizer.encode(question)[:QUESTION]
    most = room(at, True) - max(0, at.limit - how.window)
    space = most - len(asked)
    if space < 1:
        raise UserError("the question leaves no room for a context", expected=f"fewer than {max(most, 1)} tokens", received=str(len(asked)), change="shorten it, or widen window")
    parts = windows(len(placed.ids), space, how.stride) if placed.ids else []
    places, cls = [], True
    for begin, end in parts:
        row, first, second = wrapped(at.tokenizer, asked, placed.ids[begin:end])
        rows.append(row._replace(marked=(first[-1] + 1) if first else 1))
        places.append(second)
        cls = bool(row.ids) and 0 not in (*first, *second) and row.ids[0] in at.tokenizer.special
    return _Read(context, placed.spans, parts, places, cls)


def _best(read: _Read, found: list[np.ndarray], how: How) -> Answers:
    """found: (T, 2) logits of each window."""
    if not any(begin < end for begin, end in read.spans):
        return Answers((Answer("", 1.0 if how.no_answer else 0.0, 0, 0),), None)
    chosen = judged(len(read.spans), read.parts)
    usable = np.array([begin < end for begin, end in read.spans])  # a span neither begins nor ends in blanks
    starts, ends, sums = [], [], []
    for number, ((begin, end), places) in enumerate(zip(read.parts, read.places, strict=True)):
        own = found[number][places]
        mine, fit = chosen[begin:end] == number, usable[begin:end]
        starts.append(own[mine, 0])
        ends.append(own[mine, 1])
        sums.append(_spans(np.where(mine & fit, own[:, 0], -np.inf), np.where(fit, own[:, 1], -np.inf), begin, how))
    whole = _total(starts) + _total(ends)
    best = _distinct(read, np.concatenate(sums), how.top)
    none = min((float(part[0].sum()) for part in found), default=None) if read.cls else None
    if none is not None and how.no_answer:
        at = found[int(np.argmin([part[0].sum() for part in found]))][0]
        whole = float(np.logaddexp(_total(starts), at[0]) + np.logaddexp(_total(ends), at[1]))
    answers = [Answer(read.context[b:e], float(np.exp(total - whole)), b, e) for b, e, total in best]
    less = None if none is None else none - best[0][2]
    if how.no_answer and none is not None and less is not None:
        nothing = Answer("", float(np.exp(none - whole)), 0, 0)
        behind = next((i for i, (_, _, total) in enumerate(best) if none - total > how.threshold), len(answers))
        answers.insert(behind, nothing)
    return Answers(tuple(answers[: how.top]), less)


def _total(parts: list[np.ndarray]) -> float:
    return float(np.logaddexp.reduce(np.concatenate(parts)))


def _spans(starts: np.ndarray, ends: np.ndarray, at: int, how: How) -> np.ndarray:
    """(k, 3): first and last token, and sum of logits, of the best spans of at most `longest` tokens in a window."""
    found = []
    for more in range(min(how.longest, len(starts))):
        total = starts[: len(starts) - more] + ends[more:]
        begin = np.flatnonzero(np.isfinite(total))
        found.append(np.stack([begin + at, begin + at + more, total[begin]], 1))
    rows = np.concatenate(found)
    kept = 4 * how.top + 16  # several tokens may share a character, and so be one span
    return rows[np.argsort(-rows[:, 2], kind="stable")[:kept]]


def _distinct(read: _Read, rows: np.ndarray, top: int) -> list[tuple[int, int, float]]:
    found: dict[tuple[int, int], float] = {}
    for first, last, total in rows[np.argsort(-rows[:, 2], kind="stable")]:
        found.setdefault((read.spans[int(first)][0], read.spans[int(last)][1]), float(total))
        if len(found) == top:
            break
    return [(begin, end, total) for (begin, end), total in found.items()]
