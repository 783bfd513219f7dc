"""What is asked of a model: each objective turns packed tokens into batches, one file per objective."""

from __future__ import annotations

from .answer import Answer
from .base import Objective
from .causal import Causal
from .classify import Classify
from .contrast import Contrast
from .corrupted import Corrupted
from .denoising import Denoising
from .instruct import Instruct
from .masked import Masked
from .pictures import Augment, Pictures
from .prefer import Prefer
from .prefix import Prefix
from .seq2seq import Seq2Seq
from .similar import Similar
from .tag import Tag

__all__ = [
    "Answer",
    "Augment",
    "Causal",
    "Classify",
    "Contrast",
    "Corrupted",
    "Denoising",
    "Instruct",
    "Masked",
    "Objective",
    "Pictures",
    "Prefer",
    "Prefix",
    "Seq2Seq",
    "Similar",
    "Tag",
]
