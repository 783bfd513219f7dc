"""How one file is read: as documents, as pairs, or as rows with columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..text.read import read_chunks
from . import pieces, rows, tagged
from .columns import Columns, Row
from .files import Entry
from .pieces import Pair, Piece
from .questions import looks_like_squad, squad
from .reading import Asked, Record
from .shapes import picked, prose, reading_of
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
    format = _format(entry, asked, folder)
    if format in ("conll", "conllu"):
        read = partial(_conll, entry, asked, format)
        which = tagged.columns_of(asked.columns, format, str(entry.path))
        return _whole("tagged", read, entry, asked, [_tagged_note(format, which)])
    if format == "squad":
        return _whole("questions", partial(_squad, entry, asked), entry, asked, [])
    if format == "text":
        scan = asked.kind == "pairs" or (asked.kind is None and not folder and looks_like_scan(entry.path, asked))
        if scan and not looks_like_scan(entry.path, asked):
            raise _no_pairs(entry.path)
        return _whole("pairs" if scan else "text", partial(_scan if scan else _text, entry, asked), entry, asked, [])
    opened = partial(_rows, entry, asked)
    reading = reading_of(opened, asked, str(entry.path))
    notes = reading.notes
    if entry.format in ("csv", "tsv") and asked.header is None:
        notes = [*notes, _header_note(reading.columns)]
    return Found(reading.kind, partial(picked, opened, reading), notes, reading.sort)


def _format(entry: Entry, asked: Asked, folder: bool) -> str:
    """The format of a file; where its name leaves it open, what it begins like."""
    free = asked.format is None and asked.kind in (None, "tagged", "questions", "text")
    if free and entry.format == "json" and looks_like_squad(next(chunks_of(entry.path, asked), "")):
        return "squad"
    if free and entry.format in ("text", "tsv") and not folder and asked.kind != "text" and asked.split == "file":
        if (found := tagged.sniff(next(chunks_of(entry.path, asked), ""))) is not None:
            return found
    return "conll" if entry.format == "text" and asked.kind == "tagged" else entry.format


def _whole(kind: str, read: Callable[[Tally], Iterator[Record]], entry: Entry, asked: Asked, notes: list[str]) -> Found:
    """A file that is of one kind by its format; of any, the texts can be had alone."""
    if asked.kind == "text" and kind != "text":
        return Found("text", partial(_prose, read), [f"{note}: its texts alone" for note in notes])
    if asked.kind not in (None, kind):
        raise DataError(
            f"{entry.path} holds {kind}",
            expected=asked.kind,
            received=kind,
            change="leave data.kind out, or name a file of that kind",
        )
    return Found(kind, read, notes)


def _prose(read: Callable[[Tally], Iterator[Record]], tally: Tally) -> Iterator[Piece]:
    return prose(read(tally))


def _tagged_note(format: str, which: tuple[int, int]) -> str:
    word, tag = (tagged.UD[i] if format == "conllu" else "last" if i < 0 else str(i) for i in which)
    return f"reading column {word} as words and column {tag} as their tags"


def _conll(entry: Entry, asked: Asked, format: str, tally: Tally) -> Iterator[Record]:
    return tagged.conll(chunks_of(entry.path, asked), entry.name, format, asked.columns, tally)


def _squad(entry: Entry, asked: Asked, tally: Tally) -> Iterator[Record]:
    return squad(chunks_of(entry.path, asked), entry.name, tally)


def _header_note(columns: Columns) -> str:
    numbers = all(c.isdigit() for c in columns)
    how = "data (data.header=true if it holds names)" if numbers else "names (data.header=false if it is data)"
    return f"columns {', '.join(columns)}: the table's first row was taken as {how}"


def _text(entry: Entry, asked: Asked, tally: Tally) -> Iterator[Piece]:
    chunks = pieces.universal_lines(chunks_of(entry.path, asked))
    return pieces.visible(_SPLITS[asked.split](chunks))


def looks_like_scan(path: Path, asked: Asked) -> bool:
    """Whether the first line is of the form IN: … OUT: …"""
    beginning = next(chunks_of(path, asked), "").lstrip()
    return _SCAN.match(beginning.partition("\n")[0].strip()) is not None


def _no_pairs(path: Path) -> DataError:
    return DataError(
        f"{path} is one text, not pairs",
        expected="two parallel files (a.de,a.en), a table with two columns, or lines IN: … OUT: …",
        received="a file of plain text",
        change=f"name both files: {path},OTHER",
    )


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
