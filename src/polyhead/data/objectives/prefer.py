"""Preference tuning: each prompt with the answer that was preferred and the one that was not (DPO, Rafailov et al. 2023,
arXiv 2305.18290)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from .pooled import Pooled
from .texts import padding_of

if TYPE_CHECKING:
    from ..examplefile import ExampleFile

_PARTS = ("prompt", "chosen", "rejected")


class Prefer(Pooled):
    """n preferences as 2n rows: every prompt with its chosen answer, then every prompt with its rejected one.

    Weights are 1 on the answers' tokens, the end of the turn included: their sum of log-probabilities is log π(y|x). context:
    tokens read at most. A prompt is cut at the front, by the same number of tokens for both answers; answers never are: a
    preference with an answer that does not fit with a token of its prompt is left out. `over_long` counts the cut ones,
    `notes` says what was done. Rows of about one length stand in a batch, padded on the right.
    """

    def __init__(self, file: ExampleFile, context: int = 1024, *, multiple: int = 8, pool: int = 64) -> None:
        super().__init__(multiple, pool)
        if file.kind != "preferences":
            raise DataError(f"{file.path} holds {file.kind}", expected="preferences", change="pack a source of preferences")
        if context < 2:
            raise ConfigError("the context must hold a prompt and an answer", expected="at least 2", received=str(context))
        self.file, self.context, self._pad = file, context, padding_of(file.special)
        ragged = {name: file.ragged(name) for name in _PARTS}
        self._ids = {name: values for name, (values, _) in ragged.items()}
        length = {name: np.diff(offsets).astype(np.int64) for name, (_, offsets) in ragged.items()}
        answer = np.maximum(length["chosen"], length["rejected"])
        room = context + 1 - answer
        kept = np.flatnonzero((room > 0) & (length["prompt"] > 0) & (np.minimum(length["chosen"], length["rejected"]) > 0))
        prompt = np.minimum(length["prompt"], room)
        self._begin = {name: np.asarray(offsets[:-1], np.int64)[kept] for name, (_, offsets) in ragged.items()}
        self._begin["prompt"] += (length["prompt"] - prompt)[kept]
        self._length = {**{name: length[name][kept] for name in _PARTS}, "prompt": prompt[kept]}
        self._count, self.over_long = len(answer), int((prompt < length["prompt"])[kept].sum())
        self.notes: list[str] = []
        if self.over_long or len(kept) < self._count:
            self.notes.append(
                f"{self.over_long} of {self._count} prompts are cut at the front to fit {context} tokens with their answers; "
                f"{self._count - len(kept)} preferences are left out, with an answer that does not fit"
            )

    def __len__(self) -> int:
        return len(self._length["prompt"])

    def too_short(self, batch: int) -> DataError:
        less = f" ({self._count - len(self)} were left out)" if len(self) < self._count else ""
        return DataError(
            f"the corpus is shorter than one batch: {len(self)} preferences{less}",
            expected=f"at least {batch} preferences",
            received=f"{len(self)} preferences",
            change=f"set the batch to {len(self)} or less, or add preferences" if len(self) else "raise the context",
        )

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """(B,) tokens that are read with the longer answer of each."""
        answer = np.maximum(self._length["chosen"][indices], self._length["rejected"][indices])
        return (self._length["prompt"][indices] + answer - 1,)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        self.file.check()
        indices = np.asarray(indices, np.int64)
        width = min(self._width(self.lengths(indices)[0]), self.context) + 1
        sides = [self._side(name, indices, width) for name in ("chosen", "rejected")]
        ids, asked = (np.concatenate(arrays) for arrays in zip(*sides, strict=True))
        return Batch(
            Tokens(torch.from_numpy(np.ascontiguousarray(ids[:, :-1]))),
            torch.from_numpy(np.ascontiguousarray(ids[:, 1:])),
            torch.from_numpy(asked[:, 1:].astype(np.float32)),
        )

    def _side(self, name: str, indices: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """(B, width) ids of prompt and answer, and which of them are the answer's."""
        prompt, answer = self._length["prompt"][indices][:, None], self._length[name][indices][:, None]
        place = np.arange(width)
        in_prompt, in_answer = place < prompt, (place >= prompt) & (place < prompt + answer)
        first = self._ids["prompt"][np.where(in_prompt, self._begin["prompt"][indices][:, None] + place, 0)]
        second = self._ids[name][np.where(in_answer, self._begin[name][indices][:, None] + place - prompt, 0)]
        return np.where(in_prompt, first.astype(np.int64), np.where(in_answer, second.astype(np.int64), self._pad)), in_answer
