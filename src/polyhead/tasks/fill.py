"""Gaps in a text → what a masked language model would put there (BERT, arXiv 1810.04805 §3.1, task 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..errors import TokenizerError, UserError
from ..nn import Transformer
from ..text import Tokenizer
from .reading import Row, Tool, check, room, tokens_of, tool, wrapped
from .rows import evaluating

SPELLINGS = ("[MASK]", "<mask>")
"""What people write for a gap, whatever the model's own mask token is called."""


class Choice(NamedTuple):
    """What may stand in a gap. token: its text, with the blank before it that it may hold; score: its probability; id: its number."""

    token: str
    score: float
    id: int


class Filled(NamedTuple):
    """A text with gaps. text: as it was given; best: with the most probable token in each gap; gaps: the most probable tokens of
    each, best first."""

    text: str
    best: str
    gaps: tuple[tuple[Choice, ...], ...]


def fill(net: Any, tokenizer: Tokenizer | None, meta: Mapping[str, Any], texts: Any, top: int, batch: int) -> Filled | list[Filled]:
    """See Model.fill."""
    check("top", top)
    check("batch", batch)
    at = tool(net, tokenizer, meta, ("mlm",), "fill masks")
    if at.tokenizer.mask is None:
        raise TokenizerError("the tokenizer has no mask token", expected="one with a mask token, as masked language models have", received=at.tokenizer.kind)
    single = isinstance(texts, str)
    given = [texts] if single else texts
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        raise UserError("only texts have gaps", expected="a text, or a list of texts", received=type(texts).__name__)
    rows = [_row(at, text) for text in given]
    found = [Filled(text, *_told(at.tokenizer, row, choices)) for text, row, choices in zip(given, rows, _choices(at, rows, top, batch), strict=True)]
    return found[0] if single else found


def gap(text: str, tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """What marks the gaps of a text: the tokenizer's own mask token where it stands there, else what people write. None: nothing does."""
    own = tokenizer.token(tokenizer.mask) if tokenizer.mask is not None else ""
    names = [own] if own and own in text else [name for name in SPELLINGS if name in text]
    return re.compile("|".join(map(re.escape, names))) if names else None


def _mask(tokenizer: Tokenizer) -> int:
    assert tokenizer.mask is not None, "fill has looked"
    return tokenizer.mask


def _row(at: Tool, text: str) -> Row:
    """Between special tokens; a text beyond what the model reads keeps the part around its gaps."""
    mask, found = _mask(at.tokenizer), gap(text, at.tokenizer)
    own = at.tokenizer.token(mask)
    if found is None:
        raise UserError("there is nothing to fill", expected=" or ".join(dict.fromkeys((own, *SPELLINGS))) + " in the text", received=repr(text[:80]), change=f"write {own} where a word is missing")
    ids = at.tokenizer.encode(found.sub(lambda _: own, text), special=True)
    places, space = [i for i, number in enumerate(ids) if number == mask], room(at, False)
    if not places:
        raise UserError("there is nothing to fill", expected=f"{own} where a word is missing", received=repr(text[:80]))
    if places[-1] - places[0] >= space:
        raise UserError("the gaps stand too far apart", expected=f"within {space} tokens, which the model reads", received=f"{places[-1] - places[0] + 1}", change="ask for one after the other")
    middle = (places[0] + places[-1] + 1 - space) // 2  # most of what stands around them
    first = max(0, min(middle, len(ids) - space))
    return wrapped(at.tokenizer, ids[first : first + space])[0]._replace(marked=1)


@torch.inference_mode()
def _choices(at: Tool, rows: Sequence[Row], top: int, size: int) -> list[list[list[tuple[float, int]]]]:
    """Of each row's gaps, the most probable tokens; like lengths together."""
    found: list[list[list[tuple[float, int]]]] = [[] for _ in rows]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids), reverse=True)
    with evaluating(at.net):
        for start in range(0, len(order), size):
            part = order[start : start + size]
            for i, shares in zip(part, _shares(at, [rows[i] for i in part]), strict=True):
                best = shares.topk(min(top, shares.shape[-1]))
                found[i] = [list(zip(*pair, strict=True)) for pair in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
    return found


def _shares(at: Tool, rows: Sequence[Row]) -> list[torch.Tensor]:
    """(gaps, V) of each row: probabilities."""
    net: Transformer = at.net
    text = tokens_of(net.spec, rows, next(net.parameters()).device)
    assert text.ids is not None, "rows are ids"
    x, _ = net.hidden(text)
    wanted = text.ids.eq(_mask(at.tokenizer))
    shares = net.logits(x[wanted], at.head).float().softmax(-1)[:, : at.tokenizer.vocab_size].cpu()  # a table may have more rows than there are tokens
    return list(shares.split(wanted.sum(1).tolist()))


def _told(tokenizer: Tokenizer, row: Row, choices: list[list[tuple[float, int]]]) -> tuple[str, tuple[tuple[Choice, ...], ...]]:
    gaps = tuple(tuple(Choice(tokenizer.decode([number]), share, number) for share, number in one) for one in choices)
    best = iter(one[0].id for one in gaps)
    return tokenizer.decode([next(best) if number == tokenizer.mask else number for number in row.ids]), gaps
