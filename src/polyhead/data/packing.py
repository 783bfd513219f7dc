"""From a source to a packed corpus: encode once, keep the ids, and use them again while nothing has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import DataError
from ..text.turns import give_template
from .encoding import encode
from .examplefile import ExampleFile, ExampleWriter
from .pieces import Piece, steady
from .sources import Source
from .tokenfile import PairFile, TokenFile, TokenWriter

if TYPE_CHECKING:
    from ..text import Tokenizer

_PIECE = 1 << 14  # characters encoded as one text
_GROUP = 1 << 17  # characters encoded in one call
_SPECIAL = ("pad", "bos", "eos", "unk", "mask", "cls", "sep")
Progress = Callable[[int], None]
File = TypeVar("File", TokenFile, ExampleFile)


def pack(
    source: Source,
    tokenizer: Tokenizer | None,
    path: str | Path,
    *,
    eos: bool | None = None,
    labels: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> TokenFile | PairFile | ExampleFile:
    """The packed corpus at `path`: as it lies there if it was made from the same text with the same tokenizer, else
    made now. Memory does not grow with the corpus.

    tokenizer: None for pictures; conversations give one without a chat template the default one. eos: put `<eos>` after every
    document; None: where the tokenizer has one. Pairs are stored without special tokens.
    labels: the training part's, `facts["labels"]`, for a held part: one that is not among them is an error; None: the
    source's own. progress: called with the characters encoded so far. `source.kind` "text" gives a TokenFile, "pairs" a
    PairFile, any other an ExampleFile.
    Raises DataError for a source without tokens or one that changes while it is read, DiskError for a full disk.
    """
    path = Path(path)
    if source.kind not in ("text", "pairs"):
        return _pack_examples(source, tokenizer, path, labels, progress)
    if tokenizer is None:
        raise DataError(
            f"{source.name} holds {source.kind}, which a tokenizer must encode", expected="a tokenizer", received="None"
        )
    if eos and tokenizer.eos is None:
        raise DataError("the tokenizer has no <eos> to end documents with", change="leave eos out, or add the token")
    end = tokenizer.eos if eos is not False and source.kind == "text" else None
    mark = _fingerprint(source, tokenizer, end)
    if (known := _kept(path, mark, TokenFile)) is None:
        with TokenWriter(path, tokenizer.vocab_size) as writer:
            if source.kind == "text":
                _write_text(writer, source, tokenizer, end, progress)
            else:
                _write_pairs(writer, source, tokenizer, progress)
            _confirm(source, writer.tokens, mark, _fingerprint(source, tokenizer, end))
            writer.finish(kind=source.kind, special=_special(tokenizer), fingerprint=mark, notes=source.notes)
        known = TokenFile(path)
    return known if source.kind == "text" else PairFile(path)


def is_packed(source: Source, tokenizer: Tokenizer | None, path: str | Path, labels: Sequence[str] | None = None) -> bool:
    """Whether `path` holds what `pack` would make of this source now."""
    if source.kind not in ("text", "pairs"):
        return _kept(Path(path), _fingerprint(source, tokenizer, None, labels), ExampleFile) is not None
    end = tokenizer.eos if tokenizer is not None and source.kind == "text" else None
    return _kept(Path(path), _fingerprint(source, tokenizer, end), TokenFile) is not None


def _pack_examples(
    source: Source, tokenizer: Tokenizer | None, path: Path, labels: Sequence[str] | None, progress: Progress | None
) -> ExampleFile:
    if tokenizer is not None and source.kind in ("chat", "preferences"):
        give_template(tokenizer)
    mark = _fingerprint(source, tokenizer, None, labels)
    if (known := _kept(path, mark, ExampleFile)) is not None:
        return known
    with ExampleWriter(path, tokenizer.vocab_size if tokenizer else 0) as writer:
        count, facts = encode(writer, source, tokenizer, labels, progress)
        _confirm(source, count, mark, _fingerprint(source, tokenizer, None, labels))
        notes = source.notes + facts.pop("notes", [])
        writer.finish(count, kind=source.kind, facts=facts, special=_special(tokenizer), fingerprint=mark, notes=notes)
    return ExampleFile(path)


def _special(tokenizer: Tokenizer | None) -> dict[str, int]:
    return {name: value for name in _SPECIAL if (value := getattr(tokenizer, name, None)) is not None}


def _kept(path: Path, mark: str, kind: type[File]) -> File | None:
    try:
        file = kind(path) if path.exists() else None
    except DataError:  # damaged: it is a copy, and is made again
        return None
    return file if file is not None and file.fingerprint == mark else None


def _confirm(source: Source, tokens: int, before: str, after: str) -> None:
    if before != after:
        raise DataError(
            f"{source.name} changed while it was read",
            expected="files that stay as they are",
            change="wait until they are complete and start again",
        )
    if not tokens:
        raise DataError(
            f"{source.name} gives no tokens", received="text of which the tokenizer keeps nothing", change="add text"
        )


def _fingerprint(
    source: Source, tokenizer: Tokenizer | None, eos: int | None, labels: Sequence[str] | None = None
) -> str:
    encoder = tokenizer and tokenizer.fingerprint
    facts = {"format": 1, "source": source.identity(), "tokenizer": encoder, "eos": eos}
    if source.kind not in ("text", "pairs"):
        facts |= {"kind": source.kind, "labels": None if labels is None else list(labels)}
    if source.kind in ("chat", "preferences") and tokenizer is not None:
        facts["templates"] = tokenizer.templates
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _write_text(
    writer: TokenWriter, source: Source, tokenizer: Tokenizer, eos: int | None, progress: Progress | None
) -> None:
    done, last_cut, encode = 0, source.cut_short, _Encoder(tokenizer)
    for group in _groups(steady(source.pieces(), _PIECE)):
        for piece, ids in zip(group, encode(group), strict=True):
            writer.add(ids)
            writer.bytes += len(piece.text.encode())
            if piece.ends:
                if eos is not None and not last_cut:
                    writer.add([eos])
                writer.close_document()
        done += sum(len(piece.text) for piece in group)
        if progress:
            progress(done)


class _Encoder:
    """Encodes pieces so that a document's ids do not show where it was cut.

    A tokenizer may put a space before a text; it must not before a piece that goes on with a document. A piece that
    begins with a space gets none in most tokenizers, and can then be encoded in a batch like a beginning.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._at_start = tokenizer, True
        self._batched = tokenizer.encode(" a b") == tokenizer.encode(" a b", start=False)

    def __call__(self, group: list[Piece]) -> list[list[int]]:
        together: list[int] = []
        out: list[list[int]] = [[] for _ in group]
        for i, piece in enumerate(group):
            if self._at_start or (self._batched and piece.text[:1] == " "):
                together.append(i)
            else:
                out[i] = self._tokenizer.encode(piece.text, start=False)
            self._at_start = piece.ends
        encoded = self._tokenizer.encode_batch([group[i].text for i in together])
        for i, ids in zip(together, encoded, strict=True):
            out[i] = ids
        return out


def _write_pairs(writer: TokenWriter, source: Source, tokenizer: Tokenizer, progress: Progress | None) -> None:
    done = 0
    sides = (Piece(text, True) for pair in source.pairs() for text in pair)
    for group in _groups(sides):
        for piece, ids in zip(group, tokenizer.encode_batch([piece.text for piece in group]), strict=True):
            writer.add(ids)
            writer.bytes += len(piece.text.encode())
            writer.close_document(keep_empty=True)
        done += sum(len(piece.text) for piece in group)
        if progress:
            progress(done)


def _groups(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece.text) + 64  # many tiny documents are a load too
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group
