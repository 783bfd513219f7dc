"""SentencePiece's model file, read without its library: a protobuf message of pieces and how text is made ready.

Field numbers are those of google/sentencepiece `sentencepiece_model.proto`. Nothing is allocated by a length the file
declares: every length is compared with what is left of the bytes first.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from polyhead.errors import TokenizerError
from polyhead.text.kinds import BYTE_TOKENS

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE, WORD, CHAR = range(1, 5)
MAX_PIECES, MAX_PIECE = 1_000_000, 512  # published: at most 262,144, and some dozens of characters

_FLOAT = struct.Struct("<f")
_USUAL = re.compile(rb"\n([\x01-\x7f])(.*)\x15(.{4})(?:\x18([\x01-\x06]))?", re.DOTALL)
_MODELS = {WORD: "word", CHAR: "char"}


class Piece(NamedTuple):
    text: str
    score: float
    kind: int


class PieceModel(NamedTuple):
    """What a model file says. charsmap: the compiled normaliser. prefix: a space is put before a text. collapse: spaces
    around it, and all but one of a run, are dropped. unk: the row of the unknown piece."""

    pieces: list[Piece]
    kind: int
    charsmap: bytes
    prefix: bool
    collapse: bool
    byte_fallback: bool
    unk: int


def read_model(data: bytes, where: str) -> PieceModel:
    """Parse a `tokenizer.model`, `spiece.model`, … Raises `TokenizerError` naming the field."""
    pieces: list[Piece] = []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    for number, value in _fields(data, (0, len(data)), where):
        if number == 1:
            if len(pieces) >= MAX_PIECES:
                raise _bad(where, "pieces", f"at most {MAX_PIECES:,}", "more")
            pieces.append(_piece(data, value, len(pieces), where))
        elif number in (2, 3) and isinstance(value, tuple):
            (trainer if number == 2 else normalizer).update(_fields(data, value, f"{where}: field {number}"))
    if not pieces:
        raise _bad(where, "pieces", "at least one", "none", "check that this is a SentencePiece model")
    kind = _number(trainer, 3, UNIGRAM, where)
    if kind not in (UNIGRAM, BPE):
        raise _bad(where, "trainer_spec.model_type", "unigram (1) or bpe (2)", f"{_MODELS.get(kind, '')} ({kind})")
    if _number(trainer, 24, 0, where) or not _number(normalizer, 5, 1, where):
        raise _bad(where, "normalizer_spec", "spaces written as ▁ before their word",
                   "treat_whitespace_as_suffix, or escape_whitespaces off")  # fmt: skip
    unknown = [row for row, piece in enumerate(pieces) if piece.kind == UNKNOWN]
    if len(unknown) != 1:
        raise _bad(where, "pieces", "exactly one unknown piece", str(len(unknown)))
    fallback = bool(_number(trainer, 35, 0, where))
    named = {piece.text for piece in pieces if piece.kind == BYTE}
    odd = sorted(named ^ ({*BYTE_TOKENS} if fallback else set()))
    if odd:
        raise _bad(where, "pieces", "the bytes <0x00> to <0xFF> exactly if trainer_spec.byte_fallback", repr(odd[0][:40]))
    charsmap = normalizer.get(2, (0, 0))
    if not isinstance(charsmap, tuple):
        raise _bad(where, "normalizer_spec.precompiled_charsmap", "bytes", "a number")
    return PieceModel(pieces, kind, data[slice(*charsmap)], bool(_number(normalizer, 3, 1, where)),
                      bool(_number(normalizer, 4, 1, where)), fallback, unknown[0])  # fmt: skip


def _piece(data: bytes, span: Any, row: int, where: str) -> Piece:
    if not isinstance(span, tuple):
        raise _bad(where, f"piece {row}", "a message", "a number")
    text, score, kind = b"", 0.0, NORMAL
    usual = _USUAL.fullmatch(data, *span)
    if usual and len(usual[2]) == usual[1][0]:  # as all writers write it; five times as fast
        text, score, kind = usual[2], _FLOAT.unpack(usual[3])[0], usual[4][0] if usual[4] else NORMAL
    else:
        for number, value in _fields(data, span, where):
            if number == 1 and isinstance(value, tuple):
                text = data[slice(*value)]
            elif number == 2 and isinstance(value, float):
                score = value
            elif number == 3 and isinstance(value, int):
                kind = value
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise _bad(where, f"piece {row}", "UTF-8", repr(text[:40])) from None
    if not 0 < len(decoded) <= MAX_PIECE:
        raise _bad(where, f"piece {row}", f"1 to {MAX_PIECE} characters", str(len(decoded)))
    if not math.isfinite(score):
        raise _bad(where, f"the score of piece {row}", "a finite number", str(score))
    if not NORMAL <= kind <= BYTE:
        raise _bad(where, f"the type of piece {row}", "1 to 6", str(kind))
    return Piece(decoded, score, kind)


def _fields(data: bytes, span: tuple[int, int], where: str) -> Iterator[tuple[int, Any]]:
    """(field number, value) of the message in a span: an int, a float, or the (start, end) of bytes."""
    at, end = span
    while at < end:
        key, at = _varint(data, at, end, where)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at, end, where)
            yield number, value
        elif wire == 2:
            size, at = _varint(data, at, end, where)
            if size > end - at:
                raise _bad(where, f"field {number} at byte {at}", f"at most {end - at} bytes", f"{size:,} declared")
            yield number, (at, at + size)
            at += size
        elif wire in (1, 5):
            size = 4 if wire == 5 else 8
            if size > end - at:
                raise _bad(where, f"field {number} at byte {at}", f"{size} bytes", "the end of the message")
            yield number, _FLOAT.unpack_from(data, at)[0] if wire == 5 else data[at : at + size]
            at += size
        else:
            raise _bad(where, f"byte {at}", "a protobuf message", f"wire type {wire}",
                       "check that this is a SentencePiece model")  # fmt: skip


def _varint(data: bytes, at: int, end: int, where: str) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _bad(where, f"byte {at}", "a number", "one that does not end")


def _number(fields: dict[int, Any], number: int, default: int, where: str) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise _bad(where, f"field {number}", "a number", type(value).__name__)
    return value


def _bad(where: str, field: str, expected: str, received: str, change: str | None = None) -> TokenizerError:
    return TokenizerError(f"{where}: {field} cannot be accepted", expected=expected, received=received, change=change)
