"""Classification and regression of one text or a pair (Devlin et al. 2019 §4.1): what is to be said of the whole row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import DataError
from ...nn.tokens import Batch
from ..examplefile import ExampleFile
from .enclosed import Enclosing, Side, check_file, lengths_of, too_few
from .pooled import Pooled

if TYPE_CHECKING:
    from ...text import Tokenizer


class Classify(Pooled):
    """A row is `<cls>` A `<sep>`, or `<cls>` A `<sep>` B `<sep>`, as `tokenizer.wrap` has it.

    Targets by the file's problem: "single" (B,) long, the class; "multi" (B, C) float, 1 for each class that holds; "number"
    (B,) float. Weights (B,) are 1. context: tokens of a row at most, the special ones included; what is too long is cut at
    its end, of a pair the longer text first, from both once they are equal (longest first, as transformers does);
    `over_long` counts them, `notes` says so. types: whether the model has token types; marks: whether the first token sees and is
    seen by all, of pairs too (Longformer, as transformers has it). Rows of about one length stand in a batch.
    """

    def __init__(
        self,
        file: ExampleFile,
        tokenizer: Tokenizer,
        context: int = 512,
        *,
        types: bool = True,
        marks: bool = False,
        multiple: int = 1,
        pool: int = 64,
    ) -> None:
        super().__init__(multiple, pool)
        check_file(file, tokenizer, "labelled")
        self.file, self.context = file, context
        self.problem: str = file.facts["problem"]
        self._ids, begin = file.ragged("text")
        self._others, other = file.ragged("second")
        (self._begin, one), (self._other, two) = lengths_of(begin), lengths_of(other)
        self.paired = bool(len(self._others))
        if self.paired and not two.all():
            raise DataError(
                f"{file.path} holds single texts and pairs", expected="one or the other",
                received=f"{int((two == 0).sum())} single texts of {len(file)}", change="pack them apart",
            )  # fmt: skip
        self._around = Enclosing(tokenizer, file.special, self.paired, types=types, marks="first" if marks else None)
        room = self._around.room(context, 1 + self.paired)
        self._length, self._second = shortened(one, two, room)
        self.over_long = int((one + two > room).sum())
        self.notes: list[str] = []
        if self.over_long:
            how = "the longer text first" if self.paired else "at the end"
            self.notes.append(f"{self.over_long} of {len(file)} texts are longer than {context} tokens: cut {how}")

    def __len__(self) -> int:
        return len(self.file)

    def too_short(self, batch: int) -> DataError:
        return too_few(len(self), batch, "labelled texts")

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Tokens of each row, special ones included."""
        return (self._length[indices] + self._second[indices] + self._around.extra,)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        self.file.check()
        at = np.asarray(indices, np.int64)
        first = Side(self._ids, self._begin[at], self._length[at])
        second = Side(self._others, self._other[at], self._second[at]) if self.paired else None
        tokens = self._around.rows(first, second, self.multiple, self.context).tokens
        labels = self.file.array("label")[at]
        targets = torch.from_numpy(labels.astype(np.int64 if self.problem == "single" else np.float32))
        return Batch(tokens, targets, torch.ones(len(at)))


def shortened(one: np.ndarray, two: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths that fit into `room` together: what is too much comes off the longer one, from both once they are equal."""
    half = room // 2
    over = one + two > room
    short = np.minimum(one, two) <= half
    first = np.where(one > two, room - two, one)
    first = np.where(short, first, room - half)
    return np.where(over, first, one), np.where(over, room - first, two)
