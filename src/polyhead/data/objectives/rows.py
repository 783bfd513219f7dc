"""Rows for masked training before anything is hidden: windows of the corpus, or two segments of a pair task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Tokens
from ..order import key, noise
from ..tokenfile import TokenFile
from .base import Windows, by_epoch
from .enclosed import Enclosing, Side
from .texts import Texts, padding_of
from .words import sentence_ends

if TYPE_CHECKING:
    from ...text import Tokenizer

PAIRINGS = ("next", "order")
_CHOOSE = 0x3A5C
_LABEL, _CUT, _OTHER, _OTHER_CUT, _SHORT, _SHORT_CUT = range(1, 7)
_MULTIPLE = 8


class Rows(NamedTuple):
    """tokens: `ids` as torch holds them, with positions, segments, types. keys: (B,) random bits. allowed: (B, T), False on
    padding and what was put around the text. breaks: (B, T), where a text begins inside a row. counted: (B, T), where
    something hidden is asked for, None = wherever allowed. labels: (B,) of the pair task."""

    tokens: Tokens
    ids: np.ndarray
    keys: np.ndarray
    allowed: np.ndarray
    breaks: np.ndarray | None = None
    counted: np.ndarray | None = None
    labels: np.ndarray | None = None


class WindowRows:
    """Windows between `<cls>` and `<sep>` (or `<bos>` and `<eos>`), or what the tokenizer has of them; all of one length."""

    ragged = False

    def __init__(self, file: TokenFile, context: int, tokenizer: Tokenizer, documents: bool, whole_words: bool) -> None:
        first = tokenizer.bos if tokenizer.cls is None else tokenizer.cls
        last = tokenizer.eos if tokenizer.sep is None else tokenizer.sep
        self._before, self._after = [first] * (first is not None), [last] * (last is not None)
        body = context - len(self._before) - len(self._after)
        if body < 1:
            raise ConfigError(
                "the context leaves no room for text", expected=f"more than {context - body}", received=str(context)
            )
        self.windows, self._context, self._documents, self._whole = Windows(file, body, body), context, documents, whole_words

    def __len__(self) -> int:
        return self.windows.count

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.full(len(indices), self._context),)

    def too_short(self, batch: int) -> DataError:
        special = self._context - self.windows.span
        return self.windows.too_short(batch, f"the context less {special} special tokens", 0, self.fits())

    def fits(self) -> int:
        return len(self.windows.file) + self._context - self.windows.span

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Rows:
        return self._rows(self.windows.starts(indices, epoch, seed), sample_keys(indices, epoch, seed), None)

    def evaluation(self, batch: int, rank: int, world: int) -> Iterator[Rows]:
        for starts, skip in self.windows.evaluation(batch, rank, world):
            yield self._rows(starts, noise(starts.astype(np.uint64)), skip)

    def _rows(self, starts: np.ndarray, keys: np.ndarray, skip: np.ndarray | None) -> Rows:
        body = self.windows.read(starts).astype(np.int64)
        left, right, width = len(self._before), len(self._after), body.shape[1]
        ids = np.empty((len(body), left + width + right), np.int64)
        ids[:, :left], ids[:, left + width :], ids[:, left : left + width] = self._before, self._after, body
        place = np.arange(ids.shape[1]) - left
        allowed = np.broadcast_to((place >= 0) & (place < width), ids.shape)
        counted = None if skip is None else place >= skip[:, None]
        tokens, breaks = Tokens(torch.from_numpy(ids)), None
        if self._documents or self._whole:
            segment, position = self._around(starts)
            breaks = np.zeros(ids.shape, bool)
            breaks[:, 1:] = segment[:, 1:] != segment[:, :-1]
            if self._documents:
                tokens = tokens._replace(pos=torch.from_numpy(position), segment=torch.from_numpy(segment))
        return Rows(tokens, ids, keys, allowed, breaks, counted)

    def _around(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Document numbers and positions; <cls> belongs to the window's first document and <sep> to its last."""
        document, position = self.windows.documents(starts)
        left, right = len(self._before), len(self._after)
        last = document.shape[1] - right
        segment = np.concatenate([document[:, :left], document, document[:, last:]], 1)
        position = position + np.where(document == 0, left, 0)
        return segment, np.concatenate([position[:, :left] * 0, position, position[:, last:] + 1], 1)


