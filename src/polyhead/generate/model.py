"""What users hold: a network, its tokenizer, and the verbs generate, score, save and load."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import resolve
from ..errors import ConfigError, UserError
from ..nn import ModelSpec, Pair, PairSpec, Transformer
from ..tasks.embed import embed
from ..tasks.rows import batch, evaluating
from ..text import Tokenizer
from .adapters import Adapters
from .beam import Beam, beam_search
from .engine import Engine, check_room
from .folder import read_folder, write_folder, write_huggingface
from .pack import prepare, stamp, worth_packing
from .prompt import Prompts, Reader
from .rules import FILE, Rules, read_rules
from .sample import Sampling, chosen
from .senses import Senses
from .stop import Generation, Limits, Row
from .verbs import Verbs
from .write import write

_TEMPERATURE, _MAX_TOKENS = 0.8, 64


class _Task(NamedTuple):
    """One call of generate, read and checked."""

    asked: Prompts
    limits: Limits
    sampling: Sampling
    seeds: list[int]
    allowed: Tensor | None
    extrapolate: bool


class Model(Senses, Verbs, Adapters):
    """A Transformer ready to use; or a Pair of them, whose `net(texts, images)` compares, and which writes no text.

    meta: facts of its training, JSON values. "bos": texts began with a <bos>, so prompts do; "eos", "start": ids that
    end a text and that a decoder starts from, where no tokenizer says so; "forced_bos", "forced_eos": ids that every answer
    of an encoder–decoder begins with, and that stand last in one of max_tokens. Raises ConfigError for a tokenizer with more
    tokens than the embedding has rows.
    """

    def __init__(
        self,
        net: Transformer | Pair,
        tokenizer: Tokenizer | None = None,
        objective: str = "causal",
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.net, self.tokenizer, self.objective, self.meta = net, tokenizer, objective, dict(meta or {})
        self._engine: Engine | None = None  # an assigned one
        self._prepared: tuple[tuple[int, ...], Transformer] | None = None  # with the stamp of the weights it was made from
        self._reader = Reader(net.text.spec if isinstance(net, Pair) else net.spec, tokenizer, self.meta)

    @property
    def spec(self) -> ModelSpec | PairSpec:
        return self.net.spec

    @property
    def text_spec(self) -> ModelSpec:
        """The spec of what reads text: the whole model's, or that of a pair's text tower."""
        return self._reader.spec

    @property
    def prepared(self) -> Transformer | Pair:
        """The network to compute answers with, as `net` but faster: on a CPU a copy with its weights laid out for the
        kernels, where memory allows, made anew when a weight has changed; else `net` itself. It is not for training."""
        if self.net.training or isinstance(self.net, Pair):
            return self.net
        now = stamp(self.net)
        if self._prepared is None or self._prepared[0] != now:
            self._prepared = None  # its memory first
            self._prepared = now, prepare(self.net) if worth_packing(self.net) else self.net
        return self._prepared[1]

    @property
    def engine(self) -> Engine:
        """What decodes, over the prepared network. One assigned here is kept as it is. ConfigError for a model that writes no text."""
        if isinstance(self.net, Pair):
            raise ConfigError(
                "this model compares texts with images and writes no text", expected="a language model",
                received="a pair of towers", change="compare them: model.classify_images(images, texts)",
            )  # fmt: skip
        if self._engine is not None:
            return self._engine
        net = self.prepared
        assert not isinstance(net, Pair)
        return Engine(net)

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        spec = self.spec
        stacks = {"image": spec.image.top, "text": spec.text.top} if isinstance(spec, PairSpec) else spec.stacks
        shape = " + ".join(f"{name} {stack.layers}×{stack.width}" for name, stack in stacks.items())
        return f"Model({shape}, {self.spec.params().total:,} parameters, objective {self.objective})"

    def generate(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        ids: Sequence[int] | Sequence[Sequence[int]] | Tensor | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        beams: int = 1,
        length_penalty: float = 0.6,
        stop: str | Sequence[str] = (),
        forbid: Sequence[int] = (),
        seed: int | Sequence[int] | None = None,
        stream: bool = False,
        extrapolate: bool = False,
    ) -> Any:
        """Continue a prompt, or for an encoder–decoder answer it. Returns a Generation, a list of them for a list of
        prompts, or with stream=True an iterator over pieces of text.

        prompt or ids: text, or tokens; neither: a text from its beginning. max_tokens None: 64, fewer where the
        context ends. temperature None: 0.8, for encoder–decoders 0 (the most probable token); Sampling explains it and the
        next six, which a published model's generation_config.json sets where it draws and they are None (repetition_penalty
        always); what that file bars is barred as well. beams > 1: the most probable answer among that many prefixes, ranked with length_penalty; nothing is
        drawn then. stop: texts that end the answer and are not part of it. forbid: ids never produced. seed: row i
        draws with seed + i, or with the i-th of a list; None: fresh. extrapolate: beyond the context.
        Raises UserError.
        """
        _ = self.engine  # a model that cannot generate says so first
        beam = Beam(beams=beams, length_penalty=length_penalty)
        default = 0.0 if self.text_spec.encoder is not None or beams > 1 else _TEMPERATURE
        told, where = self._told
        sampling = chosen(
            default, told if beams == 1 else {}, where, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            repetition_penalty=repetition_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
        )  # fmt: skip
        asked = self._reader.prompts(prompt, ids)
        _ = self._rules  # a file that is not possible says so before anything is computed
        allowed = self._allowed(forbid)
        limits = self._limits(asked, max_tokens, stop, extrapolate, forbid)
        seeds = _seeds(seed, len(asked.prompts))
        task = _Task(asked, limits, sampling, seeds, allowed, extrapolate)
        if beams > 1:
            _check_beams(task, stream)
            if told.get("repetition_penalty") not in (None, 1):
                warnings.warn(f"{where}: repetition_penalty: not followed by beams", stacklevel=2)
            answers = self._searched(task, beam)
        elif stream:
            self._check_stream(asked)
            return _pieces(self._write(task, self._rows(task)))
        else:
            answers = self._written(task)
        return answers[0] if asked.single else answers

    @property
    def _told(self) -> tuple[dict[str, Any], str]:
        """What generation_config.json says, in folders without one config.json; the file's name."""
        kept = self.meta.get("huggingface")
        parts = [(kept.get(key), name) for key, name in (("generation", FILE), ("config", "config.json"))] if isinstance(kept, dict) else []
        return next(((part, name) for part, name in parts if isinstance(part, dict)), ({}, FILE))

    @cached_property
    def _rules(self) -> Rules:
        """What that says of the tokens that may come."""
        told, where = self._told
        return read_rules(told, self.engine.vocab, self._reader.ends, where)

    def _rows(self, task: _Task) -> list[Row]:
        return [Row(task.limits, self.tokenizer, prompt) for prompt in task.asked.prompts]

    def _write(self, task: _Task, rows: list[Row]) -> Iterator[list[str]]:
        return write(
            self.engine, rows, task.asked.prompts, task.sampling, task.seeds,
            source=task.asked.source, allowed=task.allowed, rules=self._rules, extrapolate=task.extrapolate,
        )  # fmt: skip

    def _written(self, task: _Task) -> list[Generation]:
        rows = self._rows(task)
        for _ in self._write(task, rows):
            pass
        seeds = task.seeds if task.sampling.temperature > 0 else [None] * len(rows)
        return [self._generation(task, i, row, seed=seeds[i]) for i, row in enumerate(rows)]

    def _searched(self, task: _Task, beam: Beam) -> list[Generation]:
        found = beam_search(
            self.engine, task.asked.prompts, beam, task.limits,
            source=task.asked.source, allowed=task.allowed, rules=self._rules, extrapolate=task.extrapolate,
        )  # fmt: skip
        rows = self._rows(task)
        for row, hypothesis in zip(rows, found, strict=True):
            for number in hypothesis.ids:
                row.push(number)
            if row.reason is None:
                row.end(hypothesis.reason)
        return [self._generation(task, i, row, score=found[i].score) for i, row in enumerate(rows)]

    def _limits(self, asked: Prompts, max_tokens: int | None, stop: str | Sequence[str], extrapolate: bool, forbid: Sequence[int]) -> Limits:
        longest = max(map(len, asked.prompts))
        if max_tokens is None:
            max_tokens = max(1, min(_MAX_TOKENS, self.text_spec.context + 1 - longest))
        stops: Any = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else stop
        first, last = (None if number in forbid else number for number in self._reader.forced)
        limits = Limits(max_tokens=max_tokens, stop=stops, eos=self._reader.ends, first=first, last=last)
        if limits.stop and self.tokenizer is None:
            raise ConfigError("stop strings need a tokenizer", received="a model without one")
        source = max(map(len, asked.source)) if asked.source is not None else 0
        check_room(self.text_spec, longest, limits.max_tokens, source, extrapolate)
        return limits

    def budget(self, prompt: str, max_tokens: int | None = None) -> int:
        """How many tokens `generate` lets the answer to this prompt have: max_tokens, else 64, fewer where the context ends.
        Raises UserError for a prompt that leaves no room for them."""
        _ = self.engine  # a model that cannot generate says so first
        return self._limits(self._reader.prompts(prompt, None), max_tokens, (), False, ()).max_tokens

    def _allowed(self, forbid: Sequence[int]) -> Tensor | None:
        """(V,) bool: known to the tokenizer and not forbidden; None = all."""
        vocab = self.engine.vocab
        if not isinstance(forbid, Collection) or any(type(i) is not int or not 0 <= i < vocab for i in forbid):
            expected = f"a list of whole numbers below {vocab}"
            raise ConfigError("forbid is not possible", expected=expected, received=repr(forbid)[:100])
        if not forbid and len(self._known) == vocab:
            return None
        allowed = torch.zeros(vocab, dtype=torch.bool, device=self.engine.home)
        allowed[self._known] = True
        allowed[list(forbid)] = False
        return allowed

    @cached_property
    def _known(self) -> list[int]:
        """The ids that may be produced: an embedding may be padded to a round size, a vocabulary may have holes."""
        vocab = self.engine.vocab
        if self.tokenizer is None:
            return list(range(vocab))
        return [i for token in self.tokenizer if (i := self.tokenizer.id(token)) is not None and i < vocab]

    def _check_stream(self, asked: Prompts) -> None:
        if not asked.single or self.tokenizer is None:
            raise ConfigError(
                "a stream is the text of one answer",
                expected="one prompt, and a model with a tokenizer",
                received="a list of prompts" if not asked.single else "a model without a tokenizer",
            )

    def _generation(self, task: _Task, i: int, row: Row, **more: Any) -> Generation:
        before = task.asked.prompts[i] if task.asked.source is None else []
        return Generation(
            row.text, [*before, *row.ids], row.ids, row.reason or "length", prompt=task.asked.texts[i], **more
        )

    @torch.inference_mode()
    def score(
        self,
        text: str | None = None,
        *,
        ids: Sequence[int] | None = None,
        source: str | Sequence[int] | None = None,
        stride: int | None = None,
    ) -> Tensor:
        """−ln p of each token given those before it, in nats: (n,) fp32 (fp64 for such a model) on the CPU.

        A decoder's first token is not asked for. An encoder–decoder gives the target's tokens and its end, given
        `source`. A text longer than the context is read in windows of that length, `stride` apart (None: the whole
        length); a smaller stride gives each token more to see and costs as much more. Raises UserError.
        """
        head, context = self.engine.head, self.text_spec.context
        inputs, targets, memory = self._reader.scored(text, ids, source)
        stride = context if stride is None else stride
        if type(stride) is not int or not 1 <= stride <= context:
            raise ConfigError("stride is not possible", expected=f"1 to {context} tokens", received=repr(stride))
        if memory is not None:
            check_room(self.text_spec, len(inputs), 1, len(memory), False)
        device = next(self.net.parameters()).device
        encoder = batch([memory], device) if memory is not None else None
        done, found, net = 0, [], self.prepared
        assert not isinstance(net, Pair), "which has no engine"
        with evaluating(net):
            while done < len(targets):
                start = max(0, done - (context - stride)) if done else 0
                end = min(start + context, len(targets))
                x, _ = net.hidden(batch([inputs[start:end]], device), encoder)
                logits = net.logits(x[0, done - start :], head)
                wanted = torch.tensor(targets[done:end], device=device)
                found.append(F.cross_entropy(logits, wanted, reduction="none").cpu())
                done = end
        return torch.cat(found)

    def embed(self, texts: str | Sequence[str], *, prompt: str | None = None, batch: int = 32) -> Tensor:
        """(n, D) fp32 on the CPU, a vector for each text; (D,) for a text alone.

        A model with a head that pools (task embed), as sentence-transformers folders have. Each text stands between the
        tokenizer's special tokens; one beyond the model's own limit is cut, with a warning. prompt: the name of one of the
        model's prompts, which goes before every text; None: its usual one, if it has one. batch: texts at a time; it does not
        change the result beyond rounding. Raises UserError.
        """
        net = self.prepared
        return embed(net.text if isinstance(net, Pair) else net, self.tokenizer, self.meta.get("sentences", {}), texts, prompt, batch)

    def save(self, folder: str | Path, to: Literal["auto", "hf", "native"] = "auto") -> Path:
        """Write a folder that `load` reads, each file atomically.

        to "hf": one that transformers opens too; "native": polyhead's own (spec.json), which holds any architecture;
        "auto": hf where a published family has this architecture, else native. Low-rank updates are merged in "hf" and
        stand beside their weights in "native"; `save_adapter` writes them alone. Raises ConfigError, with "hf", naming what
        the family's format cannot express; DiskError.
        """
        if to not in ("auto", "hf", "native"):
            raise ConfigError("there is no such format", expected="auto | hf | native", received=repr(to))
        folder, meta = Path(folder), {**self.meta, "objective": self.objective}
        if to != "native":
            try:
                write_huggingface(folder, self.net, self.tokenizer, meta)
                return folder
            except ConfigError:
                if to == "hf":
                    raise
        write_folder(folder, self.net, self.tokenizer, meta)
        return folder


