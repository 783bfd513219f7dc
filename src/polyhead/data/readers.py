"""How one file is read: as documents, as pairs, or as rows with columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..text.read import read_chunks
from . import pieces, rows
from .columns import Columns, Row
from .files import Entry
from .pieces import Pair, Piece
from .reading import Asked, Record
from .shapes import picked, reading_of
from .tally import Tally

_SCAN = re.compile(r"IN: (.+?) OUT: (.+)\Z")
_SPLITS = {"file": pieces.whole_document, "blank": pieces.blank_documents, "line": pieces.line_documents}


def chunks_of(path: Path, asked: Asked) -> Iterator[str]:
    """A file's text, a bounded piece at a time. Raises DataError for one that is damaged, binary or undecodable."""
    return read_chunks(path, asked.encoding, asked.repair, chunk_chars=1 << 18)


class Found(NamedTuple):
    """What one file is. read: its records from the beginning, broken rows to the tally. sort: of labels."""

    kind: str
    read: Callable[[Tally], Iterator[Record]]
    notes: list[str]
    sort: str | None = None


def reader(entry: Entry, asked: Asked, *, folder: bool = False) -> Found:
    """What a file is, from its beginning. `folder`: one of many, whose kind is set."""
    if entry.format == "text":
        scan = asked.kind == "pairs" or (asked.kind is None and not folder and looks_like_scan(entry.path, asked))
        read = _scan if scan else _text
        return Found("pairs" if scan else "text", partial(read, entry, asked), [])
    opened = partial(_rows, entry, asked)
    reading = reading_of(opened, asked, str(entry.path))
    notes = reading.notes
    if entry.format in ("csv", "tsv") and asked.header is None:
        notes = [*notes, _header_note(reading.columns)]
    return Found(reading.kind, partial(picked, opened, reading), notes, reading.sort)


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


def _rows(entry: Entry, asked: Asked, columns: Columns | None, tally: Tally) -> Iterator[tuple[str, Row]]:
    if entry.format == "parquet":
        return rows.parquet(entry.path, entry.name, columns)
    chunks = chunks_of(entry.path, asked)
    if entry.format in ("jsonl", "json"):
        return (rows.json_lines if entry.format == "jsonl" else rows.json_array)(chunks, entry.name, tally)
    tabs = entry.format == "tsv"
    return rows.table(chunks, entry.name, tally, tabs=tabs, header=asked.header, columns=asked.columns)