class PairRows:
    """Two segments of one text, or one and a stranger, between the tokenizer's tokens for a pair; padded on the right.

    Texts are documents cut into at most what the context holds, at the ends of sentences (`Texts`): half a sentence at the
    end of a segment would tell which it was. A text is cut in two at the end of a sentence too, each one alike, or at any
    token where none ends inside. "next" (Devlin et al. 2019 §3.1 task 2): half of the second segments come from another
    document, cut likewise; they end with the sentence that makes them most nearly as long as the one they stand for. "order"
    (Lan et al. 2020 §3.1, ALBERT): half of the pairs are swapped. short: the share of texts that are cut short, to any
    length of 2 or more, less the sentence that is cut through.
    """

    ragged = True

    def __init__(self, file: TokenFile, context: int, tokenizer: Tokenizer, pairing: str, short: float) -> None:
        if pairing not in PAIRINGS:
            raise ConfigError("no such pair task", expected=" | ".join((*PAIRINGS, "None")), received=repr(pairing))
        if not 0 <= short < 1:
            raise ConfigError("the share of short texts", expected="0 or more, less than 1", received=str(short))
        self._frame = Enclosing(tokenizer.framed(), file.special, True, types=True)
        self._pairing, self._short = pairing, short
        room = self._frame.room(context, 2)
        self._context, self._room, self._ends = context, room, sentence_ends(tokenizer)
        self.texts = Texts(file, room, 2, self._ends)
        self._tokens, self._pad = file.tokens, padding_of(file.special)
        if pairing == "next" and self.texts.documents < 2:
            raise DataError(
                f"next sentence prediction needs strangers: {file.path} holds {self.texts.documents} document of two tokens"
                " or more",
                expected="at least 2 documents", received=f"{len(file.documents) - 1} in all",
                change="training.objective.pairing=order, or say where documents begin: data.split=line or blank, or a folder of files",
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.texts)

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.texts.place(np.asarray(indices, np.int64))[1] + self._frame.extra,)

    def too_short(self, batch: int) -> DataError:
        return self.texts.too_short(batch)

    def fits(self) -> None:
        return None

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Rows:
        return self._rows(np.asarray(indices, np.int64), sample_keys(indices, epoch, seed), self._short)

    def evaluation(self, batch: int, rank: int, world: int) -> Iterator[Rows]:
        """Every text once, none cut short; tokens of a stranger carry no weight, so that nothing counts twice."""
        for at in range(rank * batch, len(self), world * batch):
            index = np.arange(at, min(at + batch, len(self)))
            yield self._rows(index, noise(index.astype(np.uint64)), 0.0, strangers_count=False)

    def _rows(self, index: np.ndarray, keys: np.ndarray, short: float, strangers_count: bool = True) -> Rows:
        begin, length = self.texts.place(index)
        if short:
            drawn = 2 + (_draw(keys, _SHORT_CUT) % (length - 1).astype(np.uint64)).astype(np.int64)
            length = np.where(_draw(keys, _SHORT) / 2.0**64 < short, self._whole(begin, drawn, 2, drawn), length)
        labels = (_draw(keys, _LABEL) >> np.uint64(63)).astype(np.int64)
        cut = self._cut(begin, length, _draw(keys, _CUT))
        first, second = (begin, cut), (begin + cut, length - cut)
        if self._pairing == "next":
            stranger, drawn = self._stranger(index, length - cut, self._room - cut, keys)
            second = (np.where(labels, stranger, second[0]), np.where(labels, drawn, second[1]))
        else:
            swapped = labels == 1
            pairs = [(np.where(swapped, y, x), np.where(swapped, x, y)) for x, y in zip(first, second, strict=True)]
            first, second = (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])
        rows, in_second = self._place(Side(self._tokens, *first), Side(self._tokens, *second), keys, labels)
        if self._pairing == "next" and not strangers_count:
            rows = rows._replace(counted=~(in_second & (labels == 1)[:, None]))
        return rows

    def _cut(self, begin: np.ndarray, length: np.ndarray, random: np.ndarray) -> np.ndarray:
        """(B,) tokens of the first segment, 1 … length − 1."""
        ids = self.texts.read(begin, length, int(length.max()), self._pad)
        after = np.arange(1, ids.shape[1] + 1)
        ends = self._ends[ids] & (after < length[:, None])
        count = np.cumsum(ends, 1)
        known = count[:, -1]
        pick = (random % np.maximum(known, 1).astype(np.uint64)).astype(np.int64)
        anywhere = 1 + (random % (length - 1).astype(np.uint64)).astype(np.int64)
        return np.where(known > 0, (count > pick[:, None]).argmax(1) + 1, anywhere)

    def _whole(self, begin: np.ndarray, wanted: np.ndarray, least: int, most: np.ndarray) -> np.ndarray:
        """(B,) the length most nearly `wanted`, `least` to `most`, at which a sentence ends; `wanted` where none does."""
        ids = self.texts.read(begin, most, int(most.max()), self._pad)
        length = np.arange(1, ids.shape[1] + 1)
        good = self._ends[ids] & (length >= least) & (length <= most[:, None])
        nearest = np.where(good, abs(length - wanted[:, None]), ids.shape[1] + 1).argmin(1)
        return np.where(good.any(1), nearest + 1, wanted)

    def _stranger(
        self, index: np.ndarray, wanted: np.ndarray, room: np.ndarray, keys: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(first token, length) of a second segment out of another document: of about the length `wanted`, `room` at most."""
        other, text = self.texts.elsewhere(self.texts.document(index), _draw(keys, _OTHER))
        begin, length = self.texts.place(text)
        begin = begin + self._cut(begin, length, _draw(keys, _OTHER_CUT))
        left = self.texts.end(other) - begin
        return begin, self._whole(begin, np.minimum(wanted, left), 1, np.minimum(room, left))

    def _place(self, first: Side, second: Side, keys: np.ndarray, labels: np.ndarray) -> tuple[Rows, np.ndarray]:
        """The rows, and where the second segment's text stands in them."""
        placed = self._frame.rows(first, second, _MULTIPLE, self._context)
        assert placed.tokens.ids is not None, "rows of ids"
        ids = placed.tokens.ids.numpy()
        place = np.arange(ids.shape[1])
        in_a, in_b = (
            (place >= start[:, None]) & (place < (start + side.length)[:, None])
            for start, side in ((placed.first, first), (placed.second, second))
        )
        return Rows(placed.tokens, ids, keys, in_a | in_b, None, None, labels), in_b


def sample_keys(indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> np.ndarray:
    """(B,) uint64, of (seed, epoch, sample) alone."""
    return noise(by_epoch(epoch, lambda e: key(seed, e, _CHOOSE)) + np.asarray(indices).astype(np.uint64))


def _draw(keys: np.ndarray, what: int) -> np.ndarray:
    """(B,) uint64 for one question about each sample."""
    return noise(keys ^ np.uint64(what << 56))
