"""Texts and pairs → classes with their probabilities, or numbers; and texts ranked for a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError, UserError
from ..nn import Pair, Transformer
from ..text import Tokenizer
from .reading import Tool, check, given, labels_of, logits, pair_labels, problem_of, texts_of, tool


class Classified(NamedTuple):
    """label: the most probable class; of several that may hold at once, those above the threshold; or the number.
    scores: (class, probability), the most probable first; of numbers (name, number)."""

    label: str | tuple[str, ...] | float
    scores: tuple[tuple[str, float], ...]


class Ranked(NamedTuple):
    """place: the text's number in the list that was given."""

    place: int
    text: str
    score: float


def classify(
    net: Transformer | Pair, tokenizer: Tokenizer | None, meta: Mapping[str, Any], texts: Any, top: int | None, threshold: float, size: int
) -> Classified | list[Classified]:
    """What Model.classify says; size: rows at a time."""
    at = tool(net, tokenizer, meta, ("classify", "pair"), "classify texts")
    check("batch", size)
    if top is not None:
        check("top", top)
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not 0 <= threshold <= 1:
        raise UserError("threshold is a probability", expected="0 to 1", received=repr(threshold)[:100])
    single, rows = given(texts)
    names, problem = meaning(at)
    found = [_classified(row, names, problem, top, threshold) for row in logits(at, texts_of(at, rows), size)]
    return found[0] if single else found


def meaning(at: Tool) -> tuple[list[str], str]:
    """(the names of a classifier's logits, what they are: "single", "multi" or "number")."""
    if at.net.spec.heads[at.head].task == "pair":
        return pair_labels(at.meta), "single"
    return labels_of(at.meta, at.outputs), problem_of(at.meta, at.outputs)


def _classified(row: Tensor, names: list[str], problem: str, top: int | None, threshold: float) -> Classified:
    if problem == "number":
        values = row.tolist()
        return Classified(values[0], tuple(zip(names, values, strict=True)))
    shares = row.softmax(-1) if problem == "single" else row.sigmoid()
    order = shares.argsort(descending=True, stable=True).tolist()
    scores = tuple((names[i], float(shares[i])) for i in order)
    label = scores[0][0] if problem == "single" else tuple(name for name, share in scores if share > threshold)
    return Classified(label, scores[:top])


# ---------------------------------------------------------------- rank


def ranked(texts: Sequence[str], scores: Sequence[float], top: int | None) -> list[Ranked]:
    """The texts with the highest score first, equal ones in their order; `top` of them."""
    order = sorted(range(len(texts)), key=lambda i: -scores[i])
    return [Ranked(i, texts[i], float(scores[i])) for i in order[:top]]


def cosines(query: Tensor, vectors: Tensor) -> list[float]:
    """The cosine of the angle between the query (D,) and each vector (n, D)."""
    return torch.nn.functional.cosine_similarity(query[None], vectors, dim=-1).tolist()


def pair_scores(net: Transformer | Pair, tokenizer: Tokenizer | None, meta: Mapping[str, Any], query: str, texts: Sequence[str], size: int) -> list[float]:
    """What a head with one logit says of each pair (query, text), as a cross-encoder does: the logit. ConfigError for a
    head with several classes, which order nothing."""
    at = tool(net, tokenizer, meta, ("classify",), "rank texts")
    if at.outputs != 1:
        raise ConfigError(
            "a head of several classes does not rank", expected="a head that embeds, or one with a single logit", received=f"{at.outputs} classes",
            change="read the probability of one of them: model.classify([(query, text), …])",
        )  # fmt: skip
    return [float(row[0]) for row in logits(at, texts_of(at, [(query, text) for text in texts]), size)]
