"""Documents of a packed corpus without their closing `<eos>`: cut into texts, or read as one stream."""

from __future__ import annotations

import numpy as np

from ...errors import DataError
from ..tokenfile import TokenFile
from .base import Windows

_REACH = 64  # tokens; of a small text a quarter


class Texts:
    """Each document cut into texts of at most `longest` tokens, as few and as even as can be; numbered in the corpus' order.

    A text never crosses documents. Documents of fewer than `least` tokens give none; `left_out` counts them. ends: (V,) bool,
    tokens that end a sentence: texts are then cut at the last such token before each even cut, where there is one near, so
    that both sides of a cut are whole sentences and every token stands in one text all the same.
    """

    def __init__(self, file: TokenFile, longest: int, least: int = 1, ends: np.ndarray | None = None) -> None:
        begins, length = bare(file)
        kept = np.flatnonzero(length >= least)
        self.file, self.longest, self.left_out = file, longest, len(length) - len(kept)
        self._begins, self._length, self._ends = begins[kept], length[kept], ends
        self._reach = min(_REACH, longest // 4) if ends is not None and longest >= 16 else 0
        self._cuts = np.where(self._length <= longest, 1, -(-self._length // (longest - self._reach)))
        self._first = np.concatenate([[0], np.cumsum(self._cuts)])

    def __len__(self) -> int:
        return int(self._first[-1])

    @property
    def documents(self) -> int:
        return len(self._begins)

    def place(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(first token, length), (B,) each, of texts by number."""
        document = self.document(index)
        number = index - self._first[document]
        start = self._edge(document, number)
        return start, self._edge(document, number + 1) - start

    def _edge(self, document: np.ndarray, number: np.ndarray) -> np.ndarray:
        """(B,) where the documents' cuts lie: 0 is the beginning, the last one the end."""
        length, cuts = self._length[document], self._cuts[document]
        edge = self._begins[document] + number * length // cuts
        if not self._reach or self._ends is None:
            return edge
        self.file.check()
        before = np.maximum(edge[:, None] - 1 - np.arange(self._reach), 0)
        stops = self._ends[self.file.tokens[before]]
        return np.where((number > 0) & (number < cuts) & stops.any(1), edge - stops.argmax(1), edge)

    def document(self, index: np.ndarray) -> np.ndarray:
        """(B,) the document that each text was cut from."""
        return np.searchsorted(self._first, index, side="right") - 1

    def end(self, document: np.ndarray) -> np.ndarray:
        """(B,) where the documents' last tokens end."""
        return self._begins[document] + self._length[document]

    def elsewhere(self, document: np.ndarray, random: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(document, text), drawn with uint64 `random`: any document but the given one, each alike, and any of its texts."""
        other = (random % np.uint64(self.documents - 1)).astype(np.int64)
        other += other >= document
        within = (random >> np.uint64(32)) % self._cuts[other].astype(np.uint64)
        return other, self._first[other] + within.astype(np.int64)

    def read(self, begin: np.ndarray, length: np.ndarray, width: int, pad: int) -> np.ndarray:
        """(B, width) int64: `length` tokens from `begin` in each row, then `pad`."""
        self.file.check()
        offset = np.arange(width)
        inside = offset < length[:, None]
        at = np.where(inside, begin[:, None] + offset, 0)
        return np.where(inside, self.file.tokens[at].astype(np.int64), pad)

    def too_short(self, batch: int) -> DataError:
        return DataError(
            f"the corpus is shorter than one batch: {len(self)} texts of at most {self.longest} tokens",
            expected=f"at least {batch} texts",
            received=f"{len(self.file)} tokens in {len(self.file.documents) - 1} documents",
            change=f"set the batch to {len(self)} or less, use a shorter context, or add text" if len(self) else "add text",
        )


class Stream:
    """All documents end to end without the `<eos>` between them, as T5 joins its texts."""

    def __init__(self, file: TokenFile) -> None:
        self._begins, length = bare(file)
        self.file, self._first = file, np.concatenate([[0], np.cumsum(length)])

    def __len__(self) -> int:
        return int(self._first[-1])

    def read(self, starts: np.ndarray, span: int) -> np.ndarray:
        """(B, span) int64 ids from each of `starts` (B,), which count the stream's tokens."""
        self.file.check()
        at = np.asarray(starts, np.int64)[:, None] + np.arange(span)
        document = np.searchsorted(self._first, at, side="right") - 1
        return self.file.tokens[self._begins[document] + at - self._first[document]].astype(np.int64)


class StreamWindows(Windows):
    """Windows of a Stream, one after the other, a phase per epoch. `starts` count the stream's tokens."""

    def __init__(self, file: TokenFile, span: int) -> None:
        self.stream = Stream(file)
        super().__init__(self.stream, span, span)  # type: ignore[arg-type]  # its length is all that is read

    def read(self, starts: np.ndarray) -> np.ndarray:
        return self.stream.read(starts, self.width)


def bare(file: TokenFile) -> tuple[np.ndarray, np.ndarray]:
    """(first token, tokens) of every document, its closing `<eos>` left out."""
    if file.kind != "text":
        raise DataError(f"{file.path} holds {file.kind}", expected="text", change="pack a source of text")
    begins, ends = file.documents[:-1], file.documents[1:]
    length = ends - begins
    if "eos" in file.special and len(file):
        closed = file.tokens[np.maximum(ends - 1, 0)] == file.special["eos"]
        length = length - (closed & (length > 0))
    return begins, length


def padding_of(special: dict[str, int]) -> int:
    """The id that stands where nothing is: `<pad>`, else any; what is padding never follows from an id."""
    return special.get("pad", special.get("eos", 0))
