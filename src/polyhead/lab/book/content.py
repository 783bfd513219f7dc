"""What the book tells: the claims with what was measured, and the questions with their pages, joined. Every form of the
book (HTML, Markdown, PDF) is written from this, so that all say the same."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from .. import style
from ..claim import Claim, Ruling, Verdict
from ..pages import TOPICS, Page
from ..table import Table

_ROOT = Path(__file__).parents[4]  # what src/ stands in
_OPENINGS = {"what is": "What is …", "what": "What …", "why": "Why …", "how": "How …", "when": "When, where, which …",
             "where": "When, where, which …", "which": "When, where, which …"}  # fmt: skip
_OTHER = "Is it so?"


class Finding(NamedTuple):
    """What was measured. again: the verdicts of further runs, on other seeds. facts: machine, versions, time, in words."""

    ruling: Ruling
    table: Table
    mode: str
    again: tuple[Verdict, ...]
    facts: Mapping[str, str]


class Told(NamedTuple):
    """A claim in the book. pages: those that name it."""

    claim: Claim
    finding: Finding | None
    pages: tuple[Page, ...]

    @property
    def verdict(self) -> Verdict | None:
        return self.finding.ruling.verdict if self.finding else None

    @property
    def again(self) -> str:
        """Whether other seeds gave the same verdict, in words; empty where that was not asked."""
        found = set(self.finding.again if self.finding else ())
        return "" if not found else "the same" if found == {self.verdict} else "differ"

    @property
    def flag(self) -> str:
        """What is put behind `polyhead lab run ID` to measure it as it was measured."""
        return " --full" if self.finding and self.finding.mode == "full" else ""

    @property
    def file(self) -> Path:
        return Path(inspect.getsourcefile(inspect.unwrap(self.claim.measure)) or "")

    @property
    def shown_file(self) -> str:
        """As the repository names it; a file from elsewhere by its name alone."""
        return self.file.relative_to(_ROOT).as_posix() if self.file.is_relative_to(_ROOT) else self.file.name

    @property
    def source(self) -> str:
        return self.file.read_text(encoding="utf-8")


class Part(NamedTuple):
    """A topic: its questions and its claims."""

    topic: str
    pages: tuple[Page, ...]
    claims: tuple[Told, ...]


class Book:
    """claims in the order of their ids, pages in that of their topics."""

    def __init__(self, claims: Iterable[Claim], findings: Mapping[str, Finding], pages: Iterable[Page]) -> None:
        self.pages = tuple(pages)
        named = {id: tuple(page for page in self.pages if id in page.claims) for page in self.pages for id in page.claims}
        ordered = sorted(claims, key=lambda claim: claim.id)
        self.claims = tuple(Told(claim, findings.get(claim.id), named.get(claim.id, ())) for claim in ordered)
        self._drawn: dict[str, tuple[str, str]] = {}

    def drawn(self, told: Told) -> tuple[str, str]:
        """The figure of a measured claim as SVG for a light and for a dark page."""
        if told.claim.id not in self._drawn:
            assert told.finding
            light, dark = (style.render(told.claim, told.finding.table, dark=dark).decode() for dark in (False, True))
            self._drawn[told.claim.id] = light, dark
        return self._drawn[told.claim.id]

    @cached_property
    def by_id(self) -> dict[str, Told]:
        return {told.claim.id: told for told in self.claims}

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The topics that have anything, in their order."""
        made = [Part(topic, tuple(p for p in self.pages if p.topic == topic), tuple(t for t in self.claims if t.claim.topic == topic)) for topic in dict.fromkeys((*TOPICS, *(told.claim.topic for told in self.claims)))]
        return tuple(part for part in made if part.pages or part.claims)

    @cached_property
    def wrong(self) -> tuple[Told, ...]:
        return tuple(told for told in self.claims if told.verdict is Verdict.WRONG)

    @cached_property
    def counts(self) -> dict[Verdict, int]:
        """How many claims have each verdict."""
        return {verdict: sum(told.verdict is verdict for told in self.claims) for verdict in Verdict}

    @cached_property
    def asked(self) -> dict[str, tuple[Page, ...]]:
        """The questions by how they begin, each group by the alphabet."""
        groups: dict[str, list[Page]] = {name: [] for name in (*dict.fromkeys(_OPENINGS.values()), _OTHER)}
        for page in self.pages:
            words = page.question.lower()
            opening = next((name for start, name in _OPENINGS.items() if words.startswith(f"{start} ")), _OTHER)
            groups[opening].append(page)
        return {name: tuple(sorted(found, key=lambda page: page.question)) for name, found in groups.items() if found}

    @cached_property
    def places(self) -> dict[str, tuple[tuple[str, Page], ...]]:
        """Of each set of notes ("001"): its places in order, with the page that answers."""
        rows = sorted({(place, i) for i, page in enumerate(self.pages) for place in page.asked}, key=lambda row: (_order(row[0]), row[1]))
        sets = dict.fromkeys(place[:3] for place, _ in rows)
        return {name: tuple((place, self.pages[i]) for place, i in rows if place.startswith(name)) for name in sets}


def _order(place: str) -> tuple[str, int, str]:
    """"001 Q9" before "001 Q10"."""
    digits = re.search(r"\d+", place[3:])
    return place[:3], int(digits[0]) if digits else 0, place
