"""Instruction tuning: the whole conversation is read, and only what the assistant says is asked for (Ouyang et al. 2022 §3.5,
arXiv 2203.02155; with loss on the answers alone as in Taori et al. 2023, Alpaca)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from ..tokenfile import PairFile
from .pooled import Pooled
from .texts import padding_of

if TYPE_CHECKING:
    from ..examplefile import ExampleFile

_BLOCK = 1 << 14


class _Rows(NamedTuple):
    """One row per example, (N,) each. begin: its first token in `ids`. body: tokens read from there. prompt: tokens that are
    not asked for, where `trained` is None. ends: whether `<eos>` follows."""

    ids: np.ndarray
    trained: np.ndarray | None
    begin: np.ndarray
    body: np.ndarray
    prompt: np.ndarray
    ends: np.ndarray


class Instruct(Pooled):
    """Conversations (an ExampleFile of chat), or prompts with completions (a PairFile), for a decoder.

    A row is one conversation, with weight where the next token is the assistant's, the end of its turn included; or prompt,
    completion and `<eos>`, with weight on the last two. context: tokens read at most. Of a longer conversation the beginning
    is kept, and it is dropped where nothing is left to learn; a longer pair loses the beginning of its prompt, then the end
    of its completion with the `<eos>`. over="drop" drops both. `over_long` counts them, `notes` says what was done.

    One conversation per row, rows of about one length per batch, padded on the right: causal attention then needs no mask at
    all, which is faster than several to a row kept apart by `segment`, and little is padding (`padded_share`).
    """

    def __init__(
        self,
        file: ExampleFile | PairFile,
        context: int = 1024,
        *,
        over: str = "truncate",
        multiple: int = 8,
        pool: int = 64,
    ) -> None:
        super().__init__(multiple, pool)
        if context < 2:
            raise ConfigError("the context must hold a prompt and an answer", expected="at least 2", received=str(context))
        if over not in ("truncate", "drop"):
            raise ConfigError("over-long conversations", expected='"truncate" or "drop"', received=repr(over))
        self.file, self.context = file, context
        self._corpus = file.file if isinstance(file, PairFile) else file
        self.notes: list[str] = []
        rows = _of_pairs(file) if isinstance(file, PairFile) else _of_chats(file)
        self._count, self._rows = len(rows.begin), self._limited(rows, over)
        self._pad = padding_of(self._corpus.special)
        self._eos = self._corpus.special.get("eos", self._pad)

    def _limited(self, rows: _Rows, over: str) -> _Rows:
        most = self.context + 1
        length = rows.body + rows.ends
        long = length > most
        self.over_long = int(long.sum())
        keep = ~long if over == "drop" else np.ones(len(length), bool)
        if rows.trained is None:  # prompts are cut at the front, completions at the end
            answer = length - rows.prompt
            prompt = np.minimum(rows.prompt, np.maximum(most - answer, 1))
            begin, body = rows.begin + rows.prompt - prompt, prompt + answer - rows.ends
            ends = rows.ends & (body < most)
            rows = rows._replace(begin=begin, body=np.minimum(body, most), prompt=prompt, ends=ends)
            keep &= rows.body + rows.ends > np.maximum(rows.prompt, 1)
        else:
            rows = rows._replace(body=np.minimum(rows.body, most))
            keep &= _asked(rows)
        if self.over_long or not keep.all():
            what = "dropped" if over == "drop" else "cut"
            self.notes.append(
                f"{self.over_long} of {len(long)} examples are longer than {self.context} tokens: {what}; "
                f"{int((~keep).sum())} in all are left out, with nothing to learn in what is read"
            )
        return rows._replace(**{name: getattr(rows, name)[keep] for name in ("begin", "body", "prompt", "ends")})

    def __len__(self) -> int:
        return len(self._rows.begin)

    def too_short(self, batch: int) -> DataError:
        less = f" ({self._count - len(self)} were left out)" if len(self) < self._count else ""
        return DataError(
            f"the corpus is shorter than one batch: {len(self)} conversations{less}",
            expected=f"at least {batch} conversations",
            received=f"{len(self)} conversations",
            change=f"set the batch to {len(self)} or less, or add conversations" if len(self) else "raise the context",
        )

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """(B,) tokens that are read of each."""
        return (self._rows.body[indices] + self._rows.ends[indices] - 1,)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        self._corpus.check()
        indices, rows = np.asarray(indices, np.int64), self._rows
        begin, body, ends = rows.begin[indices], rows.body[indices], rows.ends[indices]
        width = min(self._width(body + ends - 1), self.context) + 1
        place = np.arange(width)
        inside = place < body[:, None]
        at = np.where(inside, begin[:, None] + place, 0)
        ids = np.where(inside, rows.ids[at].astype(np.int64), self._pad)
        closed = np.flatnonzero(ends)
        ids[closed, body[closed]] = self._eos
        if rows.trained is not None:
            asked = inside & (rows.trained[at] != 0)
        else:
            asked = (place >= rows.prompt[indices][:, None]) & (place < (body + ends)[:, None])
        return Batch(
            Tokens(torch.from_numpy(np.ascontiguousarray(ids[:, :-1]))),
            torch.from_numpy(np.ascontiguousarray(ids[:, 1:])),
            torch.from_numpy(asked[:, 1:].astype(np.float32)),
        )


def _of_chats(file: ExampleFile) -> _Rows:
    if file.kind != "chat":
        raise DataError(
            f"{file.path} holds {file.kind}", expected="conversations, or pairs", change="pack a source of kind chat or pairs"
        )
    ids, offsets = file.ragged("text")
    trained, _ = file.ragged("trained")
    begin = np.asarray(offsets[:-1], np.int64)
    none = np.zeros(len(begin), np.int64)
    return _Rows(ids, trained, begin, np.diff(offsets).astype(np.int64), none, none.astype(bool))


def _of_pairs(pairs: PairFile) -> _Rows:
    if "eos" not in pairs.file.special:
        raise DataError(
            f"{pairs.file.path} was packed with a tokenizer without <eos>: an answer could never end",
            expected="a tokenizer with <eos>",
            change="train the tokenizer with its default special tokens",
        )
    begin, middle = pairs.sources
    return _Rows(pairs.file.tokens, None, begin.copy(), pairs.targets[1] - begin, middle - begin, np.ones(len(begin), bool))


def _asked(rows: _Rows) -> np.ndarray:
    """(N,) whether a token that has another before it is asked for in what is read of each row."""
    assert rows.trained is not None
    out = np.zeros(len(rows.begin), bool)
    for first in range(0, len(out), _BLOCK):
        begin, body = rows.begin[first : first + _BLOCK], rows.body[first : first + _BLOCK]
        low = int(begin[0])
        places = np.flatnonzero(rows.trained[low : int(begin[-1] + body[-1])]) + low
        out[first : first + _BLOCK] = np.searchsorted(places, begin + body) > np.searchsorted(places, begin + 1)
    return out
