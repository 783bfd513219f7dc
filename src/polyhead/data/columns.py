"""Which columns of a row are meant, by their names and by what they hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

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
SHORTER_COLUMNS = (
    ("body", "subject"),
    ("email_body", "subject_line"),
    ("document", "summary"),
    ("article", "highlights"),
    ("article", "summary"),
    ("article", "abstract"),
    ("dialogue", "summary"),
    ("text", "summary"),
    ("content", "summary"),
    ("report", "summary"),
    ("transcript", "summary"),
    ("description", "abstract"),
    ("documents", "tldr"),
    ("text", "headline"),
    ("prompt", "response"),
    ("query", "response"),
    ("inputs", "targets"),
)
"""Pairs as well, mostly a text and a shorter one, unless a label stands beside them."""
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.\-]*\Z")


def looks_like_header(cells: list[str], columns: Columns | None, known: frozenset[str] = frozenset()) -> bool:
    """Whether a table's first row holds names: known ones, wanted ones, or identifiers that are all different."""
    lower = {cell.lower() for cell in cells}
    if columns is not None:
        return any(c.lower() in lower for c in columns) or not all(c.isdigit() for c in columns)
    if lower & set(TEXT_COLUMNS) or any(set(pair) <= lower for pair in (*PAIR_COLUMNS, *SHORTER_COLUMNS)) or len(lower & known) > 1:
        return True
    return len(lower) == len(cells) and all(_IDENTIFIER.match(c) for c in cells)


def choose(row: Row, columns: Columns | None, kind: str | None) -> Columns | None:
    """The columns to read: one for text, two for pairs; None if that is not clear. A text beside its summary is a pair."""
    names = names_of(row)
    if columns is not None:
        fits = len(columns) == {"text": 1, "pairs": 2}.get(kind or "", len(columns)) and len(columns) < 3
        return found(names, columns) if fits else None
    lower = {n.lower(): n for n in reversed(names)}
    pairs = [tuple(lower[c] for c in pair) for pair in (*PAIR_COLUMNS, *SHORTER_COLUMNS) if set(pair) <= set(lower)]
    if "instruction" in lower:  # an input that belongs to an instruction is no source by itself
        pairs = []
    texts = [(lower[c],) for c in TEXT_COLUMNS if c in lower]
    whole = next((pair for pair in pairs if texts and texts[0][0] in pair), None)
    if kind != "pairs" and texts and (kind == "text" or whole is None):
        return texts[0]
    if kind is None and whole is not None:
        return whole
    if kind != "text" and pairs:
        return pairs[0]
    strings = tuple(n for n in names if isinstance(value_of(row, n), str))
    if len(strings) == len(names) == (2 if kind != "text" else 1) or (kind != "pairs" and len(strings) == 1):
        return strings
    return None


def found(names: Iterable[str], columns: Columns) -> Columns | None:
    """The columns that were named, as they are spelled in the file; None if one is not there."""
    names = list(names)
    lower = {n.lower(): n for n in reversed(names)}
    there = [c if c in names else lower.get(c.lower()) for c in columns]
    return None if None in there else tuple(c for c in there if c is not None)


def typical(sample: list[Row]) -> Row:
    """All columns of some rows, each with a value of the type that most have: what one row lacks may be its own fault."""
    row: Row = {}
    for name in dict.fromkeys(name for one in sample for name in one):
        values = [one[name] for one in sample if one.get(name) is not None]
        most = Counter(map(type, values)).most_common(1)
        row[name] = next((value for value in values if type(value) is most[0][0]), None)
    return row


def names_of(row: Row) -> list[str]:
    """The columns of a row, those of rows within it as `outer.inner`."""
    out: list[str] = []
    for key, value in row.items():
        out += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [str(key)]
    return out


def shown(row: Row) -> str:
    """The columns of a row, for a message."""
    names = names_of(row)
    return ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")


def value_of(row: Row, name: str) -> Any:
    """The value of a column, `outer.inner` included; None where there is none."""
    if name in row:
        return row[name]
    outer, _, inner = name.partition(".")
    value = row.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def no_text(name: str, value: Any) -> str | None:
    """Why a value is no text that can be used; None if it is one."""
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
