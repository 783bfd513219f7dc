"""What is asked of a model: each objective turns packed tokens into batches, one file per objective."""

from __future__ import annotations

from .base import Objective
from .causal import Causal
from .masked import Masked
from .seq2seq import Seq2Seq

__all__ = ["Causal", "Masked", "Objective", "Seq2Seq"]
