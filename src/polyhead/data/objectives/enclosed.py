"""One text or two in a row, between the special tokens that the tokenizer puts around them, padded on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Tokens
from .pooled import padded
from .texts import padding_of

if TYPE_CHECKING:
    from ...text import Tokenizer
    from ..examplefile import ExampleFile


class Side(NamedTuple):
    """One text of each row: `length` (B,) of `values` from `begin` (B,) on."""

    values: np.ndarray
    begin: np.ndarray
    length: np.ndarray


class Placed(NamedTuple):
    """tokens: the rows. total: (B,) tokens of each. first, second: (B,) where each text begins in its row."""

    tokens: Tokens
    total: np.ndarray
    first: np.ndarray
    second: np.ndarray


class Enclosing:
    """What `tokenizer.wrap` puts around one text (paired False) or two, for many rows at once.

    types: whether the model has token types; they are left out where all are 0. marks: which tokens see and are seen by all
    (Longformer §3.1): the "first" of each row, or all of the "question" and what stands before it; None: nobody.
    """

    def __init__(
        self, tokenizer: Tokenizer, special: dict[str, int], paired: bool, *, types: bool, marks: Literal["first", "question"] | None = None
    ) -> None:
        ids, kinds = tokenizer.wrap([-1], [-2] if paired else None)
        a, b = ids.index(-1), ids.index(-2) if paired else len(ids)
        parts = list(zip(ids, kinds, strict=True))
        self.before, self.between, self.after = parts[:a], parts[a + 1 : b], parts[b + 1 :]
        self.extra, self.paired = len(ids) - 1 - paired, paired
        self._kinds = kinds[a], kinds[b] if paired else 0
        self._typed, self._marks, self._pad = types and any(kinds), marks, padding_of(special)
        self.begins_special = bool(self.before) and self.before[0][0] in tokenizer.special

    def room(self, context: int, least: int) -> int:
        """Tokens of text that fit into a row of `context`. Raises ConfigError for fewer than `least`."""
        if context - self.extra < least:
            raise ConfigError(
                "the context leaves no room for text",
                expected=f"at least {self.extra + least}: {self.extra} special tokens and {least} of text",
                received=str(context),
            )
        return context - self.extra

    def rows(self, first: Side, second: Side | None, multiple: int, context: int) -> Placed:
        """The rows, as wide as the longest needs: a multiple of `multiple`, at most `context`."""
        n = len(first.begin)
        second = second or Side(first.values, np.zeros(n, np.int64), np.zeros(n, np.int64))
        from_a = np.full(n, len(self.before))
        from_b = from_a + first.length + len(self.between)
        end = from_b + second.length
        total = end + len(self.after)
        width = min(max(context, int(total.max())), -(-int(total.max()) // multiple) * multiple)
        ids = np.full((n, width), self._pad, np.int64)
        types = np.zeros((n, width), np.int64)
        place, row = np.arange(width), np.arange(n)
        for (values, begin, length), start, kind in zip((first, second), (from_a, from_b), self._kinds, strict=True):
            inside = (place >= start[:, None]) & (place < (start + length)[:, None])
            at = (begin - start)[:, None] + place
            ids[inside], types[inside] = values[at[inside]], kind
        for begin, told in ((0 * from_a, self.before), (from_a + first.length, self.between), (end, self.after)):
            for i, (number, kind) in enumerate(told):
                ids[row, begin + i], types[row, begin + i] = number, kind
        tokens = padded(ids, total, types if self._typed else None)
        if self._marks:
            seen = from_a + first.length if self._marks == "question" else np.ones(n, np.int64)
            tokens = tokens._replace(mark=torch.from_numpy(place < seen[:, None]))
        return Placed(tokens, total, from_a, from_b)


def lengths_of(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(begin, length) of ragged examples."""
    return np.asarray(offsets[:-1], np.int64), np.diff(offsets).astype(np.int64)


def check_file(file: ExampleFile, tokenizer: Tokenizer, kind: str) -> None:
    """Raises DataError for examples of another kind, or packed with another tokenizer."""
    if file.kind != kind:
        raise DataError(
            f"{file.path} holds {file.kind}", expected=kind, received=file.kind, change="pack a source of that kind"
        )
    if tokenizer.vocab_size != file.vocab_size:
        raise DataError(
            f"{file.path} was packed with another tokenizer",
            expected=f"a vocabulary of {file.vocab_size}",
            received=f"{tokenizer.vocab_size}",
            change="pack the data again with this tokenizer",
        )


def too_few(count: int, batch: int, what: str) -> DataError:
    """The error for fewer than `batch` samples."""
    return DataError(
        f"the data is shorter than one batch: {count} {what}",
        expected=f"at least {batch} {what}",
        received=f"{count}",
        change=f"set the batch to {count} or less, or add data" if count else "add data",
    )
