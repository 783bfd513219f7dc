"""Text in bounded memory: documents travel as pieces, lines as strings of limited length.

A document may be larger than memory (a file of one line): nothing here holds more than a piece of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..text.read import cut_point

LINE_LIMIT = 1 << 24
"""Longest row, in characters, of a format that is read row by row."""
_BLANK_LIMIT = 1 << 16


class Piece(NamedTuple):
    """A part of a document; `ends` closes the document."""

    text: str
    ends: bool


class Pair(NamedTuple):
    """One example of a sequence-to-sequence task."""

    source: str
    target: str


class Referenced(Pair):
    """A pair whose target was said in other ways too, which an answer may be compared with. Training sees a Pair."""

    references: tuple[str, ...]

    def __new__(cls, source: str, target: str, references: tuple[str, ...]) -> Referenced:
        self = super().__new__(cls, source, target)
        self.references = references
        return self


def universal_lines(chunks: Iterable[str]) -> Iterator[str]:
    """The same text with every line end (CR LF, CR) turned into a line feed; U+2028 and the like stay characters."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode("", final=True)


def lines(chunks: Iterable[str], limit: int = LINE_LIMIT) -> Iterator[str | None]:
    """Lines without their ends (LF or CR LF; CR alone where a file has nothing else); None for one beyond `limit`."""
    held: list[str] = []
    size = 0
    for chunk in _feeds(chunks):
        *whole, rest = chunk.split("\n")
        for part in whole:
            yield _join(held, part, size + len(part) > limit)
            held, size = [], 0
        size += len(rest)
        if size <= limit:
            held.append(rest)
        else:
            held = []
    if size:
        yield _join(held, "", size > limit)


def _join(held: list[str], part: str, too_long: bool) -> str | None:
    if too_long:
        return None
    return ("".join(held) + part if held else part).removesuffix("\r")


def _feeds(chunks: Iterable[str]) -> Iterator[str]:
    chunks = iter(chunks)
    first = next(chunks, "")
    old_mac = "\r" in first[:-1] and "\n" not in first
    rest = _chain(first, chunks)
    return universal_lines(rest) if old_mac else rest


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def whole_document(chunks: Iterable[str]) -> Iterator[Piece]:
    """All the text as one document."""
    for chunk in chunks:
        yield Piece(chunk, False)
    yield Piece("", True)


def line_documents(chunks: Iterable[str]) -> Iterator[Piece]:
    """Every line a document, its line end left out."""
    for chunk in chunks:
        *whole, rest = chunk.split("\n")
        for part in whole:
            yield Piece(part, True)
        yield Piece(rest, False)
    yield Piece("", True)


def blank_documents(chunks: Iterable[str]) -> Iterator[Piece]:
    """Documents separated by blank lines."""
    opened = seen = False  # a document is open; the present line has shown something visible
    blank = ""  # the white space that the present line began with
    for part, ends in line_documents(chunks):
        if seen:
            yield Piece(part, False)
        elif part.isspace() or not part:
            blank = (blank + part)[-_BLANK_LIMIT:]
        else:
            yield Piece(("\n" if opened else "") + blank + part, False)
            opened = seen = True
        if ends:
            if not seen and opened:
                yield Piece("", True)
                opened = False
            seen, blank = False, ""
    if opened:
        yield Piece("", True)


def visible(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Leaves out documents of nothing but white space (those of more than 64K characters are kept)."""
    held = ""
    shown = False
    for text, ends in pieces:
        if not shown:
            held += text
            if held and (len(held) > _BLANK_LIMIT or not held.isspace()):
                yield Piece(held, ends)
                shown = True
        elif text or ends:
            yield Piece(text, ends)
        if ends or shown:
            held = ""
        if ends:
            shown = False


def steady(pieces: Iterable[Piece], size: int) -> Iterator[Piece]:
    """The same documents in pieces of about `size` characters, cut where tokenizers cut too."""
    held = ""
    for text, ends in pieces:
        held += text
        while len(held) > 2 * size:
            at = cut_place(held, size)
            yield Piece(held[:at], False)
            held = held[at:]
        if ends:
            yield Piece(held, True)
            held = ""


def cut_place(text: str, size: int) -> int:
    """Where to cut `text`, between size/2 and `size`: before a single space, which every kind of tokenizer takes as
    the beginning of a word; where there is none, as files are cut."""
    low, at = max(size // 2, 1), size
    while (at := text.rfind(" ", low, at)) > 0:
        if not text[at - 1].isspace() and not text[at + 1].isspace():
            return at
    return cut_point(text, size)
