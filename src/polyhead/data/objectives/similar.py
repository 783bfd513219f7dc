"""Pairs of texts with a score of how alike they are, each text a row by itself (Sentence-BERT, Reimers & Gurevych 2019, §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import DataError
from ...nn.tokens import Batch
from ..examplefile import ExampleFile
from .contrast import Partners
from .enclosed import Side, check_file, lengths_of

if TYPE_CHECKING:
    from ...text import Tokenizer


class Similar(Partners):
    """inputs: 2n rows for n samples, the firsts and then their seconds, see Partners; targets: (n,) float, the scores, of which
    `span` (lowest, highest) becomes 0 and 1; weights: (n,) ones.

    file: labelled, two texts and a number. span: that of these scores, unless it is given: the held-out part takes the
    training part's.
    """

    def __init__(
        self,
        file: ExampleFile,
        context: int,
        tokenizer: Tokenizer,
        *,
        span: tuple[float, float] | None = None,
        multiple: int = 1,
        pool: int = 64,
    ) -> None:
        check_file(file, tokenizer, "labelled")
        if file.facts["problem"] != "number":
            raise DataError(
                f"{file.path} holds classes, not scores", expected="two texts and a number",
                received=f"{len(file.facts['labels'])} classes", change="training.objective=classify, or data.labels=numbers if whole numbers are the scores",
            )  # fmt: skip
        sides = [Side(file.ragged(name)[0], *lengths_of(file.ragged(name)[1])) for name in ("text", "second")]
        if len(sides[0].length) and not sides[1].length.any():
            raise DataError(f"{file.path} holds single texts", expected="two texts and a number", received="one text", change="training.objective=classify, or name both columns with data.columns")
        super().__init__(file, sides, context, tokenizer, multiple, pool)
        scores = file.array("label")[self.kept].astype(np.float64)
        self.span = span or (float(scores.min(initial=np.inf)), float(scores.max(initial=-np.inf)))
        low, high = self.span
        if len(scores) and not low < high:
            raise DataError(f"the scores of {file.path} are all alike", expected="higher and lower ones", received=f"{low:g} alone")
        self._scores = ((scores - low) / (high - low) if len(scores) else scores).astype(np.float32)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        return Batch(self.rows(indices), torch.from_numpy(self._scores[indices]), torch.ones(len(indices)))
