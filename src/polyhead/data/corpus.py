"""A corpus as it lies on disk: units that can be read again and again, and the survey that reads them first.

The survey is one pass over everything before anything is used: it counts, finds broken rows, unequal parallel files
and undecodable files, so that no later pass can fail half-way for a reason known before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import DataError
from .pieces import Pair, Piece
from .rows import Tally

Record = Piece | Pair


class Unit(NamedTuple):
    """A file, a pair of parallel files or a data set. read: its records from the beginning, broken rows to the tally."""

    name: str
    read: Callable[[Tally], Iterator[Record]]


class Survey(NamedTuple):
    """documents: documents, or pairs. characters: of all of them together. skipped: units that were no text."""

    documents: int
    characters: int
    skipped: frozenset[str]
    notes: tuple[str, ...]


@dataclass
class Corpus:
    """kind: "text" or "pairs". lenient: names of units to pass over if they are no text (the files of a folder).
    identity: what a cached result depends on, as JSON data, looked up anew at every call."""

    kind: str
    name: str
    units: list[Unit]
    identity: Callable[[], Any]
    max_bad: float
    lenient: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
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
                more, size = _totals(unit.read(tally))
            except DataError:
                if unit.name not in self.lenient:
                    raise
                skipped.append(unit.name)
                continue
            documents, characters = documents + more, characters + size
        tally.judge()
        if not documents:
            raise DataError(
                f"{self.name} holds no text",
                expected="at least one document" if self.kind == "text" else "at least one pair",
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


def _totals(records: Iterator[Record]) -> tuple[int, int]:
    documents = characters = 0
    for first, second in records:
        if isinstance(second, str):
            documents, characters = documents + 1, characters + len(first) + len(second)
        else:
            documents, characters = documents + second, characters + len(first)
    return documents, characters
