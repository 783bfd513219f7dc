"""Files that people give to `run --in`: one input a line, or JSONL with fields; a broken line is named, none is passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polyhead.errors import DataError

Fields = dict[str, Any]
_LONGEST = 1 << 20

TEXT = ("prompt", "text", "source", "input", "sentence", "sentence1", "premise", "first", "query", "image", "file")
SECOND = ("second", "text_pair", "sentence2", "hypothesis")
WORDS = ("words", "tokens")


def read_rows(path: Path, blank: bool = False) -> Iterator[tuple[str, str | Fields]]:
    """(where, a line, or the object of a line of .jsonl). blank: empty lines are inputs too. Raises DataError that names file
    and line, also for a file with none."""
    from polyhead.data.pieces import lines
    from polyhead.text import read_chunks

    as_json = path.suffix.lower() in (".jsonl", ".ndjson")
    count = 0
    for number, line in enumerate(lines(read_chunks(path), _LONGEST), 1):
        where = f"{path} line {number}"
        if line is None:
            raise DataError(f"{where} is too long", expected="one input a line", received=f"a line of more than {_LONGEST:,} characters", change="split it")
        if not line.strip() and (as_json or not blank):
            continue
        count += 1
        yield where, (_object(line, where) if as_json else line)
    if not count:
        raise DataError(f"{path} holds no prompts", expected="one a line", received="nothing", change="add lines")


def _object(line: str, where: str) -> Fields:
    try:
        row = json.loads(line, parse_constant=_not_json)
    except RecursionError:
        raise _broken(where, "a JSON object", "nested too deeply") from None
    except ValueError as error:
        raise _broken(where, "a JSON object", str(error)[:100]) from None
    if not isinstance(row, dict):
        raise _broken(where, "a JSON object", line[:60])
    return row


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _broken(where: str, expected: str, received: str) -> DataError:
    return DataError(f"{where} holds no prompt", expected=expected, received=received, change="mend the row")


def text_of(row: Fields, names: Sequence[str], where: str) -> str:
    """The first of these fields that is there. DataError where none is, or it is no text."""
    found = text_or_none(row, names, where)
    if found is None:
        raise _broken(where, "a JSON object with " + " or ".join(names), json.dumps(row, ensure_ascii=True)[:60])
    return found


def text_or_none(row: Fields, names: Sequence[str], where: str) -> str | None:
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        return None
    value = row[name]
    if not isinstance(value, str):
        raise _broken(where, f"text in {name!r}", type(value).__name__)
    return sound(value, where)


def sound(text: str, where: str) -> str:
    """Text without half characters. DataError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _broken(where, "text", "half of a surrogate pair") from None
    return text


def text_or_pair(row: str | Fields, where: str) -> str | tuple[str, str]:
    """A line, a line of two texts with a tab between them, or the fields of a row."""
    if isinstance(row, str):
        one, *more = row.split("\t")
        if len(more) > 1:
            raise DataError(f"{where} holds {len(more) + 1} texts", expected="one, or two with a tab between them", received=row[:60], change="mend the line, or write .jsonl")
        return (one, more[0]) if more else one
    second = text_or_none(row, SECOND, where)
    first = text_of(row, TEXT, where)
    return first if second is None else (first, second)


def text_or_words(row: str | Fields, where: str) -> str | tuple[str, ...]:
    """A text, or in a row the list "words" or "tokens"."""
    if isinstance(row, str):
        return row
    name = next((name for name in WORDS if name in row), None)
    if name is None:
        return text_of(row, TEXT, where)
    words = row[name]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise _broken(where, f"a list of words in {name!r}", json.dumps(words)[:60])
    return tuple(sound(word, where) for word in words)


def asked(row: str | Fields, where: str, context: str | None) -> tuple[str, str]:
    """(question, context): the fields of a row, or two texts with a tab between them, or a question alone of `context`."""
    if isinstance(row, str):
        question, tab, own = row.partition("\t")
        found: str | None = own if tab else context
    else:
        question, found = text_of(row, ("question", *TEXT), where), text_or_none(row, ("context",), where)
        found = context if found is None else found
    if found is None:
        raise DataError(f"{where} asks without a context", expected="question and context", received=repr(row)[:60], change="name the text with --context FILE, or give both")
    return question, found
