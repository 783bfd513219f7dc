"""What a model is trained to do. Each objective is a record of its constants; the closed union is on the last line.

base.py        what all of them are: spec and Learner
language.py    causal, masked, seq2seq
replaced.py    a generator fills in, the model finds out (ELECTRA)
distilled.py   learning from a larger model (DistilBERT)
choosing.py    which objective fits a model and its data
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from .base import Given, Learner, ObjectiveSpec
from .distilled import DistilledSpec
from .language import CausalSpec, MaskedSpec, Seq2SeqSpec
from .replaced import ReplacedSpec

__all__ = [
    "CausalSpec", "DistilledSpec", "Given", "Learner", "MaskedSpec", "ObjectiveChoice", "ObjectiveSpec", "ReplacedSpec", "Seq2SeqSpec",
]  # fmt: skip


def _named(value: Any) -> Any:
    """"masked" for {"kind": "masked"}."""
    return {"kind": value} if isinstance(value, str) else value


ObjectiveChoice = Annotated[
    CausalSpec | MaskedSpec | Seq2SeqSpec | ReplacedSpec | DistilledSpec, Field(discriminator="kind"), BeforeValidator(_named)
]
