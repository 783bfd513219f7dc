"""What a claim is. A file of claims/ holds functions that measure, rule and draw, and on its last lines a Claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .table import Numbers, Table  # not when it runs: a list of claims needs no arithmetic

Topic = Literal[
    "attention", "heads", "masks", "positions", "feed-forward", "residuals and norms", "training", "efficiency",
    "generation", "families", "tokens", "output layer", "uses", "scale",
]  # fmt: skip
Kind = Literal["exact", "counting", "trained", "published"]
Mode = Literal["quick", "full", "smoke"]


class Verdict(StrEnum):
    HOLDS = "holds"
    CONDITION = "holds with a condition"
    WRONG = "wrong as stated"
    OPEN = "not decided here"


class Ruling(NamedTuple):
    """What the numbers say. because: one or two sentences with the numbers that decided."""

    verdict: Verdict
    because: str


@dataclass(frozen=True)
class Trial:
    """One measurement: this arm, with this seed, at this length. smoke is for tests: it runs the code and proves nothing."""

    arm: Any
    seed: int
    mode: Mode = "quick"

    def pick(self, quick: Any, full: Any) -> Any:
        return full if self.mode == "full" else quick

    def steps(self, quick: int, full: int) -> int:
        """How long to train."""
        return 2 if self.mode == "smoke" else self.pick(quick, full)


@dataclass(frozen=True)
class Claim:
    """A statement and the experiment that decides it.

    statement: as people say it. notes: where the five sets of interview notes say it ("002 Q13", "004:128").
    literature: what the papers say, each cited (authors, year, arXiv number or venue). method: what differs, what is held,
    what is measured, in words. decides: the rule in words, written before the numbers. expected: the verdict it foretells.
    arms: what differs, by name: one axis; a direct measurement has one arm. measure: one arm and seed → numbers. rule: the
    numbers of all arms and seeds → verdict; it also holds where an arm's numbers are equal to another's. draw: one figure.
    units: of the numbers, by name, as printed beside them. seeds: how many, quick and full. alone: times something, so
    nothing else may run beside it. corpus: it reads the demo's text. limits: what it does not show, in a sentence.
    """

    id: str
    title: str
    topic: Topic
    kind: Kind
    statement: str
    notes: tuple[str, ...]
    literature: str
    method: str
    decides: str
    expected: Verdict
    arms: Mapping[str, Any]
    measure: Callable[[Trial], Numbers]
    rule: Callable[[Table], Ruling]
    draw: Callable[[Table], Figure]
    units: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, int] = (3, 5)
    alone: bool = False
    corpus: bool = False
    limits: str = ""
