"""Which objective fits a model and its data, where none is named."""

from __future__ import annotations

from polyhead.data import Source
from polyhead.data.examples import Labelled
from polyhead.errors import ConfigError
from polyhead.nn import ModelSpec

_BY_DATA = {
    "text": {"decoder": "causal", "encoder": "masked", "both": "corrupted"},
    "pairs": {"both": "seq2seq", "decoder": "instruct", "encoder": "contrast"},
    "chat": {"decoder": "instruct"},
    "preferences": {"decoder": "prefer"},
    "labelled": {"encoder": "classify", "decoder": "classify", "both": "seq2seq"},
    "tagged": {"encoder": "tag", "decoder": "tag"},
    "questions": {"encoder": "answer"},
    "images": {"encoder": "image"},
}


_SHAPES = {"both": "an encoder–decoder", "encoder": "an encoder", "decoder": "a decoder"}


def shape_of(spec: ModelSpec) -> str:
    """"encoder", "decoder" or "both"."""
    return "both" if len(spec.stacks) == 2 else next(iter(spec.stacks))


def described(spec: ModelSpec) -> str:
    """The shape in words: "an encoder"."""
    return _SHAPES[shape_of(spec)]


def fitting(spec: ModelSpec, source: Source) -> str:
    """The objective of a model of this shape on data of this kind: a model that gives vectors learns from scores of two texts
    to give better ones. ConfigError where there is none, naming what there is."""
    kind, name, shape = source.kind, source.name, shape_of(spec)
    if kind == "labelled" and _embeds(spec) and _scored(source):
        return "similar"
    shapes = _BY_DATA.get(kind, {})
    if shape in shapes:
        return shapes[shape]
    kinds = [k for k, by in _BY_DATA.items() if shape in by]
    raise ConfigError(
        f"{name} holds {kind}, which {_SHAPES[shape]} is not trained on", expected=" or ".join(kinds), received=kind,
        change="choose " + " or ".join(_SHAPES[s] for s in shapes) if shapes else "name other columns with data.columns",
    )  # fmt: skip


def _embeds(spec: ModelSpec) -> bool:
    head = next(iter(spec.heads.values()), None)
    return head is not None and head.task == "embed" and bool(head.pools)


def _scored(source: Source) -> bool:
    """Whether the first example is two texts and a number, as all are then."""
    first = next(iter(source.examples()), None)
    return isinstance(first, Labelled) and first.second is not None and isinstance(first.label, float)
