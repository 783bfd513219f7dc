"""Training and validation parts by document: which one a document belongs to is a hash of (seed, its number), or whether it
is among the last ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from .corpus import Corpus
from .examples import KINDS
from .order import key, noise
from .pieces import Piece

_BLOCK = 1 << 14
_TRIED = 1000  # documents that are looked at for one that may be held out


class _Rule(NamedTuple):
    """cut: the character at which an only document is cut, else None. first: of the last documents, held out; None: they are
    drawn. inside, outside: documents moved into and out of what was drawn, so that neither part is empty and every class is in
    the training part."""

    cut: int | None
    first: int | None = None
    inside: tuple[int, ...] = ()
    outside: tuple[int, ...] = ()


class Part:
    """One side of a held-out split; both sides come from the same numbers and never overlap."""

    def __init__(self, corpus: Corpus, share: float, seed: int, held: bool, last: bool = False) -> None:
        self._corpus, self._share, self._seed, self.held, self._last = corpus, share, seed, held, last
        self._key = np.uint64(key(seed, 0x401D))
        self._below = np.uint64(min(int(share * 2**64), 2**64 - 1))
        self._known: _Rule | None = None
        self.notes: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {"share": self._share, "seed": "last" if self._last else self._seed, "held": self.held}

    def cut_short(self) -> bool:
        return not self.held and self._rule().cut is not None

    def _rule(self) -> _Rule:
        if self._known is None:
            documents, characters, *_ = self._corpus.survey()
            if documents == 1:
                self._known = self._cut_rule(characters)
            else:
                self._known = self._last_rule(documents) if self._last else self._hash_rule(documents)
        return self._known

    def _last_rule(self, documents: int) -> _Rule:
        held = min(max(round(self._share * documents), 1), documents - 1)
        self.notes.append(f"the last {held} of {documents} {KINDS[self._corpus.kind]}s are held out for validation")
        return _Rule(None, documents - held)

    def _hash_rule(self, documents: int) -> _Rule:
        lowest, highest, count = (2**64, -1), (-1, -1), 0
        for first in range(0, documents, _BLOCK):
            hashes = self._hashes(first)[: documents - first]
            count += int((hashes < self._below).sum())
            low, high = int(hashes.argmin()), int(hashes.argmax())
            lowest = min(lowest, (int(hashes[low]), first + low))
            highest = max(highest, (int(hashes[high]), first + high))
        rule = _Rule(None, None, (lowest[1],) if count == 0 else (), (highest[1],) if count == documents else ())
        held = min(max(count, 1), documents - 1)
        rule, held = self._with_every_class(rule, documents, held)
        self.notes.append(f"{held} of {documents} {KINDS[self._corpus.kind]}s are held out for validation")
        return rule

    def _with_every_class(self, rule: _Rule, documents: int, count: int) -> tuple[_Rule, int]:
        """The rule and how many it holds out, so that a class whose examples were all drawn keeps one in the training part:
        nothing could be learnt of it otherwise."""
        if not len(self._corpus.seen):
            return rule, count
        held = np.fromiter(itertools.islice(self._drawn(rule), documents), bool, documents)
        back = self._corpus.seen.only_in(held)
        if not back:
            return rule, count
        outside = tuple(sorted(set(back.values())))
        held[list(outside)] = False
        names = ", ".join(sorted(back)[:6]) + (", …" if len(back) > 6 else "")
        self.notes.append(f"{len(outside)} stay in the training part though drawn for validation: it would have no example of {names}")
        if held.any():
            return rule._replace(inside=tuple(set(rule.inside) - set(outside)), outside=(*rule.outside, *outside)), int(held.sum())
        return _Rule(None, None, (self._another(held),), outside), 1

    def _another(self, held: np.ndarray) -> int:
        """The first document in the order of drawing that may be held out, where those that were may not."""
        hashes = np.concatenate([self._hashes(first) for first in range(0, len(held), _BLOCK)])[: len(held)]
        for number in itertools.islice(hashes.argsort().tolist(), _TRIED):
            held[number] = True
            if not self._corpus.seen.only_in(held):
                return int(number)
            held[number] = False
        raise DataError(
            f"no part of {self._corpus.name} can be held out for validation: every class would lose its only example",
            expected="a class with two examples at least", received=f"{len(held)} {KINDS[self._corpus.kind]}s",
            change="add examples, or name a held-out file with data.validation",
        )  # fmt: skip

    def _cut_rule(self, characters: int) -> _Rule:
        if self._corpus.kind != "text" or characters < 2:
            raise DataError(
                f"{self._corpus.name} is too small to hold out a part for validation",
                expected="at least two documents, or one of two characters",
                received=f"1 {'character' if self._corpus.kind == 'text' else KINDS[self._corpus.kind]}",
                change="add text, or name a held-out file with data.validation",
            )
        wanted = min(max(1, characters - round(self._share * characters)), characters - 1)
        cut, how = _line_break(self._text(), wanted, (characters + wanted) // 2)
        self.notes.append(
            f"one document only: its last {characters - cut} of {characters} characters, from {how} on, "
            "are held out for validation"
        )
        return _Rule(cut)

    def _text(self) -> Iterator[str]:
        records: Any = self._corpus.records()
        return (piece.text for piece in records)

    def _hashes(self, first: int) -> np.ndarray:
        return noise(np.arange(first, first + _BLOCK, dtype=np.uint64) + self._key)

    def _members(self) -> Iterator[bool]:
        """For document 0, 1, …: does it belong to this part?"""
        rule = self._rule()
        held = self._drawn(rule) if rule.first is None else (number >= rule.first for number in itertools.count())
        yield from (inside == self.held for inside in held)

    def _drawn(self, rule: _Rule) -> Iterator[bool]:
        """For document 0, 1, …: was it drawn to be held out?"""
        for first in itertools.count(0, _BLOCK):
            inside = self._hashes(first) < self._below
            for places, value in ((rule.outside, False), (rule.inside, True)):
                inside[[place - first for place in places if first <= place < first + _BLOCK]] = value
            yield from inside.tolist()

    def whole(self, records: Iterable[Any]) -> Iterator[Any]:
        """This part's share of records that are one piece each."""
        for record, mine in zip(records, self._members(), strict=False):
            if mine:
                yield record

    def pieces(self, records: Iterable[Piece]) -> Iterator[Piece]:
        if (cut := self._rule().cut) is not None:
            yield from self._one_side(records, cut)
            return
        members = self._members()
        mine: bool | None = None
        for piece in records:
            mine = next(members) if mine is None else mine
            if mine:
                yield piece
            if piece.ends:
                mine = None

    def _one_side(self, records: Iterable[Piece], cut: int) -> Iterator[Piece]:
        at = 0
        for text, _ in records:
            place = min(max(cut - at, 0), len(text))
            mine = text[place:] if self.held else text[:place]
            if mine:
                yield Piece(mine, False)
            at += len(text)
        yield Piece("", True)


def _line_break(texts: Iterable[str], wanted: int, last: int) -> tuple[int, str]:
    """The first place at or after `wanted`, and not after `last`, that follows a line break; else `wanted`."""
    at, before = 0, ""
    for text in texts:
        if at + len(text) >= wanted:
            joined, start = before + text, at - len(before)
            found = joined.find("\n", max(wanted - 1 - start, 0))
            if found >= 0:
                place = start + found + 1
                return (place, "a line break") if place <= last else (wanted, f"character {wanted}")
            if at + len(text) > last:
                break
        at, before = at + len(text), text[-1:]
    return wanted, f"character {wanted}"
