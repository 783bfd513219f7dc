"""Texts → vectors: wrapped, cut to what the model reads, like lengths side by side, through the head that pools."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, UserError
from ..nn import At, ModelSpec, Transformer
from ..text import Tokenizer
from .rows import batch, evaluating


def embedding_head(spec: ModelSpec) -> str:
    """The name of the head that makes one vector of a row. ConfigError where there is none."""
    found = next((name for name, head in spec.heads.items() if head.task == "embed" and head.pools), None)
    if found is None or len(spec.stacks) == 2:
        shape = "an encoder–decoder" if len(spec.stacks) == 2 else f"the heads {', '.join(spec.heads)}"
        raise ConfigError(
            "this model makes no embeddings of texts",
            expected="an encoder, or a decoder, with a head of task embed that pools", received=shape,
            change='load a sentence-transformers folder, or add {"heads": {"embed": {"task": "embed", "pool": "mean", "normalise": true}}}',
        )  # fmt: skip
    return found


@torch.inference_mode()
def embed(net: Transformer, tokenizer: Tokenizer | None, facts: Mapping[str, Any], texts: Any, prompt: str | None, size: int) -> Tensor:
    """What Model.embed says; facts: meta["sentences"], size: texts at a time."""
    head = embedding_head(net.spec)
    single = isinstance(texts, str)
    texts = [texts] if single else texts
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise UserError("only texts can be embedded", expected="a text, or a list of texts", received=type(texts).__name__)
    if type(size) is not int or size < 1:
        raise UserError("batch is not possible", expected="a whole number above 0", received=repr(size))
    if tokenizer is None:
        raise ConfigError("texts need a tokenizer", expected="a model with one", received="a model without one")
    before = _prompt(facts, prompt)
    rows = rows_of(tokenizer, facts, net.spec.context, [before + text for text in texts])
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)  # the longest first: memory fails at once or never
    parts, device = [], next(net.parameters()).device
    with evaluating(net):
        for start in range(0, len(rows), size):
            tokens = batch([rows[i] for i in order[start : start + size]], device)
            x, _ = net.hidden(tokens)
            parts.append(net.logits(x, head, At.of(tokens), tokens).cpu())
    found = torch.cat(parts)[torch.tensor(order).argsort()] if parts else torch.empty(0, _width(net.spec, head))
    found = found[:, : facts.get("columns")]
    return found[0] if single else found


def _width(spec: ModelSpec, name: str) -> int:
    head = spec.heads[name]
    return head.output or head.dense or head.pooled_width(spec.top.width)


def _prompt(facts: Mapping[str, Any], name: str | None) -> str:
    prompts = facts.get("prompts") or {}
    name = facts.get("prompt") if name is None else name
    if name is None:
        return ""
    if name not in prompts:
        raise UserError("there is no such prompt", expected=" | ".join(prompts) or "none: the model has no prompts", received=repr(name)[:100])
    return prompts[name]


def rows_of(tokenizer: Tokenizer, facts: Mapping[str, Any], context: int, texts: list[str]) -> list[list[int]]:
    """The ids of every text between the special tokens; too long ones are cut, which is said."""
    texts = [text.lower() for text in texts] if facts.get("lower") else texts
    limits = (facts.get("max_length"), tokenizer.config.get("model_max_length"), context)  # the second: where version 6 puts it
    longest = min(limit for limit in limits if type(limit) is int and limit > 0)
    room = max(1, longest - len(tokenizer.wrap([])[0]))
    found = tokenizer.encode_batch(texts) if texts else []
    cut = sum(len(ids) > room for ids in found)
    if cut:
        warnings.warn(f"{cut} of {len(found)} texts are longer than the {longest} tokens this model reads; what is beyond was cut off", stacklevel=5)
    left = tokenizer.config.get("truncation_side") == "left"
    rows = [tokenizer.wrap(ids[-room:] if left else ids[:room])[0] for ids in found]
    empty = next((i for i, row in enumerate(rows) if not row), None)
    if empty is not None:
        raise UserError("an empty text has no embedding", expected="at least one token", received=f"text {empty} has none")
    return rows
