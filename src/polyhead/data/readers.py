"""How one file is read: as documents, as pairs, or as rows with columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..text.read import read_chunks
from . import pieces, rows
from .corpus import Record
from .files import Entry
from .pieces import Pair, Piece
from .rows import Columns, Tally

_SCAN = re.compile(r"IN: (.+?) OUT: (.+)\Z")
_SPLITS = {"file": pieces.whole_document, "blank": pieces.blank_documents, "line": pieces.line_documents}


class Asked(NamedTuple):
    """The options of `open_source`, as they were given."""

    columns: Columns | None
    kind: str | None
    format: str | None
    split: str
    header: bool | None
    encoding: str | None
    repair: bool
    max_bad: float
    subset: str | None
    part: str


def chunks_of(path: Path, asked: Asked) -> Iterator[str]:
    """A file's text, a bounded piece at a time. Raises DataError for one that is damaged, binary or undecodable."""
    return read_chunks(path, asked.encoding, asked.repair, chunk_chars=1 << 18)


def reader(
    entry: Entry, asked: Asked, *, folder: bool = False
) -> tuple[str, Callable[[Tally], Iterator[Record]], list[str]]:
    """(kind, how to read it, notes) of a file, from its beginning. `folder`: one of many, whose kind is set."""
    if entry.format == "text":
        scan = asked.kind == "pairs" or (asked.kind is None and not folder and looks_like_scan(entry.path, asked))
        read = _scan if scan else _text
        return ("pairs" if scan else "text"), partial(read, entry, asked), []
    opened = partial(_rows, entry, asked)
    columns, notes = columns_of(opened, asked, str(entry.path))
    if entry.format in ("csv", "tsv") and asked.header is None:
        notes = [*notes, _header_note(columns)]
    kind = "text" if len(columns) == 1 else "pairs"
    return kind, partial(picked, opened, columns), notes


def _header_note(columns: Columns) -> str:
    numbers = all(c.isdigit() for c in columns)
    how = "data (pass header=True if it holds names)" if numbers else "names (pass header=False if it is data)"
    return f"columns {', '.join(columns)}: the table's first row was taken as {how}"


def _text(entry: Entry, asked: Asked, tally: Tally) -> Iterator[Piece]:
    chunks = pieces.universal_lines(chunks_of(entry.path, asked))
    return pieces.visible(_SPLITS[asked.split](chunks))


def looks_like_scan(path: Path, asked: Asked) -> bool:
    """Whether the first line is of the form IN: … OUT: …"""
    beginning = next(chunks_of(path, asked), "").lstrip()
    return _SCAN.match(beginning.partition("\n")[0].strip()) is not None


def _scan(entry: Entry, asked: Asked, tally: Tally) -> Iterator[Pair]:
    for number, line in enumerate(pieces.lines(chunks_of(entry.path, asked)), 1):
        match = line and _SCAN.match(line.strip())
        if match:
            tally.good += 1
            yield Pair(*match.groups())
        elif line is None or line.strip():
            tally.wrong(f"{entry.name} line {number}", "not of the form IN: … OUT: …")


def _rows(entry: Entry, asked: Asked, columns: Columns | None, tally: Tally) -> Iterator[tuple[str, rows.Row]]:
    if entry.format == "parquet":
        return rows.parquet(entry.path, entry.name, columns)
    chunks = chunks_of(entry.path, asked)
    if entry.format in ("jsonl", "json"):
        return (rows.json_lines if entry.format == "jsonl" else rows.json_array)(chunks, entry.name, tally)
    tabs = entry.format == "tsv"
    return rows.table(chunks, entry.name, tally, tabs=tabs, header=asked.header, columns=asked.columns)


def columns_of(opened: Callable[..., Iterator], asked: Asked, name: str) -> tuple[Columns, list[str]]:
    """The columns to read, from the first row that can be read, and a note on what was chosen."""
    tally = Tally(1.0)
    first = next(opened(None, tally), None)
    if first is None:
        received = tally.notes()[0] if tally.bad else "no rows"
        raise DataError(f"{name} holds no rows that can be read", expected="at least one row", received=received)
    columns = rows.choose(first[1], asked.columns, asked.kind, name)
    note = [] if asked.columns else [f"reading {' → '.join(columns)} of {name}"]
    return columns, note


def picked(opened: Callable[..., Iterator], columns: Columns, tally: Tally) -> Iterator[Record]:
    """The wanted columns of the rows that `opened(columns, tally)` gives, as documents or pairs."""
    for value in rows.texts(opened(columns, tally), columns, tally):
        yield Piece(value, True) if isinstance(value, str) else value
