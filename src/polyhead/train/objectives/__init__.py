"""What a model is trained to do. Each objective is a record of its constants; the closed union is on the last line.

base.py        what all of them are: spec and Learner
language.py    causal, masked, seq2seq
corrupted.py   spans taken out (T5), damaged texts (BART), given beginnings
replaced.py    a generator fills in, the model finds out (ELECTRA)
distilled.py   learning from a larger model (DistilBERT)
instructed.py  what the assistant says
preferred.py   the better of two answers (DPO)
contrast.py    embeddings
rows.py        classes, tags, answers
pictured.py    pictures
choosing.py    which objective fits a model and its data
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from .base import Given, Learner, ObjectiveSpec
from .contrast import ContrastSpec, SimilarSpec
from .corrupted import CorruptedSpec, DenoisingSpec, PrefixSpec
from .distilled import DistilledSpec
from .instructed import InstructSpec
from .language import CausalSpec, MaskedSpec, Seq2SeqSpec
from .pictured import ImageSpec
from .preferred import PreferSpec
from .replaced import ReplacedSpec
from .rows import AnswerSpec, ClassifySpec, TagSpec

__all__ = [
    "AnswerSpec", "CausalSpec", "ClassifySpec", "ContrastSpec", "CorruptedSpec", "DenoisingSpec", "DistilledSpec", "Given", "ImageSpec", "InstructSpec", "Learner", "MaskedSpec",
    "ObjectiveChoice", "ObjectiveSpec", "PreferSpec", "PrefixSpec", "ReplacedSpec", "Seq2SeqSpec", "SimilarSpec", "TagSpec",
]  # fmt: skip


def _named(value: Any) -> Any:
    """"masked" for {"kind": "masked"}."""
    return {"kind": value} if isinstance(value, str) else value


ObjectiveChoice = Annotated[
    CausalSpec | PrefixSpec | MaskedSpec | ReplacedSpec | CorruptedSpec | DenoisingSpec | Seq2SeqSpec | DistilledSpec | ContrastSpec | SimilarSpec
    | InstructSpec | PreferSpec | ClassifySpec | TagSpec | AnswerSpec | ImageSpec,
    Field(discriminator="kind"), BeforeValidator(_named),
]  # fmt: skip
