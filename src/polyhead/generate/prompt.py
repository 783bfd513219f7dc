"""From what a user gives, text or ids, to what the model reads: specials added once, ids checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import ConfigError, TokenizerError, UserError
from ..nn import ModelSpec
from ..text import Tokenizer


class Prompts(NamedTuple):
    """single: one prompt was given, not a list. prompts: what the decoder reads first, a row each. source: the
    encoder's rows, None for a decoder alone. texts: the prompts as text, None where ids were given."""

    single: bool
    prompts: list[list[int]]
    source: list[list[int]] | None
    texts: list[str | None]


class Reader:
    """Knows the ids that begin and end a text: the tokenizer's, or those of meta where it has none."""

    def __init__(self, spec: ModelSpec, tokenizer: Tokenizer | None, meta: dict[str, Any]) -> None:
        self.spec, self.tokenizer = spec, tokenizer
        self._vocab = spec.vocab or 0  # 0: nothing reads ids, and no text is generated
        self._read_first = (spec.encoder or spec.top).embedding.vocab or 0  # a source's vocabulary, which may be another
        self._written = spec.top.embedding.vocab or 0  # than its target's
        if tokenizer is not None and tokenizer.vocab_size > self._vocab:
            raise ConfigError(
                "the tokenizer is larger than the model's embedding",
                expected=f"at most {self._vocab} tokens",
                received=str(tokenizer.vocab_size),
                change="use the tokenizer that the model was trained with, or build the model with a larger vocabulary",
            )
        told = meta.get("eos")
        several = told if isinstance(told, list) else [told]  # Llama 3 ends a text with any of three
        ends = [number for one in several if (number := self._special("eos", one)) is not None]
        self.eos = ends[0] if ends else self._special("eos", tokenizer.eos if tokenizer is not None else None)
        self.ends = frozenset(ends if ends else [] if self.eos is None else [self.eos])
        own = []
        if tokenizer is not None:  # without a bos, a target starts from the pad and a packed text after an eos
            own = [tokenizer.bos, tokenizer.pad if spec.encoder is not None else None]
        self.start = self._special("start", meta.get("start"), *own, self.eos)
        self.bos = self._bos(meta)
        self.forced = tuple(self._special(name, meta.get(name)) for name in ("forced_bos", "forced_eos"))
        self.wraps = meta.get("wrap") is True and tokenizer is not None  # a published model's own special tokens

    def framed(self, row: list[int]) -> list[int]:
        """What was read from a text with what the tokenizer's file puts around one; a prompt stays open."""
        if not self.wraps or self.tokenizer is None:
            return row
        framed = self.tokenizer.wrap(row)[0]
        opened = self.spec.encoder is None and len(framed) > len(row) and framed[-1] in self.ends
        return framed[:-1] if opened else framed

    def _bos(self, meta: dict[str, Any]) -> int | None:
        """The id before every prompt of a decoder, None if its training had none."""
        flag = meta.get("bos", False)
        if type(flag) is not bool or (flag and self.start is None):
            raise ConfigError(
                'meta "bos" is not possible',
                expected="true or false, true only with a <bos> or a start id",
                received=repr(flag)[:100],
            )
        return self.start if flag else None

    def _special(self, name: str, *candidates: Any) -> int | None:
        """The first id that is there."""
        number = next((c for c in candidates if c is not None), None)
        if number is not None and (type(number) is not int or not 0 <= number < self._vocab):
            raise ConfigError(f'meta "{name}"', expected=f"an id below {self._vocab}", received=repr(number)[:100])
        return number

    def prompts(self, prompt: str | Sequence[str] | None, ids: Any) -> Prompts:
        """Read prompt or ids; neither means one empty text. Ids are read as they are."""
        if prompt is not None and ids is not None:
            raise UserError("a prompt is given twice", expected="prompt or ids", received="both")
        texts: list[str | None]
        if ids is not None:
            single, given = _rows(ids)
            rows, texts = [self.read(self.check(row, self._read_first), as_is=True) for row in given], [None] * len(given)
        else:
            single, texts = _texts(prompt)
            rows = [self.read(self.encode(text)) for text in texts]
        if self.spec.encoder is None:
            return Prompts(single, rows, None, texts)
        return Prompts(single, [[self.started()] for _ in rows], rows, texts)

    def read(self, ids: list[int], as_is: bool = False) -> list[int]:
        """What the model reads first, a decoder's prompt or an encoder's source, of a text's ids: with what its training put
        around texts, or as they are."""
        row = ids if as_is else self.framed(ids)
        return self._opened(row, as_is) if self.spec.encoder is None else self._closed(row, as_is)

    def scored(
        self, text: str | None, ids: Sequence[int] | None, source: str | Sequence[int] | None
    ) -> tuple[list[int], list[int], list[int] | None]:
        """(inputs, targets, source) for Model.score."""
        if (text is None) == (ids is None):
            raise UserError("score needs a text", expected="text or ids", received="both" if ids else "neither")
        given = self.encode(text) if text is not None else self._flat(ids, self._written)
        given = self.framed(given) if text is not None and self.spec.encoder is None else given
        if self.spec.encoder is not None:
            if source is None:
                raise UserError("an encoder–decoder scores a target", expected="its source too", received="none")
            given_ids = not isinstance(source, str)
            memory = self._flat(source, self._read_first) if given_ids else self.framed(self.encode(source))
            targets = self._closed(given, as_is=text is None)
            return [self.started(), *targets[:-1]], targets, self._closed(memory, as_is=given_ids)
        if source is not None:
            raise UserError("a decoder alone reads no source", expected="text or ids", received="a source")
        given = self._opened(given, as_is=text is None) if given else []
        if len(given) < 2:
            raise UserError("there is nothing to score", expected="at least 2 tokens", received=str(len(given)))
        return given[:-1], given[1:], None

    def encode(self, text: Any) -> list[int]:
        if not isinstance(text, str):
            raise UserError("a prompt is text", expected="a string", received=type(text).__name__)
        if not text:
            return []
        if self.tokenizer is None:
            raise UserError("this model has no tokenizer", expected="ids=[…]", received="text")
        return list(self.tokenizer.encode(text))

    def check(self, row: list[Any], vocab: int) -> list[int]:
        """Whole numbers below the vocabulary, or TokenizerError."""
        for number in row:
            if type(number) is not int or not 0 <= number < vocab:
                raise TokenizerError(
                    "an id is not of this model's vocabulary",
                    expected=f"whole numbers from 0 to {vocab - 1}",
                    received=repr(number)[:100],
                )
        return row

    def _flat(self, ids: Any, vocab: int) -> list[int]:
        single, rows = _rows(ids)
        if not single:
            raise UserError("ids are one text's", expected="a flat list", received="a list of lists")
        return self.check(rows[0], vocab)

    def _opened(self, row: list[int], as_is: bool) -> list[int]:
        """A decoder's prompt: with the bos its training had, once, unless it is left as it is; never empty."""
        if self.bos is not None and row[:1] != [self.bos] and not as_is:
            return [self.bos, *row]
        return row or [self.started()]

    def _closed(self, row: list[int], as_is: bool) -> list[int]:
        """An encoder's input, or a target: with one eos, unless it is left as it is; never empty where there is an eos."""
        if self.eos is None or row[-1:] == [self.eos] or (as_is and row):
            return row
        return [*row, self.eos]

    def started(self) -> int:
        """The id that a decoder starts from."""
        if self.start is None:
            raise UserError(
                "the model has no token to start from",
                expected='a tokenizer with <bos> or <eos>, or meta "start"',
                received="neither",
                change="give a prompt of at least one token",
            )
        return self.start


def _texts(prompt: Any) -> tuple[bool, list[str | None]]:
    """(whether one, the texts) of a text, a list of texts, or nothing, which is one empty text."""
    if prompt is None or isinstance(prompt, str):
        return True, [prompt or ""]
    if not isinstance(prompt, list | tuple) or not prompt:
        received = "an empty list" if isinstance(prompt, list | tuple) else type(prompt).__name__
        raise UserError("there is no prompt", expected="a text or a list of texts", received=received)
    return False, list(prompt)


def _rows(ids: Any) -> tuple[bool, list[list[Any]]]:
    """(whether flat, rows) of a list of ids, a list of such lists, or a tensor."""
    given = ids.tolist() if isinstance(ids, Tensor) else ids
    if not isinstance(given, list | tuple):
        raise UserError("ids are a list", expected="[1, 2, …] or a list of such", received=type(ids).__name__)
    if any(isinstance(row, list | tuple) for row in given):
        return False, [list(row) if isinstance(row, list | tuple) else [row] for row in given]
    return True, [list(given)]
