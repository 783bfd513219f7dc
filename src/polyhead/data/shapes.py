"""What rows are, told from the first of them: each shape looks at a sample and says how it would read it, or passes.

To add a kind of rows: a function (sample, asked, name) → Reading | None, and its line in SHAPES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..errors import DataError
from . import chats, pictures
from .columns import Columns, Row, choose, no_text, shown, value_of
from .examples import KINDS, texts
from .labelled import labelled
from .pieces import Pair, Piece, Referenced
from .questions import questions
from .reading import Asked, Broken, Reading, Record
from .tagged import tagged
from .tally import Tally

REFERENCES = "references"  # a list beside source and target: how the target may be said too
_SAMPLE, _SAMPLE_CHARS = 256, 1 << 22
Opened = Callable[[Columns | None, Tally], Iterator[tuple[str, Row]]]
Shape = Callable[[list[Row], Asked, str], Reading | None]


def reading_of(opened: Opened, asked: Asked, name: str) -> Reading:
    """How the rows that `opened(columns, tally)` gives are read. Raises DataError that names what there is."""
    sample = _sample(opened, name)
    if asked.kind == "text" and (reading := plain(sample, asked, name)) is not None:
        return reading
    wanted = asked._replace(kind=None) if asked.kind == "text" and asked.columns is None else asked
    for shape in SHAPES:
        if (reading := shape(sample, wanted, name)) is not None:
            return reading if asked.kind != "text" else _prose(reading)
    raise _unclear(sample[0], asked, name)


def _sample(opened: Opened, name: str) -> list[Row]:
    tally, sample, size = Tally(1.0), list[Row](), 0
    for _, row in opened(None, tally):
        sample.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(sample) == _SAMPLE or size > _SAMPLE_CHARS:
            break
    if not sample:
        received = tally.notes()[0] if tally.bad else "no rows"
        raise DataError(f"{name} holds no rows that can be read", expected="at least one row", received=received)
    return sample


def plain(sample: list[Row], asked: Asked, name: str) -> Reading | None:
    """Documents and pairs."""
    if asked.kind not in (None, "text", "pairs"):
        return None
    columns = choose(sample[0], asked.columns, asked.kind)
    if columns is None:
        return None
    notes = [] if asked.columns else [f"reading {' → '.join(columns)} of {name}"]
    kind = "text" if len(columns) == 1 else "pairs"
    if kind == "pairs" and any(_texts(row.get(REFERENCES)) for row in sample):
        return Reading(kind, (*columns, REFERENCES), partial(_referenced, columns), notes)
    return Reading(kind, columns, partial(_plain, columns), notes)


def _plain(columns: Columns, row: Row) -> Piece | Pair:
    values = [value_of(row, name) for name in columns]
    if (why := next(filter(None, map(no_text, columns, values)), None)) is not None:
        raise Broken(why)
    return Piece(values[0], True) if len(values) == 1 else Pair(*values)


def _referenced(columns: Columns, row: Row) -> Pair:
    pair = _plain(columns, row)
    assert isinstance(pair, Pair), "two columns"
    found = _texts(row.get(REFERENCES))
    return Referenced(*pair, found) if found else pair


def _texts(value: Any) -> tuple[str, ...]:
    """The texts of a list of such; nothing for anything else."""
    return tuple(one for one in value if no_text("", one) is None) if isinstance(value, list) else ()


def _prose(reading: Reading) -> Reading:
    """The texts of records that are more than text."""
    return reading._replace(kind="text", notes=[f"{note}: their texts alone" for note in reading.notes])


def picked(opened: Opened, reading: Reading, tally: Tally) -> Iterator[Record]:
    """The records of the rows that `opened(columns, tally)` gives."""
    records = _converted(opened, reading, tally)
    return prose(records) if reading.kind == "text" else records


def _converted(opened: Opened, reading: Reading, tally: Tally) -> Iterator[Record]:
    for where, row in opened(reading.columns, tally):
        try:
            record = reading.convert(row)
        except Broken as why:
            tally.wrong(where, str(why))
            continue
        tally.good += 1
        yield record


def prose(records: Iterator[Record]) -> Iterator[Piece]:
    """The texts of any records as documents; one that the record before has too (a context) comes once."""
    before: list[Any] = []
    for record in records:
        if isinstance(record, Piece):
            yield record
            continue
        now = list(texts(record))
        yield from (Piece(text, True) for text in now if text not in before)
        before = now


def _unclear(row: Row, asked: Asked, name: str) -> DataError:
    names, kind = list(row), asked.kind
    if asked.columns:
        wanted = "columns named " + " and ".join(asked.columns)
    elif kind in (None, "text", "pairs"):
        wanted = "a column text, or source and target" + (", or text and label" if kind is None else "")
    else:
        wanted = f"the columns of a {KINDS[kind]}"
    way = _ASK.get(kind or "")
    if way is None and names:
        way = f"data.columns={names[0]} for text or data.columns={names[0]},{names[-1]} for pairs"
    return DataError(f"{name}: which columns to read is not clear", expected=wanted, received=shown(row), change=way)


_ASK = {
    "labelled": "name them with data.columns: text and label, or text, second text and label",
    "tagged": "name them with data.columns: the list of words and the list of tags",
    "images": "pictures in a table are their bytes (Parquet); pictures in files go into a folder for each class",
    "questions": "name them with data.columns: context, question and answers",
}
SHAPES: tuple[Shape, ...] = (
    pictures.shape,
    questions,
    tagged,
    chats.shape,
    labelled,
    plain,
)
