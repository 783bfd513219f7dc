"""What was asked for, and what was found: the options of `open_source`, and how the rows of a file become records."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .columns import Columns, Row
from .examples import Example
from .pieces import Pair, Piece

Record = Piece | Pair | Example


class Asked(NamedTuple):
    """The options of `open_source`, as they were given. sort: of labels, as they were asked for, or as the first file of a folder has them. part: None
    where none was named, "" where it was chosen already."""

    columns: Columns | None
    kind: str | None
    format: str | None
    split: str
    header: bool | None
    encoding: str | None
    repair: bool
    max_bad: float
    subset: str | None
    part: str | None
    sort: str | None = None
    image_size: tuple[int, int] | None = None

    @property
    def wanted(self) -> str:
        """The part that is read of what has several."""
        return "train" if self.part is None else self.part


class Broken(Exception):
    """A row that cannot be used, and why: it is counted and passed over."""


class Reading(NamedTuple):
    """How rows become records. columns: those that are read. convert: raises Broken for a row without sense.
    sort: of labels: "class", "several" or "number"."""

    kind: str
    columns: Columns
    convert: Callable[[Row], Record]
    notes: list[str]
    sort: str | None = None
