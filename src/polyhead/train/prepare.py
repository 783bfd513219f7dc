"""From a config's data to objectives: open, hold out, train or load the tokenizer, pack. Done once per run's folder."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from polyhead.data import Causal, Masked, Objective, PairFile, Seq2Seq, Source, TokenFile, open_source, pack
from polyhead.errors import ConfigError
from polyhead.families import resolve
from polyhead.text import Tokenizer

from .config import DataConfig, RunConfig
from .parallel import Ranks

Tell = Callable[[str, dict[str, Any]], None]
DEFAULT_VOCAB = 4096


class Prepared(NamedTuple):
    """What training needs from the data. sizes: counts for people; validation_bytes: UTF-8 bytes of the held-out text;
    example: of pairs, the first held-out source; mark: what tells these tokens from others."""

    tokenizer: Tokenizer
    train: Objective
    validation: Objective
    context: int
    validation_bytes: int
    sizes: dict[str, int]
    notes: list[str]
    example: str | None = None
    mark: str = ""


def prepare(config: RunConfig, folder: Path, ranks: Ranks, tell: Tell) -> Prepared:
    """Rank 0 writes `folder`/data and the tokenizer; the others wait and read the same files."""
    context = context_of(config)
    kind = "pairs" if config.training.objective == "seq2seq" else "text"
    if ranks.first:
        made = _make(config, folder, kind, tell)
        ranks.barrier()
    else:
        ranks.barrier()
        made = _make(config, folder, kind, lambda *_: None)
    tokenizer, train, held, notes = made
    objectives = [_objective(config, part, context, tokenizer) for part in (train, held)]
    for objective in objectives:
        if len(objective) < 1:
            raise objective.too_short(1)
        notes = notes + list(getattr(objective, "notes", []))
    sizes = {"train_tokens": tokens_in(train), "validation_tokens": tokens_in(held)}
    sizes |= {"train_samples": len(objectives[0]), "validation_samples": len(objectives[1])}
    size = bytes_in(held)
    sizes |= {"train_bytes": bytes_in(train), "validation_bytes": size}
    notes, example = list(dict.fromkeys(notes)), first_source(held, tokenizer)
    return Prepared(tokenizer, objectives[0], objectives[1], context, size, sizes, notes, example, mark_of(train, held))


def context_of(config: RunConfig) -> int:
    """Tokens per sample: as asked, else the model's context."""
    return config.training.context or resolve(config.model).context


def tokens_in(file: TokenFile | PairFile) -> int:
    return len(file.file) if isinstance(file, PairFile) else len(file)


def bytes_in(file: TokenFile | PairFile) -> int:
    """UTF-8 bytes behind the tokens; 0 for pairs, whose bits per byte would mix two texts."""
    return file.bytes if isinstance(file, TokenFile) else 0


def mark_of(*files: TokenFile | PairFile) -> str:
    """A hash of the lengths and of 4,096 tokens at each of up to 64 places: by content, whatever the files' names and
    times, and as quick for a large corpus as for a small one."""
    digest = hashlib.sha256()
    for file in files:
        tokens = file.file.tokens if isinstance(file, PairFile) else file.tokens
        digest.update(f"{len(tokens)} {tokens.dtype}".encode())
        for start in range(0, len(tokens), max(4096, len(tokens) // 64)):
            digest.update(tokens[start : start + 4096].tobytes())
    return digest.hexdigest()


def first_source(file: TokenFile | PairFile, tokenizer: Tokenizer) -> str | None:
    if isinstance(file, TokenFile):
        return None
    (starts, ends), tokens = file.sources, file.file.tokens
    return tokenizer.decode(tokens[starts[0] : ends[0]].tolist())


def _make(config: RunConfig, folder: Path, kind: str, tell: Tell) -> tuple[Tokenizer, Any, Any, list[str]]:
    data, storage = config.data, folder / "data"
    source = open_data(data, data.path, kind)
    if data.validation is None:
        train, held = source.holdout(data.holdout, config.seed)
    else:
        train, held = source, open_data(data, data.validation, kind)
    storage.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(config, train, folder, tell)
    tell("stage", {"text": "packing tokens"})
    packed, packed_held = (
        pack(part, tokenizer, storage / f"{name}.tokens") for name, part in (("train", train), ("valid", held))
    )
    return tokenizer, packed, packed_held, [*source.notes, *train.notes]


def open_data(data: DataConfig, path: str | tuple[str, ...], kind: str | None = None) -> Source:
    """The source a config names, refused if it is of the wrong kind for the objective."""
    where = path if isinstance(path, str) else list(path)
    if isinstance(where, str) and "," in where and not Path(where).exists():
        where = where.split(",")
    columns = data.columns.split(",") if data.columns else None
    source = open_source(
        where, columns=columns, kind=kind, split=data.split, repair=data.repair, max_bad=data.max_bad
    )
    if kind is not None and source.kind != kind:
        needs = "pairs (two parallel files, two columns, or prompt and completion)" if kind == "pairs" else "text"
        raise ConfigError(
            f"{source.name} holds {source.kind}", expected=needs, received=source.kind,
            change="name other columns with data.columns, or choose a model for this kind of data",
        )  # fmt: skip
    return source


def _tokenizer(config: RunConfig, train: Source, folder: Path, tell: Tell) -> Tokenizer:
    """The run's own if it has one already, the file asked for, or a new one trained on the training part."""
    own = folder / "tokenizer.json"
    if own.exists():
        return Tokenizer.load(own)
    asked = config.tokenizer
    if asked.path is not None:
        return Tokenizer.load(asked.path)
    tell("stage", {"text": f"training a {asked.kind} tokenizer"})
    size = None if asked.kind in ("chars", "bytes") else asked.vocab_size or DEFAULT_VOCAB
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tokenizer = Tokenizer.train(train.texts(), asked.kind, size)
    for warning in said:
        tell("note", {"text": str(warning.message)})
    if folder.exists():
        tokenizer.save(own)
    return tokenizer


def _objective(config: RunConfig, file: Any, context: int, tokenizer: Tokenizer) -> Objective:
    training = config.training
    if training.objective == "seq2seq":
        return Seq2Seq(file, context, context)
    if training.objective == "masked":
        return Masked(file, context, tokenizer, rate=training.mask_rate)
    return Causal(file, context, documents=config.data.documents)
