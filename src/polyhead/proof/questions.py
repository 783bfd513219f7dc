"""What two models are asked: seeded random ids, a short text, pictures or sound, whatever the first of them reads.

One row at a time and without padding: a tie of two ways to pad is another matter (tests/parity). What a class looks for
in its ids (an end of text, global tokens) is there, and random ids are nobody's special tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..generate import Model
from ..nn import LearnedSpec, ModelSpec, PairSpec, StackSpec
from ..nn.head import FROM_IDS

TEXT = "The quick brown fox, naïve as ever, jumps over 13 lazy dogs. Why?\nBecause x = 3·y, he said."
LOWEST = 10  # ids below are special in most vocabularies
TOKENS, WRITTEN = 64, 32  # read at most, written at most, unless asked otherwise
PICTURE = 224  # pixels, of a sound in place of a picture the frames


class Question(NamedTuple):
    """One row, in nobody's words. ids, source (1, T) long: the decoder's, or the only stack's, and of an
    encoder–decoder what it answers; types, marks like the ids that are read; signal: pixels or frames; memory (1, S, D)
    for a decoder that looks at an encoder it does not have; begin: the first position whose answer counts."""

    name: str
    ids: Tensor | None = None
    source: Tensor | None = None
    types: Tensor | None = None
    marks: Tensor | None = None
    signal: Tensor | None = None
    memory: Tensor | None = None
    begin: int = 0


def questions(model: Model, tokens: int | None, seed: int) -> list[Question]:
    """Random ids or a random signal, and a text where there is a tokenizer. tokens: of each random row."""
    spec, draw = model.spec, torch.Generator().manual_seed(seed)
    ask = _Asking(model, draw)
    asked = [ask.random(f"random {ask.what}", tokens)]
    if model.tokenizer is not None and ask.reads_text:
        text = ask.text(tokens)
        asked += [text] if text is not None else []
    return [_shifted(question, spec) for question in asked]


def prompt(model: Model, asked: list[Question]) -> Question:
    """What greedy tokens go on from: the text, else the first half of the random ids."""
    last = asked[-1]
    if model.text_spec.encoder is not None or len(asked) > 1 or last.ids is None:
        return last
    return last._replace(ids=last.ids[:, : max(1, last.ids.shape[1] // 2)])


def padding_ids(model: Model) -> set[int]:
    """The ids that pad rows of a model that reads text."""
    told = _config(model).get("pad_token_id"), getattr(model.tokenizer, "pad", None)
    return {i for i in told if type(i) is int and 0 <= i < (model.text_spec.top.embedding.vocab or 0)}


def _config(model: Model) -> dict[str, Any]:
    kept = model.meta.get("huggingface")
    config = kept.get("config") if isinstance(kept, dict) else None
    return config if isinstance(config, dict) else {}


class _Asking:
    """Makes questions for one model."""

    def __init__(self, model: Model, draw: torch.Generator) -> None:
        self.model, self.spec, self.draw = model, model.spec, draw
        towers = [self.spec.text, self.spec.image] if isinstance(self.spec, PairSpec) else [self.spec]
        self.stacks: list[StackSpec] = [stack for tower in towers for stack in tower.stacks.values()]
        self.top = towers[0].top
        self.avoid = self._special_ids()

    @property
    def reads_text(self) -> bool:
        """Whether a text can be the question: the stack that reads it first takes ids."""
        return self.stacks[0].embedding.vocab is not None

    @property
    def what(self) -> str:
        kinds = [s.embedding.input.kind for s in self.stacks if s.embedding.vocab is None]
        return {"patches": "pixels", "frames": "frames"}.get(kinds[0], kinds[0]) if kinds else "ids"

    def random(self, name: str, tokens: int | None) -> Question:
        signal = next((self._signal(s) for s in self.stacks if s.embedding.vocab is None), None)
        if self.top.embedding.vocab is None:
            return Question(name, signal=signal)
        rows = [self._ids(stack, tokens) for stack in self.stacks if stack.embedding.vocab is not None]
        source = rows[0] if len(self.stacks) == 2 and signal is None else None
        if source is not None or (signal is not None and not isinstance(self.spec, PairSpec)):
            rows[-1][0, 0] = self._start()
        return self._finished(Question(name, rows[-1], source, signal=signal))

    def text(self, tokens: int | None) -> Question | None:
        """The fixed text as the model's own tokenizer wraps it; None if nothing is left of it."""
        tokenizer, stack = self.model.tokenizer, self.stacks[0]
        assert tokenizer is not None
        room = min(_room(stack, self.spec), tokens or TOKENS)
        ids, types = tokenizer.wrap(tokenizer.encode(TEXT)[: max(1, room - 4)])
        if not ids or max(ids) >= (stack.embedding.vocab or 0):
            return None
        row = torch.tensor([ids])
        question = self.random("text", tokens)
        if question.source is not None:
            return self._finished(question._replace(source=row))
        return self._finished(question._replace(ids=row, types=torch.tensor([types])))

    def _finished(self, asked: Question) -> Question:
        """With token types, global tokens and ends where the model looks for them."""
        read = asked.ids if asked.source is None else asked.source
        assert read is not None
        stack = self.stacks[0]
        kinds = stack.embedding.types
        types, wanted = asked.types, read.shape
        if not kinds:
            types = None
        elif types is None or types.shape != wanted:
            types = torch.randint(0, kinds, wanted, generator=self.draw)
        else:
            types = types.clamp(max=kinds - 1)
        if _marks(stack):
            marks = torch.zeros(wanted, dtype=torch.bool)
            marks[0, [0, wanted[1] // 3]] = True
            asked = asked._replace(marks=marks)
        for end in self._ends():
            read[read == end] = self._plain(stack)
            read[0, -1] = end
        return asked._replace(types=types, memory=self._memory(asked))

    def _memory(self, asked: Question) -> Tensor | None:
        """States for a decoder's cross-attention where the model has no encoder."""
        looks = any(block.cross is not None for block in self.top.blocks.values())
        return torch.randn(1, 17, self.top.width, generator=self.draw) if looks and len(self.stacks) == 1 else None

    def _ids(self, stack: StackSpec, tokens: int | None) -> Tensor:
        count = min(_room(stack, self.spec), tokens or TOKENS)
        vocab = stack.embedding.vocab or 1
        plain = torch.ones(vocab, dtype=torch.bool)
        plain[[i for i in self.avoid if 0 <= i < vocab]] = False
        plain[: LOWEST if vocab > 4 * LOWEST else 0] = False
        known = plain.nonzero().flatten() if plain.any() else torch.zeros(1, dtype=torch.long)
        return known[torch.randint(0, len(known), (1, count), generator=self.draw)]

    def _plain(self, stack: StackSpec) -> int:
        return int(self._ids(stack, 1)[0, 0])

    def _signal(self, stack: StackSpec) -> Tensor:
        reads = stack.embedding.input
        if reads.kind == "patches":
            return torch.randn(1, reads.channels, reads.image, reads.image, generator=self.draw)
        assert reads.kind == "frames"
        places = getattr(stack.embedding.position, "length", None) or PICTURE
        return torch.randn(1, reads.channels, 2 * places, generator=self.draw)

    def _start(self) -> int:
        start = self.model.meta.get("start", self._config.get("decoder_start_token_id"))
        known = [start, getattr(self.model.tokenizer, "pad", None), self._config.get("pad_token_id")]
        return next((i for i in known if type(i) is int and 0 <= i < (self.top.embedding.vocab or 0)), 0)

    @property
    def _config(self) -> dict[str, Any]:
        return _config(self.model)

    def _ends(self) -> set[int]:
        """The ids that pooling heads look for."""
        towers = [self.spec.text] if isinstance(self.spec, PairSpec) else [self.spec]
        return {head.eos for tower in towers for head in tower.heads.values() if head.eos is not None}

    def _special_ids(self) -> set[int]:
        told: list[Any] = [value for key, value in self._config.items() if key.endswith("_token_id")]
        told += [getattr(self.model.tokenizer, role, None) for role in ("bos", "eos", "pad", "unk")]
        told += [*_flat(self.model.meta.get("eos")), self.model.meta.get("start"), *self._ends()]
        return {i for value in told for i in _flat(value) if type(i) is int}


def _flat(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _room(stack: StackSpec, spec: ModelSpec | PairSpec) -> int:
    """Tokens a stack has places for."""
    context = spec.text.context if isinstance(spec, PairSpec) else spec.context
    position = stack.embedding.position
    return min(context, position.length) if isinstance(position, LearnedSpec) else context


def _marks(stack: StackSpec) -> bool:
    """Whether some layer treats marked tokens apart."""
    blocks = stack.blocks.values()
    return any('"marked"' in b.attention.model_dump_json() or '"prefix"' in b.attention.model_dump_json() for b in blocks)


def _shifted(asked: Question, spec: ModelSpec | PairSpec) -> Question:
    """Where the answer is read at an id of the source, the decoder reads the source, one place later (BART, T5)."""
    heads = () if isinstance(spec, PairSpec) else spec.heads.values()
    if asked.source is None or asked.ids is None or not any(set(head.pools) & set(FROM_IDS) for head in heads):
        return asked
    return asked._replace(ids=torch.cat([asked.ids[:, :1], asked.source[:, :-1]], 1))
