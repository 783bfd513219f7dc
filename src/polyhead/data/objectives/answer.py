"""Span answering: where in a context the answer of a question begins and ends (Devlin et al. 2019 §4.2 and §4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch
from ..examplefile import ExampleFile
from .enclosed import Enclosing, Side, check_file, lengths_of, too_few
from .pooled import Pooled

if TYPE_CHECKING:
    from ...text import Tokenizer

QUESTION, CONTEXT, STRIDE = 64, 384, 128  # tokens; of google-research/bert, run_squad.py


class Answer(Pooled):
    """A row is `<cls>` question `<sep>` context `<sep>`, as `tokenizer.wrap` has it; targets (B, 2) long are the places of the
    answer's first and last token in the row, weights (B,) 1.

    A context that does not fit is read in windows that begin `stride` tokens after one another. One that does not hold the
    whole answer, or a question without one, is asked for place 0: <cls>. Of several answers the first trains; one of whose
    characters no token stands for has weight 0, which `notes` counts. context: tokens of a row at most; question: of the
    question, whose end is cut off. types: whether the model has token types; marks: whether the question sees and is seen by all (Longformer §5).

    The rows are the windows of question 0, of question 1, …: row r is of question `question[r]` and holds the tokens
    `first[r]` … `first[r] + count[r]` of its context, from place `place(r)` of the row on. `evaluation` gives them in this
    order, so that the answers of a question can be put together.
    """

    def __init__(
        self,
        file: ExampleFile,
        tokenizer: Tokenizer,
        context: int = CONTEXT,
        *,
        stride: int = STRIDE,
        question: int = QUESTION,
        types: bool = True,
        marks: bool = False,
        multiple: int = 1,
        pool: int = 64,
    ) -> None:
        super().__init__(multiple, pool)
        check_file(file, tokenizer, "questions")
        if stride < 1 or question < 1:
            raise ConfigError("stride and question", expected="at least 1 token", received=f"{stride} and {question}")
        self.file, self.context, self.stride = file, context, stride
        self._around = Enclosing(tokenizer, file.special, True, types=types, marks="question" if marks else None)
        if not self._around.begins_special:
            raise ConfigError(
                'a row must begin with a special token, whose place means "no answer"', expected="<cls>",
                received="a tokenizer that puts none there", change="use an encoder's tokenizer, or `tokenizer.framed()`",
            )  # fmt: skip
        room = self._around.room(context, 2)
        self._asked, asked = file.ragged("question")
        self._ids, held = file.ragged("context")
        (self._asked_begin, length), (self._begin, whole) = lengths_of(asked), lengths_of(held)
        self._asked_length = np.minimum(length, min(question, room - 1))
        space = room - self._asked_length
        step = np.minimum(stride, space)
        windows = 1 + np.maximum(0, -(-(whole - space) // step))
        self.question = np.repeat(np.arange(len(file)), windows)
        number = np.arange(len(self.question)) - np.repeat(np.cumsum(windows) - windows, windows)
        self.first = number * step[self.question]
        self.count = np.minimum(space[self.question], whole[self.question] - self.first)
        self._span, unknown = _answers(file)
        self._weight = (~unknown).astype(np.float32)
        self._tell(int((length > self._asked_length).sum()), int((windows > 1).sum()), int(unknown.sum()))

    def _tell(self, cut: int, windowed: int, unknown: int) -> None:
        n, self.notes = len(self.file), list[str]()
        if windowed:
            self.notes.append(
                f"{windowed} of {n} contexts are longer than {self.context} tokens: read in windows, {self.stride} apart"
            )
        if cut:
            self.notes.append(f"{cut} of {n} questions are cut to fit")
        if unknown:
            self.notes.append(f"{unknown} of {n} answers have no token: not trained")

    def __len__(self) -> int:
        return len(self.question)

    def too_short(self, batch: int) -> DataError:
        return too_few(len(self), batch, "windows of questions")

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Tokens of each row, special ones included."""
        return (self._asked_length[self.question[indices]] + self.count[indices] + self._around.extra,)

    def place(self, indices: np.ndarray) -> np.ndarray:
        """(B,) where in its row each context begins."""
        return len(self._around.before) + self._asked_length[self.question[indices]] + len(self._around.between)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        self.file.check()
        at = np.asarray(indices, np.int64)
        question, first = self.question[at], self.first[at]
        asked = Side(self._asked, self._asked_begin[question], self._asked_length[question])
        held = Side(self._ids, self._begin[question] + first, self.count[at])
        placed = self._around.rows(asked, held, self.multiple, self.context)
        span = self._span[question] - first[:, None]
        whole = (span[:, 0] >= 0) & (span[:, 1] < self.count[at])
        targets = np.where(whole[:, None], span + placed.second[:, None], 0)
        return Batch(placed.tokens, torch.from_numpy(targets), torch.from_numpy(self._weight[question]))


def _answers(file: ExampleFile) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) first and last context token of each question's first answer, −1 for none; (N,) whether no token stands for it."""
    (begin, offsets), end = file.ragged("begin"), file.array("end")
    places, answers = file.ragged("answer")
    spans = np.full((len(file), 2), -1, np.int64)
    unknown = np.zeros(len(file), bool)
    for i in np.flatnonzero(np.diff(answers)).tolist():
        a, b = (int(place) for place in places[answers[i] : answers[i] + 2])
        from_, to = begin[offsets[i] : offsets[i + 1]], end[offsets[i] : offsets[i + 1]]
        inside = np.flatnonzero((from_ < b) & (to > a) & (from_ < to))
        unknown[i] = not len(inside)
        if len(inside):
            spans[i] = inside[0], inside[-1]
    return spans, unknown
