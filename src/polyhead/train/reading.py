"""From a config's data section to an open source."""

from __future__ import annotations

from polyhead.data import Source, open_source
from polyhead.data.naming import several
from polyhead.errors import ConfigError

from .config import DataConfig


def open_data(data: DataConfig, path: str | tuple[str, ...], kind: str | None = None, image_size: int | None = None) -> Source:
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
        image_size=image_size or data.image_size, header=data.header,
    )
    if kind is not None and source.kind != kind:
        needs = "pairs (two parallel files, two columns, or prompt and completion)" if kind == "pairs" else kind
        raise ConfigError(
            f"{source.name} holds {source.kind}", expected=needs, received=source.kind,
            change="name other columns with data.columns, or choose a model for this kind of data",
        )  # fmt: skip
    return source
