"""Questions about a context, whose answers are parts of it: SQuAD's JSON (Rajpurkar et al. 2016, 2018), and rows.

An answer that does not stand where it is said to stand is a broken row; white space may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from ..errors import DataError
from .columns import Columns, Row, found, no_text, typical
from .examples import Question
from .labelled import plain_name
from .reading import Asked, Broken, Reading
from .rows import whole_json
from .tally import Tally

COLUMNS = ("context", "question", "answers")
_SQUAD = re.compile(r'\s*\{.*?"data"\s*:\s*\[.*?"paragraphs"\s*:\s*\[', re.DOTALL)


def looks_like_squad(beginning: str) -> bool:
    """Whether a .json file holds `{"data": [{"paragraphs": [`."""
    return _SQUAD.match(beginning[: 1 << 14]) is not None


def questions(sample: list[Row], asked: Asked, name: str) -> Reading | None:
    """Rows with a context, a question and its answers, if these are such."""
    if asked.kind not in (None, "questions"):
        return None
    first = typical(sample)
    names = {plain_name(column): column for column in reversed(list(first))}
    columns = found(names.values(), asked.columns or COLUMNS)
    if columns is None or len(columns) != 3 or not _is_answers(first.get(columns[2])):
        return None
    notes = [] if asked.columns else [f"reading {' and '.join(columns[:2])} → {columns[2]} of {name}"]
    number = names.get("id")
    return Reading("questions", (*columns, *([number] if number else [])), partial(_row, columns, number), notes)


def _is_answers(value: Any) -> bool:
    if isinstance(value, dict):
        return {"text", "answer_start"} <= set(value)
    return isinstance(value, list) and all(isinstance(one, dict) and "answer_start" in one for one in value)


def _row(columns: Columns, number: str | None, row: Row) -> Question:
    context, question, answers = (row.get(column) for column in columns)
    if isinstance(answers, dict):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise Broken(f"{columns[2]!r} does not hold as many places as texts")
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    return question_of(row.get(number) if number else None, context, question, answers)


def squad(chunks: Iterable[str], name: str, tally: Tally) -> Iterator[Question]:
    """The questions of a SQuAD file, 1.1 or 2.0, which is read whole."""
    data = whole_json(iter(chunks), name)
    articles = data.get("data") if isinstance(data, dict) else None
    if not isinstance(articles, list):
        raise DataError(f"{name} is not SQuAD's JSON", expected='{"data": [articles]}', received=type(data).__name__)
    for where, paragraph in _paragraphs(articles, name, tally):
        asked = paragraph.get("qas") if isinstance(paragraph, dict) else None
        if not isinstance(asked, list):
            tally.wrong(where, "no list of questions")
            continue
        for number, qa in enumerate(asked, 1):
            try:
                if not isinstance(qa, dict):
                    raise Broken("no object")
                answers = [] if qa.get("is_impossible") is True else qa.get("answers")
                made = question_of(qa.get("id"), paragraph.get("context"), qa.get("question"), answers)
            except Broken as why:
                tally.wrong(f"{where} question {number}", str(why))
                continue
            tally.good += 1
            yield made


def _paragraphs(articles: list[Any], name: str, tally: Tally) -> Iterator[tuple[str, Any]]:
    for a, article in enumerate(articles, 1):
        inner = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(inner, list):
            tally.wrong(f"{name} article {a}", "no list of paragraphs")
            continue
        for p, paragraph in enumerate(inner, 1):
            yield f"{name} article {a} paragraph {p}", paragraph


def question_of(number: Any, context: Any, question: Any, answers: Any) -> Question:
    """A question whose answers were found in its context. Raises Broken."""
    if (why := no_text("context", context) or no_text("question", question)) is not None:
        raise Broken(why)
    if not isinstance(answers, list):
        raise Broken("'answers' is missing" if answers is None else "'answers' is no list")
    places = [_place(context, one) for one in answers]
    return Question("" if number is None else str(number), context, question, tuple(places))


def _place(context: str, answer: Any) -> tuple[str, int]:
    text, start = (answer.get("text"), answer.get("answer_start")) if isinstance(answer, dict) else (None, None)
    if (why := no_text("answer", text)) is not None:
        raise Broken(why)
    if type(start) is not int or not 0 <= start < len(context):
        raise Broken(f"'answer_start' is not a place of the context: {str(start)[:40]}")
    assert isinstance(text, str)
    if context.startswith(text, start) and text == text.strip():
        return text, start
    begin = end = _after_blanks(context, start)
    for i, word in enumerate(text.split()):
        at = _after_blanks(context, end) if i else end
        if not context.startswith(word, at) or (i and at == end):
            there = context[start : start + 40]
            raise Broken(f"the answer {text[:40]!r} does not stand at {start}, where {there!r} does")
        end = at + len(word)
    return context[begin:end], begin


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
