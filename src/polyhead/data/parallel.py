"""Two parallel files: line i of one belongs to line i of the other.

    train.de.gz, train.en.gz       two suffixes that can be languages
    train.{de,en}                  the same, in one string; {de,en}/train.txt
They stand as they were named, the source first, or as columns say: columns="en,de" makes the first file the target.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import DataError
from . import pieces
from .columns import Columns
from .files import FORMATS, is_language, suffix
from .naming import Where
from .pieces import Pair
from .readers import chunks_of, looks_like_scan
from .reading import Asked
from .tally import Tally

_BRACES = re.compile(r"(.*)\{([^{},]+),([^{},]+)\}(.*)\Z")


def braces(where: Where) -> dict[str, str] | None:
    """name → path of `stem.{de,en}`; None for a path that exists, or has no braces."""
    text = os.fspath(where)
    if (match := _BRACES.match(text)) is None or Path(text).expanduser().exists():
        return None
    start, one, two, end = match.groups()
    return {name: f"{start}{name}{end}" for name in (one, two)}


def by_suffix(one: Path, two: Path, columns: Columns | None) -> dict[str, Path]:
    """name → path of two files. Raises DataError for columns where the names are the same."""
    names = [suffix(path).removeprefix(".") for path in (one, two)]
    if names[0] == names[1]:
        if columns is not None:
            raise _unknown(f"{one} and {two}", "two files with suffixes of their own", columns)
        names = ["0", "1"]
    return dict(zip(names, (one, two), strict=True))


def in_order(sides: dict[str, Path], columns: Columns | None) -> tuple[Path, Path]:
    """(source, target): as they were named, or as columns name them, by the last part of a column's name (`translation.de`).
    Raises DataError."""
    if columns is None:
        one, two = sides.values()
        return one, two
    lower = {name.lower().lstrip("."): path for name, path in sides.items()}
    found = [lower.get(column.rpartition(".")[2].lower()) for column in columns]
    if len(found) != 2 or found[0] is None or found[1] is None or found[0] == found[1]:
        raise _unknown(" and ".join(map(str, sides.values())), " and ".join(sides) + ", in either order", columns)
    return found[0], found[1]


def _unknown(name: str, expected: str, columns: Columns) -> DataError:
    return DataError(
        f"{name}: the columns of two parallel files are their suffixes",
        expected=expected,
        received=", ".join(columns),
        change="name the suffixes, the source first, or leave columns out",
    )


def are_parallel(one: Path, two: Path, asked: Asked, find: Callable[[Path], Path]) -> bool:
    """Whether two files are meant to be read side by side."""
    ends = suffix(one), suffix(two)
    if asked.kind == "text" or any(end in FORMATS for end in ends) or one.is_dir() or two.is_dir():
        return False
    if asked.kind == "pairs" and all(path.exists() or path.with_name(f"{path.name}.gz").exists() for path in (one, two)):
        return not looks_like_scan(find(one), asked)
    stems = [
        path.name.lower().removesuffix(".gz").removesuffix(end) for path, end in zip((one, two), ends, strict=True)
    ]
    return stems[0] == stems[1] and ends[0] != ends[1] and is_language(*ends)


def side_by_side(one: Path, two: Path, asked: Asked, tally: Tally) -> Iterator[Pair]:
    """Line i of one file with line i of the other. Raises DataError if one has more lines."""
    sides = [pieces.lines(chunks_of(path, asked)) for path in (one, two)]
    end, number = object(), 0
    while True:
        left, right = (next(side, end) for side in sides)
        if left is end or right is end:
            break
        number += 1
        where = f"{one.name} and {two.name} line {number}"
        if not isinstance(left, str) or not isinstance(right, str):
            tally.wrong(where, "a line too long")
        elif not left.strip() or not right.strip():
            tally.wrong(where, "an empty line")
        else:
            tally.good += 1
            yield Pair(left, right)
    counts = [
        number + (last is not end) + sum(1 for _ in side) for last, side in zip((left, right), sides, strict=True)
    ]
    if counts[0] != counts[1]:
        raise DataError(
            "the two files are not parallel: their line counts differ",
            expected="line i of one to be the translation of line i of the other",
            received=f"{counts[0]} lines in {one}, {counts[1]} lines in {two}",
            change="align the files",
        )
