"""eval without --on: the part that a run held out, read as the run read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from polyhead.errors import ConfigError, DataError

from .output import note

if TYPE_CHECKING:
    from polyhead.data import Source
    from polyhead.generate import Model
    from polyhead.train import RunConfig


def config_of(path: str | Path) -> RunConfig:
    """The config of the run at `path`. ConfigError for a model that is no run."""
    from polyhead.train.settings import read_config

    if not (Path(path) / "config.yaml").is_file():
        raise ConfigError(
            f"{path} is a model and no run: it has no held-out part of its own", expected="a run's folder, or data", received="neither",
            change="name data with --on DATA",
        )  # fmt: skip
    return read_config(Path(path))


def held_out(config: RunConfig, folder: Path, model: Model) -> Source:
    """The held-out part of a run's data, of the kind that its objective takes. What has changed since is told. Raises
    ConfigError where the data is gone."""
    from polyhead.train.reading import open_parts

    try:
        source = open_parts(config, "any" if "images" in config.training.objective.takes else None)[2]
    except DataError as error:
        raise ConfigError(
            f"the data of {folder} cannot be read: {error.message}", expected=error.expected, received=error.received,
            change="run it in the folder where the run was started, with the data as it was, or name data with --on DATA",
        ) from error
    if not _as_it_was(config, folder / "data", model):
        note("note: the data is not as it was when the run began: what was learnt may stand in the held-out part now")
    return source


def _as_it_was(config: RunConfig, packed: Path, model: Model) -> bool:
    """Whether what the run packed is what it would pack now; also where nothing is left to compare."""
    from polyhead.data import ExampleFile
    from polyhead.data.packing import is_packed
    from polyhead.nn import Patches
    from polyhead.train.reading import open_parts

    train, held = packed / "train.tokens", packed / "valid.tokens"
    if not train.exists() or not held.exists():
        return True
    reads = model.text_spec.top.embedding.input
    own = reads.image if isinstance(reads, Patches) else None
    sizes = {config.data.image_size, None if config.data.image_size else own}  # own: of a run that went on from a trained model
    for size in sizes:
        source = open_parts(config, size)[2]
        labels = None if source.kind in ("text", "pairs") else ExampleFile(train).facts.get("labels")
        if is_packed(source, model.tokenizer, held, labels):
            return True
    return False
