"""Rows with a label: one text or two, and what is to be said of them.

The sort of label follows from a sample: strings and whole numbers are classes, lists are several classes of one text,
numbers with a fraction are numbers; or it is asked for (`labels` of open_source).
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

from .columns import PAIR_COLUMNS, SHORTER_COLUMNS, Columns, Row, found, names_of, no_text, typical, value_of
from .examples import Labelled
from .reading import Asked, Broken, Reading

LABELS = tuple(
    "label labels gold_label is_duplicate class sentiment intent emotion polarity coarse coarse_label label_coarse fine fine_label "
    "label_fine".split()
)
"""Names of columns that are labels, the first one that is there is taken."""
MAYBE_LABELS = tuple(
    "score similarity similarity_score relatedness_score category categories topic topics stars rating target".split()
)
"""Names that are labels where there is little beside them and the text."""
TWO_TEXTS = (
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("question", "sentence"),
    ("question", "passage"),
    ("text", "text_pair"),
)
JOINED = tuple(("title", body) for body in ("description", "content", "body", "abstract"))
ONE_TEXT = tuple("text sentence content review question tweet utterance query document headline comment phrase".split())
_ASIDE = frozenset("id idx index guid uid pairid title".split())
KNOWN = frozenset((*LABELS, *MAYBE_LABELS, *ONE_TEXT, *(name for two in (*TWO_TEXTS, *JOINED) for name in two)))
"""What a table's first row may hold where it holds names."""

_FRACTION = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
_LONGEST = 1000  # characters of a label
_SHORT, _MANY, _ENOUGH = (
    40,
    100,
    10,
)  # characters of a label of which there are few, classes, rows from which they are known


def labelled(sample: list[Row], asked: Asked, name: str) -> Reading | None:
    """Rows of one or two texts and their label, if these are such."""
    if asked.kind not in (None, "labelled"):
        return None
    first = typical(sample)
    columns = _asked(sample, first, asked) if asked.columns else _guessed(sample, first, asked.kind == "labelled")
    if columns is None:
        return None
    *sides, label = columns
    values = [value_of(row, label) for row in sample]
    if isinstance(value_of(first, label), dict) or all(value is None for value in values):
        return None
    sort = asked.sort or _sort(values)
    scores = sort == "class" and asked.sort is None and len(set(map(str, values))) > 2 and all(value is None or _is_number(value) for value in values)
    what = {"class": "a class; data.labels=numbers if it is a score" if scores else "a class", "several": "several classes", "number": "a number"}[sort]
    notes = (
        [] if asked.columns else [f"reading {' and '.join(sides)} → {label} ({what}) of {name}{_others(first, label)}"]
    )
    split = [tuple(side.split("+")) if value_of(first, side) is None else (side,) for side in sides]
    needed = tuple(dict.fromkeys((*(part for side in split for part in side), label)))
    return Reading("labelled", needed, partial(_labelled, split, label, sort), notes, sort)


def _asked(sample: list[Row], first: Row, asked: Asked) -> Columns | None:
    columns, names = asked.columns or (), names_of(first)
    if len(columns) < 2:
        return None
    there = [_joined(names, column) for column in columns]
    if None in there:
        return None
    label = there[-1] or ""
    if asked.kind is None and tuple(plain_name(column or "") for column in there) in (*PAIR_COLUMNS, *SHORTER_COLUMNS):
        return None
    named = plain_name(label) in (*LABELS, *MAYBE_LABELS) or not isinstance(value_of(first, label), str)
    if asked.kind is None and len(columns) == 2 and not named and not _few(sample, label):
        return None
    return tuple(column for column in there if column is not None)


def _joined(names: list[str], column: str) -> str | None:
    """A column, or several that make one text together (`title+description`)."""
    whole = found(names, (column,)) or found(names, tuple(column.split("+")))
    return None if whole is None else "+".join(whole)


