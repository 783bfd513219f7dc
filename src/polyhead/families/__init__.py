"""Every architecture as data. A family's file holds literals; presets.py is the one place that reads them.

preset("gpt2") is a frozen ModelSpec; resolve() takes a file as well; override() and with_vocab() make a changed copy;
defaults() is how a preset is trained when nothing else is said; register() adds a family of one's own. problems.py turns what pydantic says into plain words.
"""

from .document import read
from .heads import check_shape, for_objective, with_head, with_heads
from .own import register
from .pairs import PairReading, is_pair, pair, pairs, read_pair, write_pair
from .presets import (
    by_family,
    defaults,
    override,
    preset,
    presets,
    recipes,
    resolve,
    spec_from,
    with_context,
    with_vocab,
)
from .problems import check, explain

__all__ = [
    "PairReading",
    "by_family",
    "check",
    "check_shape",
    "defaults",
    "explain",
    "for_objective",
    "is_pair",
    "override",
    "pair",
    "pairs",
    "preset",
    "presets",
    "read",
    "read_pair",
    "recipes",
    "register",
    "resolve",
    "spec_from",
    "with_context",
    "with_head",
    "with_heads",
    "with_vocab",
    "write_pair",
]
