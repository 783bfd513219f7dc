"""A corpus as it lies on disk: units that can be read again and again, and the survey that reads them first.

The survey is one pass over everything before anything is used: it counts, finds broken rows, unequal parallel files
and undecodable files, so that no later pass can fail half-way for a reason known before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import DataError
from .classes import Seen
from .examples import KINDS, texts
from .reading import Record
from .tally import Tally


class Unit(NamedTuple):
    """A file, a pair of parallel files or a data set. read: its records from the beginning, broken rows to the tally."""

    name: str
    read: Callable[[Tally], Iterator[Record]]


class Survey(NamedTuple):
    """documents: documents, or records of another kind. characters: of all of them together. skipped: units that were no text."""

    documents: int
    characters: int
    skipped: frozenset[str]
    notes: tuple[str, ...]


@dataclass
class Corpus:
    """kind: one of examples.KINDS. lenient: names of units to pass over if they are no text (the files of a folder).
    identity: what a cached result depends on, as JSON data, looked up anew at every call. seen: the classes, after the survey."""

    kind: str
    name: str
    units: list[Unit]
    identity: Callable[[], Any]
    max_bad: float
    lenient: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    _survey: Survey | None = None

    def survey(self) -> Survey:
        """Counts everything once; remembered. Raises DataError if there is nothing or too much is broken."""
        if self._survey is None:
            self._survey = self._count()
            self.notes += self._survey.notes
        return self._survey

    def _count(self) -> Survey:
        tally, skipped = Tally(self.max_bad), []
        documents = characters = 0
        for unit in self.units:
            try:
                known = len(self.seen)
                more, size = _totals(unit.read(tally), self.kind, self.seen, documents)
            except DataError:
                if unit.name not in self.lenient:
                    raise
                self.seen.cut(known)
                skipped.append(unit.name)
                continue
            documents, characters = documents + more, characters + size
        tally.judge()
        if not documents:
            raise DataError(
                f"{self.name} holds no {'pictures' if self.kind == 'images' else 'text'}",
                expected=f"at least one {KINDS[self.kind]}",
                received=f"{len(self.units)} files, {len(skipped)} of them not text",
                change="name a file or folder with text",
            )
        notes = tally.notes()
        if skipped:
            shown = ", ".join(skipped[:3]) + (" …" if len(skipped) > 3 else "")
            notes.append(f"{len(skipped)} files are not decodable text and are left out ({shown})")
        return Survey(documents, characters, frozenset(skipped), tuple(notes))

    def records(self) -> Iterator[Record]:
        """All records in order, after the survey."""
        skipped = self.survey().skipped
        tally = Tally(1.0)  # judged by the survey already
        for unit in self.units:
            if unit.name not in skipped:
                yield from unit.read(tally)


def _totals(records: Iterator[Any], kind: str, seen: Seen, before: int) -> tuple[int, int]:
    """(records, characters); classes go to `seen`, where `before` records came before these."""
    documents = characters = 0
    if kind == "text":
        for text, ends in records:
            documents, characters = documents + ends, characters + len(text)
        return documents, characters
    for record in records:
        seen.add(before + documents, record)
        documents, characters = documents + 1, characters + sum(map(len, texts(record)))
    return documents, characters
