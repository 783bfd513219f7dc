"""Tagging: every word of a sentence is asked for its tag at its first sub-token (Devlin et al. 2019 §5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch
from ..examplefile import ExampleFile
from .enclosed import Enclosing, Side, check_file, lengths_of, too_few
from .pooled import Pooled

if TYPE_CHECKING:
    from ...text import Tokenizer


class Tag(Pooled):
    """A row is `<cls>` sentence `<sep>`, as `tokenizer.wrap` has it; targets (B, T) long are tags, weights (B, T) 1 at the
    first sub-token of each word and 0 elsewhere.

    A sentence longer than `context` (special tokens included) is read in windows of whole words. A window begins with the
    last quarter of the one before, so that its words have something on their left; every word is asked for once, in the
    first window that holds it. `over_long` counts such sentences. A word longer than a window loses its end, never its
    first sub-token. types: see Enclosing.
    sentence: (N,) the sentence of each row. Rows of about one length stand in a batch.
    """

    def __init__(
        self,
        file: ExampleFile,
        tokenizer: Tokenizer,
        context: int = 512,
        *,
        types: bool = True,
        multiple: int = 1,
        pool: int = 64,
    ) -> None:
        super().__init__(multiple, pool)
        check_file(file, tokenizer, "tagged")
        if len(file.facts["labels"]) < 2:
            raise ConfigError(
                f"{file.path} has a single tag", expected="two tags at least", received=", ".join(file.facts["labels"])
            )
        self.file, self.context = file, context
        self._around = Enclosing(tokenizer, file.special, False, types=types)
        self._room = self._around.room(context, 1)
        self._ids, offsets = file.ragged("text")
        self._words, self._tags = file.array("word"), file.array("tag")
        self._tag_begin = np.asarray(file.ragged("tag")[1][:-1], np.int64)
        self._begin, length = lengths_of(offsets)
        long = np.flatnonzero(length > self._room)
        self.over_long, self.notes = len(long), list[str]()
        self._cut(long, length)

    def _cut(self, long: np.ndarray, length: np.ndarray) -> None:
        """sentence, first token, length and first token that is asked for of every row, in the file's order."""
        short = np.flatnonzero(length <= self._room)
        rows = [np.stack([short, self._begin[short], length[short], self._begin[short]], 1)]
        cut = 0
        for i in long.tolist():
            begin = int(self._begin[i])
            starts = _firsts(np.asarray(self._words[begin : begin + length[i]]))
            spans, more = windows(starts, int(length[i]), self._room)
            cut += more
            rows.append(np.array([(i, begin + a, b - a, begin + asked) for a, b, asked in spans], np.int64))
        table = np.concatenate(rows)
        table = table[np.lexsort((table[:, 1], table[:, 0]))]
        self.sentence, self._first, self._length, self._asked = (np.ascontiguousarray(column) for column in table.T)
        if self.over_long:
            self.notes.append(
                f"{self.over_long} of {len(self.file)} sentences are longer than {self.context} tokens: read in windows"
            )
        if cut:
            self.notes.append(f"{cut} words are longer than a window and lose their ends")

    def __len__(self) -> int:
        return len(self.sentence)

    def too_short(self, batch: int) -> DataError:
        return too_few(len(self), batch, "tagged sentences")

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Tokens of each row, special ones included."""
        return (self._length[indices] + self._around.extra,)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        self.file.check()
        at = np.asarray(indices, np.int64)
        begin, length, sentence = self._first[at], self._length[at], self.sentence[at]
        placed = self._around.rows(Side(self._ids, begin, length), None, self.multiple, self.context)
        assert placed.tokens.ids is not None
        place = np.arange(placed.tokens.ids.shape[1]) - placed.first[:, None]
        inside = (place >= 0) & (place < length[:, None])
        token = np.where(inside, begin[:, None] + place, 0)
        word = self._words[token].astype(np.int64)
        first = (token == self._begin[sentence][:, None]) | (word != self._words[np.maximum(token - 1, 0)])
        asked = inside & first & (token >= self._asked[at][:, None])
        targets = np.where(asked, self._tags[np.where(asked, self._tag_begin[sentence][:, None] + word, 0)], 0)
        weights = torch.from_numpy(asked.astype(np.float32))
        return Batch(placed.tokens, torch.from_numpy(targets.astype(np.int64)), weights)


def _firsts(words: np.ndarray) -> np.ndarray:
    """Where words begin, given the word of each token."""
    return np.flatnonzero(np.diff(words.astype(np.int64), prepend=-1))


def windows(starts: np.ndarray, length: int, room: int) -> tuple[list[tuple[int, int, int]], int]:
    """((begin, end, first that is asked for) of windows of at most `room` tokens, words cut short) over `length` tokens
    whose words begin at `starts`."""
    found: list[tuple[int, int, int]] = []
    bounds, asked, cut = np.append(starts, length), 0, 0
    while asked < length:
        # a quarter of what was read before, from the beginning of a word, as long as the next word fits behind it
        after = int(bounds[np.searchsorted(bounds, asked, "right")])
        least = max(asked - room // 4, after - room)
        begin = int(starts[np.searchsorted(starts, max(least, 0))]) if asked and least <= asked else asked
        end = int(bounds[np.searchsorted(bounds, begin + room, "right") - 1])
        if end <= asked:  # the word by itself is too long
            begin, end, cut = asked, asked + room, cut + 1
            found.append((begin, end, asked))
            asked = after
            continue
        found.append((begin, end, asked))
        asked = end
    return found, cut
