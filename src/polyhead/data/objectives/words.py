"""Where words begin and sentences end, told from the tokens' names: one table over the vocabulary each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import ConfigError
from ...text.kinds import BYTE_LETTERS, BYTE_TOKENS, MARK, SUFFIX

if TYPE_CHECKING:
    from ...text import Tokenizer

_STOPS = tuple(".!?。！？")
_QUOTES = "\"'”’»)]"
_SPACES = tuple(BYTE_LETTERS[byte] for byte in b" \t\n\r\v\f")
_LINES = tuple(BYTE_LETTERS[byte] for byte in b"\t\n\r\v\f")  # after a space alone, the letters of its word may follow
_NEWLINES = ("\n", BYTE_TOKENS[10])
_MERGED = 0.01  # the share of tokens that may hold more than a word before whole words mean nothing


class Words(NamedTuple):
    """begins: (V,) bool, tokens that begin a word. closes: (V,) bool, tokens after which one begins."""

    begins: np.ndarray
    closes: np.ndarray

    def starts(self, ids: np.ndarray) -> np.ndarray:
        """(B, T) bool: where in rows of ids a word begins; the first token of a row always does."""
        out = self.begins[ids]
        out[:, 0] = True
        out[:, 1:] |= self.closes[ids[:, :-1]]
        return out


def words_of(tokenizer: Tokenizer) -> Words:
    """WordPiece: a piece without ##. Byte-level BPE: a piece that begins with a space or a line's end (a sign without a
    space before it belongs to the word, as in RoBERTa's whole words), or that follows a line's end. SentencePiece: a piece
    with ▁ in front, or after a line's end. BPE with </w>: what follows such a piece. Words: every token.
    Raises ConfigError where the tokens do not tell: chars, bytes, and merges across spaces."""
    names = _names(tokenizer)
    kind = tokenizer.kind
    if kind == "words":
        return Words(np.ones(len(names), bool), np.ones(len(names), bool))
    if kind == "wordpiece":
        return Words(_table(names, lambda name: not name.startswith("##")), np.zeros(len(names), bool))
    if kind in ("bpe", "byte_bpe") and _table(names, lambda name: name.endswith(SUFFIX)).mean() > _MERGED:
        ends = _table(names, lambda name: name.endswith(SUFFIX))
        return Words(np.zeros(len(names), bool), ends)
    if kind == "byte_bpe" and _table(names, _several).mean() <= _MERGED:
        return Words(_table(names, lambda n: n.startswith(_SPACES)), _table(names, lambda n: n.endswith(_LINES)))
    if kind in ("unigram", "sentencepiece", "bpe") and _table(names, lambda name: name.startswith(MARK)).any():
        begins = _table(names, lambda name: name.startswith((MARK, *_NEWLINES)))
        return Words(begins, _table(names, lambda name: name.endswith(_NEWLINES)))
    reason = "its tokens cross spaces" if kind == "byte_bpe" else "its tokens do not tell where a word begins"
    raise ConfigError(
        f"whole words cannot be masked with this {kind} tokenizer: {reason}",
        expected="wordpiece, byte_bpe, unigram, sentencepiece, bpe or words",
        received=kind,
        change='unit="token", or a tokenizer of such a kind',
    )


def sentence_ends(tokenizer: Tokenizer) -> np.ndarray:
    """(V,) bool: tokens that end in a full stop, a question or exclamation mark, quotes after it allowed."""

    def ends(name: str) -> bool:
        return name.removesuffix(SUFFIX).rstrip(_QUOTES).endswith(_STOPS)

    table = _table(_names(tokenizer), ends)
    table[sorted(tokenizer.special)] = False
    return table


def _several(name: str) -> bool:
    """Does a byte-level token go on behind a word with the space before the next?"""
    return _SPACES[0] in name.lstrip("".join(_SPACES))


def _names(tokenizer: Tokenizer) -> list[str]:
    names = [""] * tokenizer.vocab_size
    for name in tokenizer:
        names[tokenizer.id(name)] = name  # type: ignore[index]
    return names


def _table(names: list[str], rule) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.fromiter((bool(name) and rule(name) for name in names), bool, len(names))
