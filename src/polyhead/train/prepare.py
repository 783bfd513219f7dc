"""From a config's data to objectives: open, hold out, train or load the tokenizer, pack. Done once per run's folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from polyhead.checkpoint import resolve
from polyhead.data import Objective, Source, pack
from polyhead.data.classes import two_at_least
from polyhead.errors import ConfigError, DataError
from polyhead.generate.folder import read_tokenizer
from polyhead.nn import ModelSpec
from polyhead.text import Tokenizer

from .config import DataConfig, RunConfig
from .objectives import Given
from .packed import Packed, bytes_in, facts_of, kind_of, mark_of, openings, path_of, tokens_in
from .parallel import Ranks
from .reading import open_parts
from .settings import spec_of
from .start import Start
from .trained import spec_for

Tell = Callable[[str, dict[str, Any]], None]
DEFAULT_VOCAB = 4096
SHORTEST = 4  # the least context that is worth naming


class Prepared(NamedTuple):
    """What training needs from the data. spec: the architecture for it; sizes: counts for people; validation_bytes: UTF-8
    bytes of the held-out text; example: what the model may be asked, of the held-out part; mark: what tells these tokens from others;
    facts: of the data, such as its labels; kind: what the data is made of."""

    tokenizer: Tokenizer | None
    spec: ModelSpec
    train: Objective
    validation: Objective
    context: int
    validation_bytes: int
    sizes: dict[str, int]
    notes: list[str]
    example: str | None = None
    mark: str = ""
    facts: dict[str, Any] = {}
    kind: str = "text"


def prepare(config: RunConfig, folder: Path, ranks: Ranks, tell: Tell, start: Start | None = None, spec: ModelSpec | None = None) -> Prepared:
    """Rank 0 writes `folder`/data and the tokenizer; the others wait and read the same files. start: the model a run goes on
    from, whose tokenizer it keeps. spec: what a resumed run trains; None: made from the config and the data."""
    if ranks.first:
        made = _make(config, folder, tell, start)
        ranks.barrier()
    else:
        ranks.barrier()
        made = _make(config, folder, lambda *_: None, start)
    tokenizer, train, held, notes = made
    facts, objective = facts_of(train), config.training.objective
    if facts.get("problem") in ("single", "tag"):
        two_at_least(facts["labels"], str(config.data.path), "tag" if facts["problem"] == "tag" else "class")
    if spec is None:
        spec = spec_for(config.training.trained, spec_of(config, None if tokenizer is None else tokenizer.vocab_size, facts))
    given = Given(spec, context_of(config, spec), tokenizer, config.data.documents)
    sizes = {"train_tokens": tokens_in(train), "validation_tokens": tokens_in(held)}
    try:
        objectives = objective.datasets(train, held, given)
    except DataError as error:  # it names a file of the run's folder, which nobody asked for
        for path, name in ((path_of(train), "the training part"), (path_of(held), "the held-out part")):
            error.message = error.message.replace(str(path), name)
        error.args = (error.message,)
        raise
    long_enough(config.data, *objectives)
    for part in objectives:
        notes = notes + list(getattr(part, "notes", []))
    sizes |= {"train_samples": len(objectives[0]), "validation_samples": len(objectives[1])}
    size = bytes_in(held)
    sizes |= {"train_bytes": bytes_in(train), "validation_bytes": size}
    notes, example = list(dict.fromkeys(notes)), next(iter(openings(held, tokenizer, given.context - 1)), None)
    facts = facts | objective.meta(objectives[0], given)
    return Prepared(tokenizer, spec, *objectives, given.context, size, sizes, notes, example, mark_of(train, held), facts, kind_of(train))


def long_enough(data: DataConfig, train: Objective, held: Objective) -> None:
    """DataError unless both parts hold a sample: it names the part, its size, and a context that does for both at once."""
    short = train if len(train) < 1 else held
    if len(short) > 0:
        return
    error, fits = short.too_short(1), [part.fits() for part in (train, held)]
    context = min(number or 0 for number in fits)
    ways = [f"training.context={context}"] if context >= SHORTEST else []
    if short is train:
        raise DataError(error.message, expected=error.expected, received=error.received, change=" or ".join([*ways, "add text"]))
    if data.validation is None:
        name, ways = f"data.holdout={data.holdout:g}", [*ways, "a larger data.holdout", "a held-out file with data.validation"]
    else:
        name, ways = f"data.validation={data.validation}", [*ways, "a longer one"]
    raise DataError(
        f"the held-out part ({name}) is too short for one sample", expected=error.expected, received=f"{error.received} held out",
        change=" or ".join(ways),
    )  # fmt: skip


def context_of(config: RunConfig, spec: ModelSpec) -> int:
    """Tokens per sample: as asked, else the model's context."""
    return config.training.context or spec.context


def _make(config: RunConfig, folder: Path, tell: Tell, start: Start | None) -> tuple[Tokenizer | None, Packed, Packed, list[str]]:
    storage = folder / "data"
    source, train, held = open_parts(config, config.data.image_size or (None if start is None else start.image_size))
    storage.mkdir(parents=True, exist_ok=True)
    tokenizer = None if source.kind == "images" else _tokenizer(config, train, folder, tell, start)
    tell("stage", {"text": "packing pictures" if tokenizer is None else "packing tokens"})
    packed = pack(train, tokenizer, storage / "train.tokens")
    packed_held = pack(held, tokenizer, storage / "valid.tokens", labels=facts_of(packed).get("labels"))
    return tokenizer, packed, packed_held, [*source.notes, *train.notes]


def _tokenizer(config: RunConfig, train: Source, folder: Path, tell: Tell, start: Start | None) -> Tokenizer:
    """The run's own if it has one already, that of the model it goes on from or learns from, the file asked for, or a new one
    trained on the training part."""
    own = folder / "tokenizer.json"
    if own.exists():
        return Tokenizer.load(own)
    asked, teacher = config.tokenizer, config.training.objective.teacher
    if start is not None or teacher is not None:
        if asked.path is not None:
            raise ConfigError(
                "the tokenizer is that of the trained model", expected="no tokenizer.path", received=asked.path, change="leave it out"
            )
        tokenizer = start.tokenizer if start is not None else read_tokenizer(resolve(str(teacher)))
        if tokenizer is None:
            raise ConfigError(f"{teacher or config.model} has no tokenizer", expected="a model with tokenizer.json", received="none")
        if folder.exists():
            tokenizer.save(own)
        return tokenizer
    if asked.path is not None:
        return Tokenizer.load(asked.path)
    tell("stage", {"text": f"training a {asked.kind} tokenizer"})
    size = None if asked.kind in ("chars", "bytes") else asked.vocab_size or DEFAULT_VOCAB
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tokenizer = Tokenizer.train(train.texts(), asked.kind, size, sentinels=config.training.objective.sentinels, **asked.options())
    tokenizer = tokenizer.framed() if config.training.objective.frames else tokenizer
    for warning in said:
        tell("note", {"text": str(warning.message)})
    if folder.exists():
        tokenizer.save(own)
    return tokenizer