def _guessed(sample: list[Row], first: Row, forced: bool) -> Columns | None:
    names = names_of(first)
    by_name = {plain_name(name): name for name in reversed(names)}
    pairs = PAIR_COLUMNS if any(name in by_name for name in LABELS) else (*PAIR_COLUMNS, *SHORTER_COLUMNS)
    if not forced and any(set(pair) <= set(by_name) for pair in pairs):
        return None
    sides = _sides(by_name, first)
    label = next((by_name[n] for n in LABELS if n in by_name), None)
    if label is None and (maybe := next((by_name[n] for n in MAYBE_LABELS if n in by_name), None)) is not None:
        rest = (
            set(by_name)
            - _ASIDE
            - {plain_name(maybe)}
            - {plain_name(n) for side in sides or () for n in side.split("+")}
        )
        label = maybe if forced or not rest or (sides is not None and len(sides) == 2) else None
    if label is not None and sides is None:
        strings = [n for n in names if n != label and isinstance(value_of(first, n), str)]
        sides = tuple(strings) if len(strings) == 1 or (forced and len(strings) == 2) else None
    if label is not None and sides is not None and label not in sides:
        return (*sides, label)
    return _by_content(sample, names, forced)


def _sides(by_name: dict[str, str], first: Row) -> Columns | None:
    for two in TWO_TEXTS:
        if set(two) <= set(by_name):
            return tuple(by_name[name] for name in two)
    for parts in JOINED:
        if set(parts) <= set(by_name):
            return ("+".join(by_name[name] for name in parts),)
    one = next((by_name[name] for name in ONE_TEXT if name in by_name), None)
    return None if one is None or not isinstance(value_of(first, one), str) else (one,)


def _by_content(sample: list[Row], names: list[str], forced: bool) -> Columns | None:
    """A table of two columns of which one says the same few things over and over."""
    if len(names) != 2:
        return None
    few = [_few(sample, name) for name in names]
    if few[0] != few[1]:
        label = few.index(True)
        return names[1 - label], names[label]
    return (names[0], names[1]) if forced else None


def _few(sample: list[Row], name: str) -> bool:
    values = [value_of(row, name) for row in sample]
    if len(values) < _ENOUGH or any(not isinstance(value, str | int) or len(str(value)) > _SHORT for value in values):
        return False
    return len(set(values)) <= min(_MANY, max(2, len(values) // 5))


def _others(first: Row, label: str) -> str:
    others = [n for n in names_of(first) if plain_name(n) in LABELS and n != label]
    return f"; labels too: {', '.join(others)}, to be had with columns" if others else ""


def plain_name(name: str) -> str:
    """A column's name without the differences that mean nothing."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _sort(values: list[Any]) -> str:
    """What most of the values are."""
    values = [value for value in values if value is not None]
    if 2 * sum(isinstance(value, list | tuple) for value in values) > len(values):
        return "several"
    numbers = [value for value in values if _is_number(value)]
    parts = any(not v.is_integer() if isinstance(v, float) else _FRACTION.match(str(v).strip()) for v in numbers)
    return "number" if parts and 2 * len(numbers) > len(values) else "class"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_NUMBER.match(value.strip()))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _labelled(sides: list[tuple[str, ...]], label: str, sort: str, row: Row) -> Labelled:
    made = [_text(parts, row) for parts in sides]
    value = value_of(row, label)
    second = made[1] if len(made) == 2 else None
    if sort == "number":
        return Labelled(made[0], second, _number(label, value))
    if sort == "several":
        if not isinstance(value, list | tuple):
            raise Broken(f"{label!r} is {type(value).__name__}, not a list of classes")
        return Labelled(made[0], second, tuple(dict.fromkeys(class_of(label, one) for one in value)))
    return Labelled(made[0], second, class_of(label, value))


def _text(parts: tuple[str, ...], row: Row) -> str:
    values = [value_of(row, part) for part in parts]
    why = [no_text(part, value) for part, value in zip(parts, values, strict=True)]
    if all(why) or any(not isinstance(value, str) for value in values):  # a title or a body may be empty, not both
        raise Broken(next(filter(None, why)))
    return " ".join(value for value, bad in zip(values, why, strict=True) if not bad)


def _number(name: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Broken(f"{name!r} is no number: {str(value)[:40]!r}")
    return number


def class_of(name: str, value: Any) -> str:
    """The class that a value names: a string, or a whole number. Raises Broken for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool | int):
        return str(value).lower()
    if (why := no_text(name, value)) is not None:
        raise Broken(why)
    if len(value) > _LONGEST:
        raise Broken(f"{name!r} is longer than {_LONGEST} characters, which is no label")
    return str(value).strip()
