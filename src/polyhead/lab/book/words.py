"""The words that all forms of the book share."""

from __future__ import annotations

from typing import NamedTuple

from ..claim import Verdict
from .content import Told
from .numbers import Grid


class Mark(NamedTuple):
    """name: of its look in a style sheet. sign: told apart without colour."""

    name: str
    sign: str


MARKS = {
    Verdict.HOLDS: Mark("holds", "✓"), Verdict.CONDITION: Mark("condition", "◐"), Verdict.WRONG: Mark("wrong", "✕"), Verdict.OPEN: Mark("open", "?"),
}  # fmt: skip
TITLE = "What is said about Transformers, measured"
LEAD = (
    "{claims} claims, each a small experiment with a rule fixed before it ran, and {pages} questions with answers that can be spoken. "
    "Everything here can be run again: `polyhead lab run`."
)
READING = (
    "A verdict is what a claim's rule says of its numbers. The rule was written before the run and stands beside the verdict. **Holds with "
    "a condition**: true where the condition is met, which people leave out. **Not decided here**: the intervals overlap, the task did "
    "not bind, or other seeds gave another verdict."
)
KINDS = (
    "Kinds: **exact** and **counting** claims follow from arithmetic and cannot be argued with; **trained** ones are small models, whose "
    "numbers are no promise for large ones; **published** ones compute with numbers from papers."
)
ASKED = "Questions as they are asked"
NOTES_WRONG = "Where the notes are wrong"


def expected(told: Told) -> str:
    """Whether the verdict is the one foretold."""
    other = told.verdict is not None and told.verdict is not told.claim.expected
    return f"Expected beforehand: {told.claim.expected}.{' It came out differently.' if other else ''}"


def seeds_line(table: Grid) -> str:
    if len(table.seeds) < 2:
        return "One measurement: nothing in it is drawn at random, or one seed was asked for."
    return f"Means over {len(table.seeds)} seeds; in brackets or below them the 95 % interval of the mean (bootstrap)."
