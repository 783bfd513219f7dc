"""The classes of a set: in order, their numbers, and the examples they were seen at."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .examples import Labelled, Picture, Tagged

if TYPE_CHECKING:
    from .sources import Source

_MOST = 1 << 16  # classes


class Seen:
    """At which examples each class was seen, by number. More than 65,536 are no classes: nothing is kept of them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._at, self._class = array("q"), array("i")

    def __len__(self) -> int:
        """Places where a class was seen."""
        return len(self._at)

    def add(self, number: int, record: Any) -> None:
        """Example `number`, whatever it is."""
        for label in classes_of(record) if len(self._numbers) <= _MOST else ():
            self._at.append(number)
            self._class.append(self._numbers.setdefault(label, len(self._numbers)))

    def cut(self, length: int) -> None:
        """Forget what was added since there were so many places."""
        del self._at[length:], self._class[length:]

    def only_in(self, held: np.ndarray) -> dict[str, int]:
        """{class: its first example} of the classes whose examples are all held out. held: (examples,) bool."""
        if len(self._numbers) > _MOST or not len(self):
            return {}
        at, classes = np.frombuffer(self._at, np.int64), np.frombuffer(self._class, np.int32)
        names, apart = list(self._numbers), held[at]
        lost = np.setdiff1d(classes[apart], classes[~apart])
        first, where = np.unique(classes, return_index=True)
        return {names[n]: int(at[where[np.searchsorted(first, n)]]) for n in lost.tolist()}


def classes_of(record: Any) -> Iterable[str]:
    """The classes or tags of an example; a number is none."""
    match record:
        case Labelled(_, _, label) if not isinstance(label, float):
            return (label,) if isinstance(label, str) else label
        case Tagged(_, tags):
            return set(tags)
        case Picture(_, _, label):
            return (label,)
    return ()


def two_at_least(labels: Sequence[str], name: str, what: str = "class") -> None:
    """DataError for a set of which there is nothing to learn: all its examples are alike."""
    if len(labels) < 2:
        raise DataError(
            f"{name} has one {what} alone: there is nothing to tell apart", expected="at least two", received=", ".join(labels) or "none",
            change=f"add examples of another {what}, or name another column with data.columns",
        )  # fmt: skip


def sorted_labels(found: Iterable[str], name: str) -> list[str]:
    """Classes in order: whole numbers by their size, anything else as text. Raises DataError for too many."""
    labels = set[str]()
    for label in found:
        labels.add(label)
        if len(labels) > _MOST:
            raise DataError(
                f"{name} has more than {_MOST:,} different labels",
                expected="classes, of which many examples share each",
                received=f"{label[:60]!r} among them",
                change="name the column of labels with data.columns, or data.labels=numbers if they are scores",
            )
    numbers = all(label.removeprefix("-").isdecimal() and label.isascii() and len(label) < 20 for label in labels)
    return sorted(labels, key=(lambda label: (int(label), label)) if numbers else None)  # type: ignore[arg-type]


def numbering(labels: Sequence[str], source: Source) -> Callable[[str, int], int]:
    """label → its number, for example i. The error for one that is not among `labels` names it and where it stands."""
    table = {label: number for number, label in enumerate(labels)}

    def number(label: str, i: int) -> int:
        if label not in table:
            where, change = f"{source.name}: example {i + 1}", "use data with the same labels, or train on some with this one"
            if source.held:
                where, change = f"{where} of the held-out part", "let data.held=drawn choose it, or name a held-out file with data.validation"
            raise DataError(
                f"{where} has the label {label[:60]!r}, which the training part does not have",
                expected=", ".join(labels[:20]) + (", …" if len(labels) > 20 else ""),
                received=label[:60],
                change=change,
            )
        return table[label]

    return number
