"""Rows of JSONL, JSON, CSV, TSV and Parquet files, each with its place.

A broken row is counted and passed over; the first ones are named by line, and above a share of all rows reading stops.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from .columns import Columns, Row, looks_like_header
from .files import unreadable
from .labelled import KNOWN
from .pieces import LINE_LIMIT, lines
from .tally import Tally

_JSON_LIMIT = 1 << 28


def json_lines(chunks: Iterable[str], name: str, tally: Tally) -> Iterator[tuple[str, Row]]:
    """JSON objects, one a line; blank lines are passed over. NaN and Infinity are not JSON."""
    for number, line in enumerate(lines(chunks), 1):
        where = f"{name} line {number}"
        if line is None:
            tally.wrong(where, f"longer than {LINE_LIMIT} characters")
        elif line.strip():
            try:
                row = json.loads(line, parse_constant=_not_json)
            except (ValueError, RecursionError) as e:
                tally.wrong(where, _why(e))
                continue
            yield from _object(row, where, tally)


def json_array(chunks: Iterable[str], name: str, tally: Tally) -> Iterator[tuple[str, Row]]:
    """A .json file: an array of objects, read whole (so limited in size), or JSON lines under another name."""
    chunks = iter(chunks)
    first = next(chunks, "")
    if not first.lstrip().startswith("["):
        yield from json_lines(_prepend(first, chunks), name, tally)
        return
    rows = whole_json(_prepend(first, chunks), name)
    for number, row in enumerate(rows, 1):
        yield from _object(row, f"{name} element {number}", tally)


def whole_json(chunks: Iterable[str], name: str) -> Any:
    """A file that is one JSON value, read whole. Raises DataError for one that is too long, or no JSON."""
    held, size = list[str](), 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > _JSON_LIMIT:
            raise DataError(
                f"{name} is one JSON value of more than {_JSON_LIMIT >> 20} M characters",
                expected="JSON lines, which are read one at a time",
                change="write one object a line and name the file .jsonl",
            )
    try:
        return json.loads("".join(held), parse_constant=_not_json)
    except (ValueError, RecursionError) as e:
        raise DataError(f"{name} is not valid JSON", received=_why(e), change="mend the file") from e


def _prepend(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error)
    return "a number of too many digits" if "int_max_str_digits" in text else text[:120]


def _object(row: Any, where: str, tally: Tally) -> Iterator[tuple[str, Row]]:
    if isinstance(row, dict):
        yield where, row
    else:
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(row), "a number")
        tally.wrong(where, f"{kind} where an object was expected")


def table(
    chunks: Iterable[str], name: str, tally: Tally, *, tabs: bool, header: bool | None, columns: Columns | None
) -> Iterator[tuple[str, Row]]:
    """CSV (RFC 4180, quotes may span lines) or TSV (no quotes: a quotation mark is a character).

    header: whether the first row holds names; None: it does if it has a known or a wanted name, or if it looks like
    names. Without one, columns are "0", "1", …
    """
    names: list[str] | None = None
    for number, cells in _records(lines(chunks), name, tally, tabs):
        if names is None:
            first = [cell.strip() for cell in cells]
            headed = looks_like_header(first, columns, KNOWN) if header is None else header
            names = first if headed else [str(i) for i in range(len(cells))]
            if headed:
                continue
        where = f"{name} line {number}"
        if len(cells) != len(names):
            tally.wrong(where, f"{len(cells)} columns where {len(names)} were expected")
        else:
            yield where, dict(zip(names, cells, strict=True))


def _records(rows: Iterator[str | None], name: str, tally: Tally, tabs: bool) -> Iterator[tuple[int, list[str]]]:
    begun, size, quoted = 0, 0, False
    held: list[str] = []
    for number, line in enumerate(rows, 1):
        if not held:
            begun, size = number, 0
        size += LINE_LIMIT + 1 if line is None else len(line) + 1
        if line is None or size > LINE_LIMIT:
            tally.wrong(f"{name} line {begun}", f"longer than {LINE_LIMIT} characters", number - begun + 1)
            held, quoted = [], False
        elif tabs:
            if line:
                yield number, line.split("\t")
        else:
            held.append(line)
            quoted ^= line.count('"') % 2 == 1
            if not quoted:
                yield from _fields("\n".join(held), f"{name} line {begun}", begun, number, tally)
                held = []
    if held:
        tally.wrong(f"{name} line {begun}", "a quotation mark is never closed", number - begun + 1)


def _fields(text: str, where: str, begun: int, number: int, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    if not text:
        return
    csv.field_size_limit(max(csv.field_size_limit(), LINE_LIMIT))
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as e:
        tally.wrong(where, str(e), number - begun + 1)
        return
    for cells in rows:
        yield begun, cells


def parquet(path: Path, name: str, columns: Columns | None) -> Iterator[tuple[str, Row]]:
    """Rows of a Parquet file, a few hundred at a time."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise DataError("Parquet needs pyarrow", change="pip install datasets") from e
    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=256, columns=None if columns is None else list(columns)):
            for row in batch.to_pylist():
                number += 1
                yield f"{name} row {number}", row
    except (pa.ArrowException, OSError) as e:
        raise unreadable(path, e) from e
