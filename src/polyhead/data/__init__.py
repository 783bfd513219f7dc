"""Tokens to batches: sources, packing, objectives, and a loader whose order is a pure function of the step.

source = open_source("book.txt")                  # or a folder, rows, parallel files, a Hub name
train, valid = source.holdout()
corpus = pack(train, tokenizer, "runs/a/train.tokens")
loader = Loader(Causal(corpus, context=64), batch=12, seed=0)
for micros in loader.iterate(start=0): ...
"""

from __future__ import annotations

from .loader import Loader
from .objectives import Causal, Masked, Objective, Seq2Seq
from .pack import pack
from .sources import Pair, Piece, Source, open_source
from .tokenfile import PairFile, TokenFile

__all__ = [
    "Causal",
    "Loader",
    "Masked",
    "Objective",
    "Pair",
    "PairFile",
    "Piece",
    "Seq2Seq",
    "Source",
    "TokenFile",
    "open_source",
    "pack",
]
