"""What is asked of a model: each objective turns packed tokens into batches, one file per objective."""

from __future__ import annotations

from .base import Objective
from .causal import Causal
from .instruct import Instruct
from .masked import Masked
from .pictures import Augment, Pictures
from .prefer import Prefer
from .seq2seq import Seq2Seq

__all__ = ["Augment", "Causal", "Instruct", "Masked", "Objective", "Pictures", "Prefer", "Seq2Seq"]
