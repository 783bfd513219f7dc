"""The classes of a set: in order, and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..errors import DataError

_MOST = 1 << 16  # classes


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
                change="name the column of labels with columns",
            )
    numbers = all(label.removeprefix("-").isdecimal() and label.isascii() and len(label) < 20 for label in labels)
    return sorted(labels, key=(lambda label: (int(label), label)) if numbers else None)  # type: ignore[arg-type]


def numbering(labels: Sequence[str], name: str) -> Callable[[str, int], int]:
    """label → its number, for example i. The error for one that is not among `labels` names it and where it stands."""
    table = {label: number for number, label in enumerate(labels)}

    def number(label: str, i: int) -> int:
        if label not in table:
            raise DataError(
                f"{name}: example {i + 1} has the label {label[:60]!r}, which the training part does not have",
                expected=", ".join(labels[:20]) + (", …" if len(labels) > 20 else ""),
                received=label[:60],
                change="use data with the same labels, or train on some with this one",
            )
        return table[label]

    return number
