"""Where in a text each token stands, and which word it belongs to.

The tokenizers library knows the characters behind each token of the text it was given. Text that a SentencePiece front has
prepared is another one: `_aligned` leads from its characters back to those of the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from polyhead.errors import TokenizerError
from polyhead.text.kinds import MARK

Span = tuple[int, int]


class Placed(NamedTuple):
    """ids: those of `encode`. spans: (first character, one behind the last) of each, blanks at its ends left out; several
    tokens may share a character, and one that stands for blanks alone is empty, begin = end."""

    ids: list[int]
    spans: list[Span]


class Worded(NamedTuple):
    """ids of all words' tokens, and for each the number of its word: rising, every word there."""

    ids: list[int]
    words: list[int]


class Placing:
    """The part of Tokenizer that knows where tokens stand."""

    unk: int | None
    encode: Callable[..., list[int]]
    _where: str
    _front: Callable[[str, bool], str] | None
    _mark_bytes: list[int] | None
    _encodings: Callable[..., tuple[list[Any], list[str]]]
    _known_ids: Callable[[list[int]], list[int]]

    def encode_offsets(self, texts: Sequence[str]) -> list[Placed]:
        """`encode` of each, with the characters that every token stands for."""
        if self._mark_bytes is None or not any(isinstance(text, str) and MARK in text for text in texts):
            return self._placed(texts)
        return [self._around(text) if MARK in text else self._placed([text])[0] for text in texts]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[Worded]:
        """The ids of words that were split already, as one text with a blank between them, and the word of each id.

        A word the tokenizer makes nothing of becomes unk. Raises `TokenizerError` where there is none, or for a blank word.
        """
        if any(not isinstance(word, str) or not word.strip() for words in sentences for word in words):
            raise TokenizerError("a word is not possible", expected="text that is not blank", received="a blank one")
        joined = self.encode_offsets([" ".join(words) for words in sentences])
        return [worded(words, row, self.unk, self.encode, self._where) for words, row in zip(sentences, joined, strict=True)]

    def _placed(self, texts: Sequence[str]) -> list[Placed]:
        encodings, prepared = self._encodings(list(texts), True, offsets=True)
        front = self._front
        letters = lru_cache(1 << 12)(lambda letter: front(letter, False) if front is not None else letter)
        made = [None] * len(encodings) if front is None else prepared
        return [
            Placed(self._known_ids(encoding.ids), placed(text, encoding, given, letters))
            for text, encoding, given in zip(texts, encodings, made, strict=True)
        ]

    def _around(self, text: str) -> Placed:
        """As in `encode`: ▁ itself is spelled in bytes."""
        ids: list[int] = []
        spans: list[Span] = []
        own, at = self._mark_bytes or [], 0
        for i, part in enumerate(text.split(MARK)):
            ids += own if i else []
            spans += [(at - 1, at)] * len(own) if i else []
            row = self._placed([part])[0]
            ids += row.ids
            spans += [(at + begin, at + end) for begin, end in row.spans]
            at += len(part) + 1
        return Placed(ids, spans)


def trimmed(text: str, begin: int, end: int) -> Span:
    """The span without blanks (and sentencepiece's ▁) at its ends."""
    while begin < end and (text[begin].isspace() or text[begin] == MARK):
        begin += 1
    while begin < end and (text[end - 1].isspace() or text[end - 1] == MARK):
        end -= 1
    return begin, end


def placed(text: str, encoding: Any, prepared: str | None, letters: Callable[[str], str]) -> list[Span]:
    """The spans in `text` of an encoding of it, or of `prepared`, what a front made of it; letters: what the front makes
    of a character by itself."""
    spans = encoding.offsets
    if prepared is not None:
        back = _aligned(text, prepared, letters)
        spans = [_joined(back, begin, end) for begin, end in spans]
    return [trimmed(text, begin, end) for begin, end in spans]


def _joined(back: list[Span], begin: int, end: int) -> Span:
    """What the prepared characters begin … end come from; those that come from none (▁) are passed over."""
    found = [span for span in back[begin:end] if span[0] < span[1]]
    if found:
        return found[0][0], found[-1][1]
    at = back[min(begin, len(back) - 1)][0] if back else 0
    return at, at


