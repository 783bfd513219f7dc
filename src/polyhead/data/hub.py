"""Data sets through the `datasets` library: a name on the Hub, or a folder that `save_to_disk` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from .columns import Columns, Row
from .tally import Tally


def is_saved(folder: Path) -> bool:
    """Whether `datasets` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


def load(name: str, folder: Path | None, subset: str | None, part: str) -> Any:
    """The `part` (such as "train") of a data set. `folder` None: `name` is looked up on the Hub, the only use of the
    network in this package. Raises DataError with the reason."""
    try:
        import datasets
    except ImportError as e:
        raise DataError(f"{name} needs the datasets library", change="pip install datasets") from e
    try:
        found = datasets.load_dataset(name, subset) if folder is None else datasets.load_from_disk(str(folder))
    except Exception as e:  # the library raises whatever its network and readers raise
        reason = str(e).strip().splitlines() or [type(e).__name__]
        raise DataError(
            f"cannot load the data set {name}",
            expected="a data set on the Hub, as owner/name, or a folder that exists"
            if folder is None
            else "a whole folder",
            received=reason[0][:300],
            change="check the name, its subset and the connection; a path must exist"
            if folder is None
            else "save it again",
        ) from e
    if isinstance(found, dict):
        if part not in found:
            raise DataError(
                f"{name} has no part {part!r}", expected=", ".join(map(str, found)), received=part, change="set part"
            )
        return found[part]
    return found


def rows_of(data: Any, name: str, columns: Columns | None, tally: Tally) -> Iterator[tuple[str, Row]]:
    """The rows in order; only the columns asked for are read."""
    tops = {column.partition(".")[0] for column in columns or ()} & set(data.column_names)
    wanted = [c for c in data.column_names if c in (set(columns or ()) | tops)]
    view = data.select_columns(wanted) if wanted else data
    named = {column: names for column in view.column_names if (names := _class_names(data.features.get(column)))}
    for number, row in enumerate(view, 1):
        yield f"{name} row {number}", {**row, **{column: _named(row[column], named[column]) for column in named}}


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
