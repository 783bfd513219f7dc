"""Sentences with a tag for every word: CoNLL and CoNLL-U files, and rows with two lists.

CoNLL: a word a line, its columns separated by tabs or spaces, blank lines between sentences (Tjong Kim Sang and De
Meulder 2003). CoNLL-U: ten columns and comments (universaldependencies.org/format.html); the lines of multiword tokens
(1-2) and of empty nodes (8.1) are not words of the sentence and are passed over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain
from typing import Any

from ..errors import DataError
from .columns import Columns, Row, found, no_text, typical, value_of
from .examples import Tagged
from .labelled import class_of, plain_name
from .pieces import LINE_LIMIT, lines
from .reading import Asked, Broken, Reading
from .tally import Tally

WORDS = ("tokens", "words")
TAGS = tuple("ner_tags ner tags labels pos_tags upos pos xpos chunk_tags".split())
UD = tuple("id form lemma upos xpos feats head deprel deps misc".split())
_ID = re.compile(r"\d+\Z")
_OTHER_ID = re.compile(r"\d+[-.]\d+\Z")
_SPAN_TAG = re.compile(r"(O|[BIESLUM]-\S+)\Z")


# -- rows -----------------------------------------------------------------------------------------------------------


def tagged(sample: list[Row], asked: Asked, name: str) -> Reading | None:
    """Rows of two lists, words and tags, if these are such."""
    if asked.kind not in (None, "tagged"):
        return None
    first = typical(sample)
    if asked.columns:
        columns = found(first, asked.columns) if len(asked.columns) == 2 else None
    else:
        by_name = {plain_name(column): column for column in reversed(list(first))}
        words, tags = (next((by_name[n] for n in wanted if n in by_name), None) for wanted in (WORDS, TAGS))
        columns = None if words is None or tags is None else (words, tags)
    if columns is None or not all(isinstance(value_of(first, column), list) for column in columns):
        return None
    others = [c for c in first if plain_name(c) in TAGS and c != columns[1]]
    more = f"; tags too: {', '.join(others)}, to be had with columns" if others else ""
    notes = [] if asked.columns else [f"reading {columns[0]} → {columns[1]} of {name}{more}"]
    return Reading("tagged", columns, partial(_row, columns), notes)


def _row(columns: Columns, row: Row) -> Tagged:
    words, tags = (value_of(row, column) for column in columns)
    for column, values in zip(columns, (words, tags), strict=True):
        if not isinstance(values, list):
            raise Broken(f"{column!r} is no list")
    return sentence(words, [class_of(columns[1], tag) for tag in tags])


def sentence(words: list[Any], tags: list[str]) -> Tagged:
    """A sentence of words, each with a tag. Raises Broken for one that is none."""
    if len(words) != len(tags):
        raise Broken(f"{len(words)} words and {len(tags)} tags")
    if not words:
        raise Broken("a sentence without words")
    try:
        "".join(words).encode()
        fine = all(map(str.strip, words))
    except (TypeError, UnicodeEncodeError):
        fine = False
    if not fine:
        raise Broken(next(why for i, word in enumerate(words) if (why := no_text(f"word {i + 1}", word))))
    return Tagged(tuple(words), tuple(tags))


# -- files ----------------------------------------------------------------------------------------------------------


def sniff(beginning: str) -> str | None:
    """ "conllu", "conll" where the last column holds span tags (B-PER, O), or None."""
    rows = _beginning(beginning)[:-1][:200]
    told = [row.split("\t") for row in rows if row.strip() and not row.startswith("#")]
    if told and all(len(row) == len(UD) and (_ID.match(row[0]) or _OTHER_ID.match(row[0])) for row in told):
        return "conllu"
    cells = [split(row) for row in rows if row.strip() and not row.startswith("-DOCSTART-")]
    even = len(cells) > 1 and len({len(row) for row in cells}) == 1 and len(cells[0]) > 1
    return "conll" if even and all(_SPAN_TAG.match(row[-1]) for row in cells) else None


def _beginning(text: str) -> list[str]:
    return text[: 1 << 16].replace("\r\n", "\n").replace("\r", "\n").split("\n")


def split(line: str) -> list[str]:
    """The columns of a line: at tabs if it has one, else at spaces."""
    return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]


def columns_of(columns: Columns | None, format: str, name: str) -> tuple[int, int]:
    """(column of the word, column of the tag), from 0; −1 is the last. columns: the tag's, or the word's and the tag's, by
    number, and in CoNLL-U by name (form, lemma, upos, xpos, feats, deprel)."""
    default = (1, 3) if format == "conllu" else (0, -1)
    if columns is None:
        return default
    places = []
    for column in columns[-2:]:
        known = format == "conllu" and column.lower() in UD
        if not known and not re.fullmatch(r"-1|\d{1,3}", column):
            raise DataError(
                f"{name}: which columns to read is not clear",
                expected="numbers from 0" + (f", or of {', '.join(UD)}" if format == "conllu" else "; -1 is the last"),
                received=", ".join(columns),
                change="name the word's and the tag's, such as data.columns=0,3",
            )
        places.append(UD.index(column.lower()) if known else int(column))
    return (places[0], places[1]) if len(places) == 2 else (default[0], places[0])


def conll(chunks: Iterable[str], name: str, format: str, columns: Columns | None, tally: Tally) -> Iterator[Tagged]:
    """The sentences of a CoNLL or CoNLL-U file. One with a line of too few columns, or without a word, is broken."""
    chunks = iter(chunks)
    first = next(chunks, "")
    at, read = columns_of(columns, format, name), partial(_words, _width(first)) if format == "conll" else _ud_words
    for number, held in _blocks(chain([first], chunks), name, tally):
        try:
            if not (cells := read(held)):
                continue
            if not max(at) < len(cells[0]):
                raise Broken(f"{len(cells[0])} columns, and column {max(at)} was asked for")
            made = sentence([row[at[0]] for row in cells], [_tag(row[at[1]]) for row in cells])
        except Broken as why:
            tally.wrong(f"{name} line {number}", str(why))
            continue
        tally.good += 1
        yield made


@lru_cache(1 << 12)
def _tag(text: str) -> str:
    return class_of("the tag", text)


def _width(beginning: str) -> int:
    """The columns that most lines have."""
    counts = Counter(
        len(split(row)) for row in _beginning(beginning) if row.strip() and not row.startswith(("# ", "-DOCSTART-"))
    )
    return max(2, counts.most_common(1)[0][0] if counts else 2)


def _blocks(chunks: Iterable[str], name: str, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    """The lines between blank ones, with the first one's number; what is longer than a row may be is passed over."""
    held, size, begun = list[str](), 0, 1
    for number, line in enumerate(lines(chunks), 1):
        if line is not None and (not line.strip() or line.startswith("-DOCSTART-")):
            if held and size <= LINE_LIMIT:
                yield begun, held
            held, size = [], 0
            continue
        begun = begun if held else number
        told = size > LINE_LIMIT
        size += LINE_LIMIT + 1 if line is None else len(line) + 1
        if size <= LINE_LIMIT:
            held.append(line or "")
        elif not told:
            tally.wrong(f"{name} line {begun}", f"a sentence longer than {LINE_LIMIT} characters")
            held = [""]
    if held and size <= LINE_LIMIT:
        yield begun, held


def _words(width: int, held: list[str]) -> list[list[str]]:
    rows = [split(line) for line in held]
    if any(len(row) != width for row in rows):  # comments do; a word # has its columns
        rows = [row for row, line in zip(rows, held, strict=True) if len(row) == width or not line.startswith("# ")]
        wrong = next((row for row in rows if len(row) != width), None)
        if wrong is not None:
            raise Broken(f"{len(wrong)} columns where {width} were expected")
    return rows


def _ud_words(held: list[str]) -> list[list[str]]:
    rows = [line.split("\t") for line in held if line[:1] != "#"]
    wrong = next((row for row in rows if len(row) != len(UD)), None)
    if wrong is not None:
        raise Broken(f"{len(wrong)} columns where {len(UD)} were expected")
    kept = [row for row in rows if row[0].isdecimal()]
    strange = next((row[0] for row in rows if not row[0].isdecimal() and not _OTHER_ID.match(row[0])), None)
    if strange is not None:
        raise Broken(f"a word with the number {strange[:20]!r}")
    return kept
