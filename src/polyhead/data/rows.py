"""Rows of JSONL, JSON, CSV, TSV, Parquet and Hub data sets: which columns are meant, and what happens to broken ones.

A broken row is counted and passed over; the first ones are named by line, and above a share of all rows reading stops.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from .files import unreadable
from .pieces import LINE_LIMIT, Pair, lines

Row = dict[str, Any]
Columns = tuple[str, ...]

TEXT_COLUMNS = ("text", "content")
PAIR_COLUMNS = (
    ("prompt", "completion"),
    ("source", "target"),
    ("src", "tgt"),
    ("input", "output"),
    ("question", "answer"),
    ("commands", "actions"),
)
_NAMED = 3  # broken rows told one by one
_EARLY = 1000  # rows before the share is judged while reading
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.\-]*\Z")
_JSON_LIMIT = 1 << 28


class Tally:
    """Counts good and broken rows of one pass and stops it when too many are broken."""

    def __init__(self, max_bad: float) -> None:
        self.max_bad, self.good, self.bad = max_bad, 0, 0
        self._first: list[str] = []

    def wrong(self, where: str, why: str, rows: int = 1) -> None:
        self.bad += rows
        if len(self._first) < _NAMED:
            self._first.append(f"{where}: {why}")
        if self.good + self.bad >= _EARLY:
            self.judge()

    def judge(self) -> None:
        """Raises DataError if the share of broken rows is above what was allowed."""
        rows = self.good + self.bad
        if self.bad > self.max_bad * rows:
            raise DataError(
                f"{self.bad} of {rows} rows are broken",
                expected=f"a share of at most {self.max_bad:g}",
                received="; ".join(self._first) + (" …" if self.bad > len(self._first) else ""),
                change="mend these rows, or allow more with max_bad",
            )

    def notes(self) -> list[str]:
        if not self.bad:
            return []
        return [f"{self.bad} of {self.good + self.bad} rows are broken and left out ({'; '.join(self._first)})"]


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
    held, size = [first], len(first)
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > _JSON_LIMIT:
            raise DataError(
                f"{name} is one JSON array of more than {_JSON_LIMIT >> 20} M characters",
                expected="JSON lines, which are read one at a time",
                change="write one object a line and name the file .jsonl",
            )
    try:
        rows = json.loads("".join(held), parse_constant=_not_json)
    except (ValueError, RecursionError) as e:
        raise DataError(f"{name} is not valid JSON", received=_why(e), change="mend the file") from e
    for number, row in enumerate(rows, 1):
        yield from _object(row, f"{name} element {number}", tally)


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
            headed = looks_like_header(first, columns) if header is None else header
            names = first if headed else [str(i) for i in range(len(cells))]
            if headed:
                continue
        where = f"{name} line {number}"
        if len(cells) != len(names):
            tally.wrong(where, f"{len(cells)} columns where {len(names)} were expected")
        else:
            yield where, dict(zip(names, cells, strict=True))


def looks_like_header(cells: list[str], columns: Columns | None) -> bool:
    lower = {cell.lower() for cell in cells}
    if columns is not None:
        return any(c.lower() in lower for c in columns) or not all(c.isdigit() for c in columns)
    known = lower & set(TEXT_COLUMNS) or any(set(pair) <= lower for pair in PAIR_COLUMNS)
    return bool(known) or (len(lower) == len(cells) and all(_IDENTIFIER.match(c) for c in cells))


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


def choose(row: Row, columns: Columns | None, kind: str | None, name: str) -> Columns:
    """The columns to read: one for text, two for pairs. Raises DataError that names what there is."""
    names = _names(row)
    lower = {n.lower(): n for n in reversed(names)}
    if columns is not None:
        found = [c if c in names else lower.get(c.lower()) for c in columns]
        if None not in found and len(columns) == {"text": 1, "pairs": 2}.get(kind or "", len(columns)):
            return tuple(c for c in found if c is not None)
    else:
        pairs = [tuple(lower[c] for c in pair) for pair in PAIR_COLUMNS if set(pair) <= set(lower)]
        if "instruction" in lower:  # an input that belongs to an instruction is no source by itself
            pairs = []
        texts = [(lower[c],) for c in TEXT_COLUMNS if c in lower]
        if kind != "pairs" and texts:
            return texts[0]
        if kind != "text" and pairs:
            return pairs[0]
        strings = tuple(n for n in names if isinstance(_get(row, n), str))
        if len(strings) == len(names) == (2 if kind != "text" else 1) or (kind != "pairs" and len(strings) == 1):
            return strings
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    wanted = "columns named " + " and ".join(columns) if columns else "a column text, or source and target"
    example = f"columns={names[0]!r} for text or columns=({names[0]!r}, {names[-1]!r}) for pairs" if names else None
    return _fail(name, wanted, shown, example)


def _fail(name: str, wanted: str, shown: str, change: str | None) -> Columns:
    raise DataError(f"{name}: which columns to read is not clear", expected=wanted, received=shown, change=change)


def _names(row: Row) -> list[str]:
    out: list[str] = []
    for key, value in row.items():
        out += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [str(key)]
    return out


def _get(row: Row, name: str) -> Any:
    if name in row:
        return row[name]
    outer, _, inner = name.partition(".")
    value = row.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def texts(rows: Iterable[tuple[str, Row]], columns: Columns, tally: Tally) -> Iterator[str | Pair]:
    """The wanted column of each row, or the pair of them."""
    for where, row in rows:
        values = [_get(row, name) for name in columns]
        if (why := next(filter(None, map(_wrong, columns, values)), None)) is not None:
            tally.wrong(where, why)
            continue
        tally.good += 1
        yield values[0] if len(values) == 1 else Pair(*values)


def _wrong(name: str, value: Any) -> str | None:
    if value is None:
        return f"{name!r} is missing"
    if not isinstance(value, str):
        return f"{name!r} is {type(value).__name__}, not text"
    if not value.strip():
        return f"{name!r} is empty"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{name!r} has half of a surrogate pair"
    return None
