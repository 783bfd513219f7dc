"""Exercises with tests that grade them: two to be written in Python, one a design on paper.

    NAME/statement.md   what is asked          NAME/skeleton.*   what to begin with
    NAME/solution.*     a solution             NAME/points.py    POINTS: what is graded, one function each
    NAME/given.py       code that both begin with, if any: written out in place of the line that imports it
    point      what a point is, and how it says what it missed
    child      loads a person's file and grades it, in a process of its own
    grading    starts the child, with a limit of time, and reads what it found
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError

_GIVEN = "from .given import "


@dataclass(frozen=True)
class Exercise:
    """name: as on the command line, and its folder's. suffix: of the file that is handed in."""

    name: str
    title: str
    suffix: str

    def statement(self) -> str:
        return self._read("statement.md")

    def skeleton(self) -> str:
        return self._read(f"skeleton{self.suffix}")

    def solution(self) -> str:
        return self._read(f"solution{self.suffix}")

    def _read(self, file: str) -> str:
        folder = Path(__file__).parent / self.name
        text = (folder / file).read_text(encoding="utf-8")
        if f"\n{_GIVEN}" not in text:
            return text
        before, _, rest = text.partition(f"\n{_GIVEN}")
        given = (folder / "given.py").read_text(encoding="utf-8").partition("from __future__ import annotations\n")[2]
        return "\n".join([before, given.strip("\n"), rest.partition("\n")[2]])


EXERCISES = (
    Exercise("attention", "Masked multi-head attention from scratch, in plain torch", ".py"),
    Exercise("cache", "A key–value cache: decoding step by step equals the full pass", ".py"),
    Exercise("design", "A decoder for given limits of size, cache, memory and compute", ".yaml"),
)


def exercise(name: str) -> Exercise:
    """The exercise of that name, else UserError."""
    for one in EXERCISES:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in EXERCISES)
    raise UserError(f"there is no exercise {name!r}", expected=f"one of {known}", received=name, change="polyhead lab exercise lists them")
