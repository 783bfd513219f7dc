"""Images → classes: pixels as the model's processor makes them, then its head for images, or beside texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, UserError
from ..nn import Pair, Tokens, Transformer
from ..text import Tokenizer
from .embed import rows_of
from .reading import labels_of
from .rows import batch, evaluating

Classes = list[list[tuple[str, float]]]


@torch.inference_mode()
def classify_images(
    net: Transformer | Pair, tokenizer: Tokenizer | None, meta: Mapping[str, Any], pixels: Callable[[Any], Tensor],
    images: Any, texts: Sequence[str] | None, top: int | None, size: int,
) -> Classes:  # fmt: skip
    """What Model.classify_images says; pixels: Model.pixels, size: images at a time."""
    for name, number in (("top", top), ("batch", size)):
        if number is not None and (type(number) is not int or number < 1):
            raise UserError(f"{name} is not possible", expected="a whole number above 0", received=repr(number)[:100])
    paired = isinstance(net, Pair)
    if paired != (texts is not None):
        raise UserError("texts and a pair of towers go together", expected="texts" if paired else "no texts: the model has classes of its own", received="none" if paired else "some")
    images = list(images) if isinstance(images, list | tuple) else [images]
    like = next(net.parameters())
    found = []
    with evaluating(net):
        names, answer = _of_pair(net, tokenizer, texts) if isinstance(net, Pair) else _of_head(net, meta)
        for start in range(0, len(images), size):
            seen = pixels(images[start : start + size])
            found.append(answer(seen.to(like.device, like.dtype)).softmax(-1).cpu())
    return [_best(row, names, top) for rows in found for row in rows]


def classes_of(net: Transformer | Pair, meta: Mapping[str, Any]) -> list[str]:
    """The names of a model's classes of images: meta["labels"], else its id2label, else their numbers. ConfigError."""
    head = _head(net)
    count, names = net.spec.heads[head].output or 0, labels_of(meta, net.spec.heads[head].output or 0)  # type: ignore[union-attr]
    return [str(i) if name == f"LABEL_{i}" and not meta.get("labels") else name for i, name in zip(range(count), names, strict=True)]


def _head(net: Transformer | Pair) -> str:
    heads = {} if isinstance(net, Pair) else net.spec.heads
    head = next((name for name, one in heads.items() if one.task == "image"), None)
    if head is None:
        raise ConfigError(
            "this model has no classes of images", expected="a head of task image",
            received=f"the heads {', '.join(heads)}" if heads else "a pair of towers",
            change="load one trained for classes (…ForImageClassification), or a pair of towers with texts",
        )  # fmt: skip
    return head


def _of_head(net: Transformer, meta: Mapping[str, Any]) -> tuple[list[str], Any]:
    """(the classes' names, pixels → logits)"""
    head = _head(net)

    def answer(seen: Tensor) -> Tensor:
        return net.logits(net.hidden(Tokens(signal=seen))[0], head)

    return classes_of(net, meta), answer


def _of_pair(net: Pair, tokenizer: Tokenizer | None, texts: Any) -> tuple[list[str], Any]:
    """(the texts, pixels → logits of each image beside each of them)"""
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        raise UserError("texts are not possible", expected="a list of texts", received=repr(texts)[:100])
    if tokenizer is None:
        raise ConfigError("texts need a tokenizer", expected="a model with one", received="a model without one")
    rows, head = rows_of(tokenizer, {}, net.spec.text.context, list(texts)), next(iter(net.spec.text.heads.values()))
    if any(head.eos is not None and head.eos not in row for row in rows):
        raise ConfigError("the tokenizer does not end a text as the model expects", expected=f"id {head.eos} behind every text", received="none")
    read = net.of_texts(batch(rows, next(net.parameters()).device))
    return list(texts), lambda seen: net.logits(read, net.of_images(Tokens(signal=seen))).T


def _best(row: Tensor, names: list[str], top: int | None) -> list[tuple[str, float]]:
    order = row.argsort(descending=True, stable=True)[:top].tolist()
    return [(names[i], float(row[i])) for i in order]
