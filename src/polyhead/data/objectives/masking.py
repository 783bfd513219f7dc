"""Which tokens of a batch are hidden, and behind what: single tokens, whole words, or spans of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import ConfigError
from ..order import noise
from .words import words_of

if TYPE_CHECKING:
    from ...text import Tokenizer

UNITS = ("token", "word", "span")
SPAN_P, SPAN_LONGEST = 0.2, 10  # SpanBERT §3.1: lengths ~ Geo(0.2), at most 10 words, 3.8 on average
_BITS = 24
_SPAN_WORDS = np.arange(SPAN_LONGEST)
_REPLACE, _SPAN, _LENGTH = 0x91D7, 0x5BA2, 0x1E27


def span_shares() -> np.ndarray:
    """(10,) the chance of each length 1 … 10: Geo(0.2) up to 10, as SpanBERT's code has it (`PairWithSpanMaskingScheme`)."""
    shares = SPAN_P * (1 - SPAN_P) ** np.arange(SPAN_LONGEST)
    return shares / shares.sum()


def uniform(random: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) from the upper bits of uint64."""
    return (random >> np.uint64(64 - _BITS)).astype(np.float64) / (1 << _BITS)


class Masking:
    """Chooses and hides. rate: the share of ordinary tokens that are asked for. split: the shares of those that become
    `<mask>`, a random ordinary token, or stay. Special tokens are never chosen and never drawn.

    unit: "token": each by itself (Devlin et al. 2019). "word": all pieces of a word or none, each word with the chance
    `rate`; what becomes of a piece is decided for each, as in BERT's code. "span": spans of whole words are drawn until
    `rate` of the row is chosen, and share their fate (Joshi et al. 2020, arXiv 1907.10529 §3.1).
    """

    def __init__(self, tokenizer: Tokenizer, rate: float, split: tuple[float, float, float], unit: str) -> None:
        if tokenizer.mask is None:
            raise ConfigError(
                "masked training needs a tokenizer with a <mask> token",
                received=f"a {tokenizer.kind} tokenizer without one",
                change="train the tokenizer with its default special tokens",
            )
        if not 0 < rate < 1:
            raise ConfigError("the masking rate is a share", expected="between 0 and 1", received=str(rate))
        if len(split) != 3 or min(split) < 0 or abs(sum(split) - 1) > 1e-6:
            raise ConfigError(
                "the split of the chosen tokens must be three shares (mask, random, kept)",
                expected="non-negative numbers with the sum 1",
                received=str(split),
            )
        if unit not in UNITS:
            raise ConfigError("no such unit of masking", expected=" | ".join(UNITS), received=repr(unit))
        self.rate, self.split, self.unit, self.mask = rate, split, unit, tokenizer.mask
        self.is_special = special_of(tokenizer)
        self._ordinary = np.flatnonzero(~self.is_special)
        self._words = None if unit == "token" else words_of(tokenizer)
        self._lengths = np.cumsum(span_shares())[:-1]

    def choose(
        self, ids: np.ndarray, keys: np.ndarray, allowed: np.ndarray, breaks: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(chosen (B, T) bool, fate (B, T) in [0, 1)) of rows of ids. keys: (B,) uint64 of the samples; allowed: (B, T), False
        on padding and what was put around the text; breaks: (B, T), True where a text begins inside a row."""
        allowed = allowed & ~self.is_special[ids]
        random = noise(keys[:, None] + np.arange(ids.shape[1], dtype=np.uint64))
        share = np.uint64(self.rate * (1 << _BITS))
        low = np.uint64((1 << _BITS) - 1)
        if self._words is None:
            return allowed & (random & low < share), uniform(random)
        starts = self._words.starts(ids) | ~allowed
        starts[:, 1:] |= ~allowed[:, :-1]
        starts |= False if breaks is None else breaks
        if self.unit == "word":
            first = np.maximum.accumulate(np.where(starts, np.arange(ids.shape[1]), 0), axis=1)
            return allowed & (np.take_along_axis(random, first, 1) & low < share), uniform(random)
        chosen, anchor = self._spans(starts, keys ^ np.uint64(_SPAN), allowed, breaks)
        return chosen, uniform(np.take_along_axis(random, anchor, 1))

    def _spans(
        self, starts: np.ndarray, keys: np.ndarray, allowed: np.ndarray, breaks: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(chosen (B, T), the place where each one's span begins (B, T)): one span per row and turn, from a word that is not
        chosen yet to the end of its length, of the text, or of what is left to choose: of the word at that limit, all or
        nothing, whichever is nearer."""
        word = np.cumsum(starts, 1) - 1
        count = int(word.max()) + 1
        row, place = np.nonzero(starts)
        head, free = np.zeros((len(starts), count), np.int64), np.zeros((len(starts), count), bool)
        head[row, word[row, place]], free[row, word[row, place]] = place, allowed[row, place]
        size = np.bincount((word + count * np.arange(len(word))[:, None]).ravel(), minlength=head.size).reshape(head.shape)
        text = np.take_along_axis(np.cumsum(~allowed if breaks is None else ~allowed | breaks, 1), head, 1)
        chosen, anchor = np.zeros(head.shape, bool), np.zeros(head.shape, np.int64)
        rows, left, turn = np.arange(len(starts)), self.rate * allowed.sum(1), 0
        while (left > 0).any():
            rows, left = rows[left > 0], left[left > 0]
            random = noise(keys[rows] + np.uint64(turn))
            heads = np.cumsum(free[rows], 1)
            first = (heads > (random % heads[:, -1].astype(np.uint64)).astype(np.int64)[:, None]).argmax(1)
            at = np.minimum(first[:, None] + _SPAN_WORDS, count - 1)
            inside = (_SPAN_WORDS < np.minimum(self.span_lengths(random), count - first)[:, None]) & free[rows[:, None], at]
            inside &= text[rows[:, None], at] == text[rows, first][:, None]
            sizes = size[rows[:, None], at] * inside
            inside &= np.cumsum(sizes, 1) - sizes / 2 <= left[:, None]
            span, step = np.nonzero(inside)
            now = rows[span], at[span, step]
            free[now], chosen[now], anchor[now] = False, True, head[rows, first][span]
            taken = (sizes * inside).sum(1)
            left = np.where(taken > 0, left - taken, 0)
            turn += 1
        return np.take_along_axis(chosen, word, 1), np.take_along_axis(anchor, word, 1)

    def span_lengths(self, random: np.ndarray) -> np.ndarray:
        """Lengths in words, 1 to 10, drawn with uint64 `random`."""
        return np.searchsorted(self._lengths, uniform(noise(random ^ np.uint64(_LENGTH))), side="right") + 1

    def hide(self, ids: np.ndarray, keys: np.ndarray, chosen: np.ndarray, fate: np.ndarray) -> np.ndarray:
        """A copy of `ids` (B, T) in which the chosen places hold `<mask>`, a random ordinary token, or what they held."""
        row, at = np.nonzero(chosen)
        random = noise(noise(keys[row] + at.astype(np.uint64)) ^ np.uint64(_REPLACE))
        drawn = self._ordinary[(random % np.uint64(len(self._ordinary))).astype(np.int64)]
        fate = fate[row, at]
        to_mask, to_random = fate < self.split[0], fate < self.split[0] + self.split[1]
        out = ids.copy()
        out[row, at] = np.where(to_mask, self.mask, np.where(to_random, drawn, ids[row, at]))
        return out


def special_of(tokenizer: Tokenizer) -> np.ndarray:
    """(V,) bool: the tokenizer's special tokens, sentinels included."""
    table = np.zeros(tokenizer.vocab_size, bool)
    table[sorted(tokenizer.special)] = True
    return table