def load(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, unsafe_pickle: bool = False
) -> Model:
    """The model of a run's folder (its newest whole checkpoint), of a folder that `Model.save` wrote, of a Hugging Face
    folder, or of owner/name on the Hub (a path is never looked up there; HF_HUB_OFFLINE is honoured).

    dtype None: as stored. unsafe_pickle: read old pickled weights as well, in a process of their own; a pickle is a program,
    so say so for authors you trust alone. A Hugging Face model's weights stay mapped from their files on a CPU in that dtype. Raises
    CheckpointError for anything missing, damaged, foreign or newer, ConfigError for a config.json that cannot be read.
    """
    return open_folder(resolve(path, unsafe_pickle), device, dtype, unsafe_pickle)


def open_folder(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, unsafe_pickle: bool = False, mixed: bool = False
) -> Model:
    """The model of a folder; `mixed` as in read_folder."""
    net, tokenizer, meta = read_folder(folder, device, dtype, unsafe_pickle, mixed)
    return Model(net, tokenizer, str(meta.pop("objective", "causal")), meta)


def _pieces(steps: Iterator[list[str]]) -> Iterator[str]:
    for (piece,) in steps:
        if piece:
            yield piece


def _seeds(seed: int | Sequence[int] | None, rows: int) -> list[int]:
    """A seed per row; without one, fresh from the operating system, so that no other random state moves."""
    start = secrets.randbits(31) if seed is None else seed
    seeds = list(start) if isinstance(start, list | tuple) else [start + i for i in range(rows) if type(start) is int]
    if len(seeds) != rows or any(type(s) is not int or not 0 <= s < 2**63 for s in seeds):
        raise ConfigError(
            "seed is not possible",
            expected=f"a whole number from 0 to 2**63 - 1, or {rows} of them, one per prompt",
            received=repr(seed)[:100],
        )
    return seeds


def _check_beams(task: _Task, stream: bool) -> None:
    fault = None
    if task.sampling != Sampling(temperature=0):
        fault = "settings of sampling"
    elif task.limits.stop:
        fault = "stop strings"
    elif stream:
        fault = "stream=True"
    if fault is not None:
        raise UserError(
            "beam search draws nothing and knows its answer only at the end",
            expected="beams with max_tokens, length_penalty, forbid and the context's options alone",
            received=fault,
            change="leave that out, or set beams to 1",
        )
