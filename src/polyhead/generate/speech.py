"""Sounds → text, of an encoder that hears and a decoder that writes (Whisper, Radford et al. 2022, arXiv 2212.04356 §2.3): the
decoder is told language and task by ids that generation_config.json names, then writes greedily."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError, UserError
from ..nn import Tokens
from .engine import Engine
from .sample import Sampling
from .stop import Limits, Row
from .write import write


class Told(NamedTuple):
    """What generation_config.json says: ids by language ("en") and task, that of no time stamps, those never written and
    those that do not begin a text."""

    languages: dict[str, int]
    tasks: dict[str, int]
    plain: list[int]
    never: list[int]
    not_first: list[int]


def read_told(config: Mapping[str, Any], vocab: int) -> Told:
    """ConfigError names the key whose ids are not of the vocabulary; of those that are not written they need not be."""

    def ids(key: str, found: Any) -> list[int]:
        found = [] if found is None else found
        if not isinstance(found, list) or any(type(i) is not int or not 0 <= i < vocab for i in found):
            raise ConfigError(f"generation_config.json: {key} is not possible", expected=f"ids below {vocab}", received=repr(found)[:100])
        return found

    def named(key: str) -> dict[str, int]:
        found = config.get(key) or {}
        if not isinstance(found, dict):
            raise ConfigError(f"generation_config.json: {key} is not possible", expected="ids by name", received=repr(found)[:100])
        return dict(zip((name.strip("<|>") for name in found), ids(key, list(found.values())), strict=True))

    plain = config.get("no_timestamps_token_id")
    given = [config.get(key) for key in ("suppress_tokens", "begin_suppress_tokens")]
    lists = [[i for i in found if type(i) is int and 0 <= i < vocab] if isinstance(found, list) else [] for found in given]
    return Told(named("lang_to_id"), named("task_to_id"), ids("no_timestamps_token_id", [] if plain is None else [plain]), *lists)


def transcribe(
    engine: Engine, tokenizer: Any, told: Told, start: int, ends: frozenset[int], frames: Tensor, language: str | None, task: str, max_tokens: int | None
) -> Iterator[tuple[list[int], Row]]:
    """(what the decoder was told, what it wrote) for each sound; see Senses.transcribe."""
    source = Tokens(signal=frames.to(engine.device, next(engine.net.parameters()).dtype))
    prompts = [[start, *ids, *told.plain] for ids in _asked(engine, told, start, source, language, task)]
    room = engine.spec.context - len(prompts[0])
    limits = Limits(max_tokens=room if max_tokens is None else max_tokens, eos=ends)
    rows = [Row(limits, tokenizer, prompt) for prompt in prompts]
    every = torch.ones(engine.vocab, dtype=torch.bool, device=engine.home)
    every[told.never] = False
    first = every.clone()
    first[told.not_first] = False
    for _ in write(engine, rows, prompts, Sampling(temperature=0), [0] * len(rows), source=source, allowed=every, first=first):
        pass
    return zip(prompts, rows, strict=True)


def _asked(engine: Engine, told: Told, start: int, source: Tokens, language: str | None, task: str) -> Sequence[list[int]]:
    """For each sound the ids of its language and the task; of a model for one language, none."""
    assert source.signal is not None, "Model.transcribe hears sounds"
    rows = len(source.signal)
    if not told.languages:
        if language is not None or task != "transcribe":
            raise UserError("this model knows one language and one task", expected='language None and task "transcribe"', received=f"{language!r}, {task!r}")
        return [[]] * rows
    for what, name, known in (("language", language, told.languages), ("task", task, told.tasks)):
        if name not in known and not (what == "language" and name is None):
            raise UserError(f"{what} is not one the model knows", expected=" | ".join(known), received=repr(name)[:100])
    if language is not None:
        return [[told.languages[language], told.tasks[task]]] * rows
    spoken = torch.tensor(list(told.languages.values()), device=engine.home)
    _, logits = engine.prefill([[start]] * rows, 1, source)
    return [[i, told.tasks[task]] for i in spoken[logits[:, spoken].argmax(-1)].tolist()]