def _aligned(text: str, prepared: str, letters: Callable[[str], str]) -> list[Span]:
    """For each prepared character the span it comes from: character by character where that explains all of it, else word
    by word, else (a rule that joins words) each comes from anywhere in the text."""
    return _by_letters(text, prepared, letters) or _by_words(text, prepared) or [(0, len(text))] * len(prepared)


def _by_letters(text: str, prepared: str, letters: Callable[[str], str]) -> list[Span] | None:
    back: list[Span] = []
    for i, letter in enumerate(text):
        if (made := letters(letter).strip(MARK)) == "":
            continue
        while len(back) < len(prepared) and prepared[len(back)] == MARK:
            back.append((i, i))
        if not prepared.startswith(made, len(back)):
            return None
        back += [(i, i + 1)] * len(made)
    rest = prepared[len(back) :]
    return None if rest.strip(MARK) else back + [(len(text), len(text))] * len(rest)


def _by_words(text: str, prepared: str) -> list[Span] | None:
    """Letters composed or decomposed: as many words on both sides, each letter from anywhere in its word."""
    words = _runs(text, str.isspace)
    if len(words) != len(_runs(prepared, MARK.__eq__)):
        return None
    back, inside, number = [], False, -1
    for letter in prepared:
        number += letter != MARK and not inside
        inside = letter != MARK
        at = words[max(number, 0)]
        back.append(at if inside else (at[1] if number >= 0 else at[0],) * 2)
    return back


def _runs(text: str, apart: Callable[[str], bool]) -> list[Span]:
    """The spans between the characters that stand apart."""
    found, begin = [], None
    for i, letter in enumerate(text):
        if apart(letter):
            if begin is not None:
                found.append((begin, i))
            begin = None
        elif begin is None:
            begin = i
    return found + ([(begin, len(text))] if begin is not None else [])


# ---------------------------------------------------------------- words


@lru_cache(1 << 14)
def _alone(letter: str) -> bool:
    """Whether a character is a word by itself: punctuation, ASCII signs and ideographs, as BERT's tokenizer splits them."""
    code = ord(letter)
    if code < 128:
        return not letter.isalnum()
    return unicodedata.category(letter)[0] == "P" or unicodedata.name(letter, "").startswith("CJK UNIFIED")


def words_of(text: str) -> list[Span]:
    """The words of a text: between blanks, punctuation and ideographs each by itself."""
    found: list[Span] = []
    for begin, end in _runs(text, str.isspace):
        start = begin
        for i in range(begin, end):
            if _alone(text[i]):
                found += [(start, i)] * (start < i) + [(i, i + 1)]
                start = i + 1
        found += [(start, end)] * (start < end)
    return found


def by_word(spans: Sequence[Span], words: Sequence[Span]) -> list[int]:
    """The number of the word in which each token begins. spans, words: rising."""
    found, at = [], 0
    for begin, end in spans:
        while at + 1 < len(words) and begin >= words[at][1] and begin < end:
            at += 1
        found.append(at)
    return found


def worded(words: Sequence[str], joined: Placed, unk: int | None, alone: Callable[[str], list[int]], where: str) -> Worded:
    """The tokens of words that were encoded as one text with a blank between them. Where a token reaches over a blank, or a
    word got none, every word is encoded by itself; one of which nothing is made becomes unk. Raises TokenizerError without one."""
    places, at = [], 0
    for word in words:
        places.append((at, at + len(word)))
        at += len(word) + 1
    kept = [(number, span) for number, span in zip(joined.ids, joined.spans, strict=True) if span[0] < span[1]]
    numbers = by_word([span for _, span in kept], places)
    over = any(span[1] > places[i][1] for (_, span), i in zip(kept, numbers, strict=True))
    if not over and len(kept) == len(joined.ids) and len(set(numbers)) == len(words):
        return Worded(joined.ids, numbers)
    ids, numbers = [], []
    for i, word in enumerate(words):
        own = alone(word if i == 0 else f" {word}") or ([unk] if unk is not None else [])
        if not own:
            raise TokenizerError(f"{where} makes no token of a word", expected="at least one, or an unk token", received=repr(word)[:80])
        ids += own
        numbers += [i] * len(own)
    return Worded(ids, numbers)
