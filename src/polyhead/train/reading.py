"""From a config's data section to an open source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from polyhead.data import Source, open_source
from polyhead.data.naming import several
from polyhead.errors import ConfigError
from polyhead.text import read_chunks

from .config import DataConfig, RunConfig

ImageSize = int | tuple[int, int] | Literal["any"] | None


def open_parts(config: RunConfig, image_size: ImageSize = None) -> tuple[Source, Source, Source]:
    """(all of a run's data, what it trains on, what it holds out). Raises ConfigError for data of another kind than its
    objective takes."""
    data, kinds = config.data, config.training.objective.takes
    kind = kinds[0] if len(kinds) == 1 else None  # of several, data.kind or the shape decides
    source = open_data(data, data.path, kind, image_size)
    if data.validation is None:
        train, held = source.holdout(data.holdout, config.seed, data.held == "last")
    else:
        train, held = source, open_data(data, data.validation, kind, image_size)
    if source.kind not in kinds:
        raise ConfigError(
            f"{source.name} holds {source.kind}", expected=" or ".join(kinds), received=source.kind,
            change="name other columns with data.columns, or leave training.objective to the data",
        )  # fmt: skip
    return source, train, held


def refuse_lines_that_may_be_pairs(data: DataConfig) -> None:
    """ConfigError for two text files with as many lines each, of which nobody says whether they are texts or pairs: a model that
    learns from either would learn something else than was meant without a word."""
    where = several(data.path) if isinstance(data.path, str) else list(data.path)
    files = [Path(place).expanduser() for place in where] if not isinstance(where, str) else []
    if data.kind is not None or data.split != "file" or len(files) != 2 or not all(file.is_file() for file in files):
        return
    lines = [_lines_of(file) for file in files]
    if lines[0] == lines[1] > 1:
        raise ConfigError(
            f"{where[0]} and {where[1]} have {lines[0]:,} lines each: two texts, or pairs line by line?", expected="data.kind=pairs or data.kind=text",
            received="two files of plain text for an encoder–decoder, which learns from either", change="data.kind=pairs if line i of one belongs to line i of the other",
        )  # fmt: skip


def _lines_of(path: Path) -> int:
    count, end = 0, "\n"
    for chunk in read_chunks(path):
        count, end = count + chunk.count("\n"), chunk[-1:] or end
    return count + (end != "\n")


def open_data(data: DataConfig, path: str | tuple[str, ...], kind: str | None = None, image_size: ImageSize = None) -> Source:
    """The source a config names, refused if it is of the wrong kind for the objective. kind: what that takes, where it is one; a
    label can be a target, written out."""
    if data.kind is not None and kind is not None and data.kind != kind and (data.kind, kind) != ("labelled", "pairs"):
        raise ConfigError(
            "data.kind does not fit the objective", expected=kind, received=data.kind, change="leave data.kind out, or name another training.objective"
        )
    wanted = data.kind if kind is None else kind
    where = several(path) if isinstance(path, str) else list(path)
    columns = data.columns.split(",") if data.columns else None
    source = open_source(
        where, columns=columns, kind=wanted, split=data.split, repair=data.repair, max_bad=data.max_bad,
        image_size=image_size or data.image_size, header=data.header, labels=data.labels,
    )
    if kind is not None and source.kind != kind:
        needs = "pairs (two parallel files, two columns, or prompt and completion)" if kind == "pairs" else kind
        raise ConfigError(
            f"{source.name} holds {source.kind}", expected=needs, received=source.kind,
            change="name other columns with data.columns, or choose a model for this kind of data",
        )  # fmt: skip
    return source
