"""Data sets through the `datasets` library: a name on the Hub, or a folder that `save_to_disk` wrote.

Of several parts one is read: by its name, or a slice of one or several (`train[:90%]`, `train+validation`), by the library's own
rules (`datasets.ReadInstruction`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from .columns import Columns, Row
from .naming import Place
from .tally import Tally


def is_saved(folder: Path) -> bool:
    """Whether `datasets` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


_SCRIPT, _CONVERTED = "scripts are no longer supported", "refs/convert/parquet"


def load(place: Place, folder: Path | None) -> tuple[Any, list[str]]:
    """(the rows of a data set's part, "train" where none is named; notes). `folder` None: it is looked up on the Hub, the only
    use of the network in this package. Raises DataError with the reason."""
    try:
        import datasets
    except ImportError as e:
        raise DataError(f"{place.name} needs the datasets library", change="pip install datasets") from e
    notes: list[str] = []
    try:
        found = _looked_up(datasets, place, notes) if folder is None else datasets.load_from_disk(str(folder))
    except Exception as e:  # the library raises whatever its network and readers raise
        reason = " ".join(str(e).split()) or type(e).__name__
        raise DataError(
            f"cannot load the data set {place.name}",
            expected="a data set on the Hub, as owner/name or owner/name:subset[part], or a folder that exists"
            if folder is None
            else "a whole folder",
            received=reason[:300] + (" …" if len(reason) > 300 else ""),
            change="check the name, its subset and the connection; a path must exist"
            if folder is None
            else "save it again",
        ) from e
    return _part(datasets, found, place), notes


def _looked_up(datasets: Any, place: Place, notes: list[str]) -> Any:
    name = str(place.where)
    try:
        return datasets.load_dataset(name, place.subset)
    except RuntimeError as e:
        if _SCRIPT not in str(e):
            raise
    notes.append(f"{name} is a program, which is not run: the Hub's own conversion of it to Parquet is read")
    return datasets.load_dataset(name, revision=_CONVERTED, **({} if place.subset is None else {"data_dir": place.subset}))


def _part(datasets: Any, found: Any, place: Place) -> Any:
    if not isinstance(found, dict):  # saved alone: it may know which part it was
        if place.part is None:
            return found
        found = {} if found.split is None else {str(found.split): found}
    part = "train" if place.part is None else place.part
    if part in found:
        return found[part]
    try:
        return _sliced(datasets, found, part)
    except (ValueError, AssertionError, TypeError) as e:
        parts = [str(name) for name in found]
        raise DataError(
            f"{place.name} has no part {part!r}",
            expected=", ".join(parts) + f", or a slice such as {parts[0]}[:90%]" if parts else "no part: it has none",
            received=" ".join(str(e).split())[:200] or part,
            change=f"name one: {place._replace(part=parts[0]).name}" if parts else "leave the part out",
        ) from e


def _sliced(datasets: Any, found: Mapping[str, Any], part: str) -> Any:
    """`train[:90%]`, `train[:1000]+validation`. Raises ValueError or AssertionError for a slice without sense."""
    asked = datasets.ReadInstruction.from_spec(part).to_absolute({name: len(data) for name, data in found.items()})
    chosen = []
    for one in asked:
        data = found[one.splitname]
        begin, end = 0 if one.from_ is None else one.from_, len(data) if one.to is None else one.to
        chosen.append(data.select(range(begin, max(begin, end))))
    return chosen[0] if len(chosen) == 1 else datasets.concatenate_datasets(chosen)


def rows_of(data: Any, name: str, columns: Columns | None, tally: Tally) -> Iterator[tuple[str, Row]]:
    """The rows in order; only the columns asked for are read."""
    tops = {column.partition(".")[0] for column in columns or ()} & set(data.column_names)
    wanted = [c for c in data.column_names if c in (set(columns or ()) | tops)]
    view = data.select_columns(wanted) if wanted else data
    named = {column: names for column in view.column_names if (names := _class_names(data.features.get(column)))}
    for number, row in enumerate(_whole(view, name), 1):
        yield f"{name} row {number}", {**row, **{column: _named(row[column], named[column]) for column in named}}


def _whole(view: Any, name: str) -> Iterator[Row]:
    """The rows, with the files that some name (pictures) read. DataError for one that is not there."""
    rows, number = iter(view), 0
    while True:
        number += 1
        try:
            yield next(rows)
        except StopIteration:
            return
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise DataError(
                f"{name} row {number} names a file that {'is not there' if missing else 'cannot be read'}", expected="every picture at its place",
                received=str(error.filename or error)[:200], change="put it there, or make the data set anew without this row",
            ) from None  # fmt: skip


def _class_names(feature: Any) -> list[str] | None:
    """The names behind the numbers of a column of classes, or of lists of classes."""
    inner = getattr(feature, "feature", feature)
    inner = inner[0] if isinstance(inner, list) and len(inner) == 1 else inner
    names = getattr(inner, "names", None)
    return list(names) if isinstance(names, list | tuple) and names else None


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None  # −1: the label is kept back


def identity(data: Any, name: str, options: list[Any]) -> dict[str, Any]:
    """What a cached result depends on: the library's own fingerprint of the data."""
    return {
        "dataset": name,
        "fingerprint": str(getattr(data, "_fingerprint", "")),
        "rows": len(data),
        "options": options,
    }
