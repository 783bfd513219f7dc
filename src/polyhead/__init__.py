"""polyhead: the whole Transformer in one small, fast, readable package.

The pipeline, in reading order; each part imports only from parts above it (nn first, for it imports nothing):

    errors      what can go wrong, as a tree
    nn          the architecture: batch -> logits
    text        text -> tokens
    data        tokens -> batches
    families    presets: every architecture as data
    checkpoint  weights and runs on disk
    tasks       logits -> classes, tags, spans, vectors, and the field's metrics
    generate    logits -> text
    proof       two models, one function: beside transformers, beside each other
    report      a run as a page, an architecture as a drawing
    train       logits -> loss -> update
    plan        what a model costs, what a budget buys
    lab         claims about Transformers, measured
    cli         the verbs

    import polyhead as ph
    model = ph.load("runs/a")
    print(model.generate("Once upon a time", max_tokens=40, seed=0))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .families import preset, presets
    from .generate import Model, load
    from .nn import ModelSpec
    from .proof import convert, verify
    from .text import Tokenizer
    from .train import train

_WHERE = {  # public name -> module; imported on first use, so that `polyhead --help` need not load torch
    "preset": "families",
    "presets": "families",
    "ModelSpec": "nn",
    "Tokenizer": "text",
    "train": "train",
    "Model": "generate",
    "load": "generate",
    "verify": "proof",
    "convert": "proof",
}
__all__ = ["Model", "ModelSpec", "Tokenizer", "convert", "load", "preset", "presets", "train", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'polyhead' has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
