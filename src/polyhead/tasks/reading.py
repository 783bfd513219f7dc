"""What every task needs: the head and what its logits mean, texts between special tokens, rows through the network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError, UserError
from ..nn import At, ModelSpec, Pair, Tokens, Transformer
from ..nn.pattern import Marked, holds
from ..text import Tokenizer
from .rows import batch, evaluating

PROBLEMS = {"single_label_classification": "single", "multi_label_classification": "multi", "regression": "number"}
_DOES = {"lm": "write", "mlm": "fill", "classify": "classify", "pair": "classify", "tag": "tag", "span": "answer", "embed": "embed", "image": "images"}
_PAIR = {"next": ("follows", "does not follow"), "order": ("in order", "swapped")}


class Tool(NamedTuple):
    """A network that answers, its tokenizer, what is known of it (Model.meta), and the head that is asked."""

    net: Transformer
    tokenizer: Tokenizer
    meta: Mapping[str, Any]
    head: str

    @property
    def outputs(self) -> int:
        return self.net.spec.heads[self.head].output or 0

    @property
    def limit(self) -> int:
        """The most tokens of a row, special ones counted."""
        told = self.tokenizer.config.get("model_max_length")
        return min(n for n in (told, self.net.spec.context) if type(n) is int and n > 0)


class Row(NamedTuple):
    """ids between special tokens, their token types, and how many of the first see and are seen by all (Longformer)."""

    ids: list[int]
    types: list[int]
    marked: int = 0


def tool(net: Transformer | Pair, tokenizer: Tokenizer | None, meta: Mapping[str, Any], tasks: Sequence[str], what: str) -> Tool:
    """The tool with the first head of these tasks. ConfigError for a model that cannot do `what`."""
    spec = None if isinstance(net, Pair) else net.spec
    heads = {} if spec is None else spec.heads
    head = next((name for task in tasks for name, one in heads.items() if one.task == task), None)
    if head is None or isinstance(net, Pair):
        raise ConfigError(
            f"this model does not {what}", expected=f"a head of task {' or '.join(tasks)}",
            received="a pair of towers" if spec is None else f"the heads {', '.join(f'{n} ({h.task})' if n != h.task else n for n, h in heads.items())}",
            change=f"load a model that was trained to {what}, or train one",
        )  # fmt: skip
    if tokenizer is None:
        raise ConfigError("texts need a tokenizer", expected="a model with one", received="a model without one")
    return Tool(net, tokenizer, meta, head)


def does(net: Transformer | Pair) -> str:
    """What a model's first head is for: "write", "fill" (masked tokens), "classify", "tag", "answer", "embed", "images", or
    "nothing" that is asked of texts; "compare" for a pair of towers."""
    if isinstance(net, Pair):
        return "compare"
    first = next(iter(net.spec.heads.values())).task
    return _DOES.get(first, "nothing")


def labels_of(meta: Mapping[str, Any], count: int) -> list[str]:
    """The names of logits: meta["labels"], else the Hugging Face config's id2label, else LABEL_0 … as transformers calls them."""
    told = meta.get("labels")
    if told is not None:
        if not isinstance(told, list) or len(told) != count or not all(isinstance(name, str) for name in told):
            received = f"{len(told)} of them" if isinstance(told, list) else repr(told)[:100]
            raise ConfigError('meta["labels"] does not fit the model\'s head', expected=f"{count} names", received=received)
        return told
    names = _config(meta).get("id2label")
    names = names if isinstance(names, dict) else {}
    return [str(names.get(str(i), names.get(i, f"LABEL_{i}"))) for i in range(count)]


def problem_of(meta: Mapping[str, Any], count: int) -> str:
    """"single" (softmax), "multi" (a sigmoid each) or "number". meta["problem"], else the config's problem_type; without
    either, one logit is a class of its own and several exclude each other, as in transformers."""
    told = meta.get("problem")
    if told is not None:
        if told not in ("single", "multi", "number"):
            raise ConfigError('meta["problem"] is not one of a classifier', expected="single | multi | number", received=repr(told)[:100])
        return str(told)
    told = _config(meta).get("problem_type")
    if told is not None and told not in PROBLEMS:
        raise ConfigError("config.json: problem_type", expected=" | ".join(PROBLEMS), received=repr(told)[:100])
    return PROBLEMS[told] if told is not None else "multi" if count == 1 else "single"


def pair_labels(meta: Mapping[str, Any]) -> list[str]:
    """Of a head that says whether two texts follow on each other; meta["pair"]: "next" (BERT §3.1) or "order" (ALBERT §3.1)."""
    names = meta.get("labels")
    if names is not None:
        return labels_of(meta, 2)
    order = meta.get("pair") == "order" or _config(meta).get("model_type") == "albert"
    return list(_PAIR["order" if order else "next"])


def _config(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = meta.get("huggingface")
    config = kept.get("config") if isinstance(kept, dict) else None
    return config if isinstance(config, dict) else {}


# ---------------------------------------------------------------- texts


def wrapped(tokenizer: Tokenizer, first: Sequence[int], second: Sequence[int] | None = None) -> tuple[Row, list[int], list[int]]:
    """(row, places of the first text's tokens in it, of the second's)."""
    ids, types = tokenizer.wrap(first, second)
    marks, _ = tokenizer.wrap([-1] * len(first), None if second is None else [-2] * len(second))
    return Row(ids, types), [i for i, x in enumerate(marks) if x == -1], [i for i, x in enumerate(marks) if x == -2]


def room(at: Tool, paired: bool) -> int:
    """Tokens of text that a row takes."""
    added = len(at.tokenizer.wrap([], [] if paired else None)[0])
    if at.limit <= added:
        raise ConfigError("the model reads too few tokens for a text", expected=f"more than {added}", received=str(at.limit))
    return at.limit - added


def texts_of(at: Tool, texts: Sequence[str | tuple[str, str]]) -> list[Row]:
    """A row for each text or pair. One too long is cut at its end, of a pair the longer text first, which is said."""
    firsts = at.tokenizer.encode_batch([text if isinstance(text, str) else text[0] for text in texts]) if texts else []
    seconds = at.tokenizer.encode_batch([text[1] for text in texts if not isinstance(text, str)]) if texts else []
    rest, rows, cut = iter(seconds), [], 0
    for text, ids in zip(texts, firsts, strict=True):
        second = None if isinstance(text, str) else next(rest)
        space = room(at, second is not None)
        kept = _shortened(len(ids), len(second or []), space)
        cut += kept != (len(ids), len(second or []))
        row = wrapped(at.tokenizer, ids[: kept[0]], None if second is None else second[: kept[1]])[0]
        rows.append(row._replace(marked=1))
    if cut:
        warnings.warn(f"{cut} of {len(rows)} texts are longer than the {at.limit} tokens this model reads; what is beyond was cut off", stacklevel=5)
    empty = next((i for i, row in enumerate(rows) if not row.ids), None)
    if empty is not None:
        raise UserError("an empty text cannot be read", expected="at least one token", received=f"text {empty} has none")
    return rows


def _shortened(one: int, other: int, space: int) -> tuple[int, int]:
    """Lengths that fit: what is too much comes off the longer text, from both once they are equal."""
    if one + other <= space:
        return one, other
    half = space // 2
    if min(one, other) <= half:
        return (space - other, other) if one > other else (one, space - one)
    return space - half, half


def given(texts: Any) -> tuple[bool, list[str | tuple[str, str]]]:
    """(whether one alone, the texts) of a text, a pair (a tuple of two), or a list of either. UserError."""
    single = isinstance(texts, str) or _is_pair(texts)
    found = [texts] if single else texts
    odd = next((one for one in found if not (isinstance(one, str) or _is_pair(one))), None) if isinstance(found, list) else texts
    if odd is not None or not isinstance(found, list):
        raise UserError("only texts can be read", expected="a text, a pair (text, text), or a list of them", received=repr(odd)[:100])
    return single, [one if isinstance(one, str) else (one[0], one[1]) for one in found]


def _is_pair(one: Any) -> bool:
    return isinstance(one, tuple) and len(one) == 2 and all(isinstance(text, str) for text in one)


def check(name: str, value: Any, least: int = 1) -> None:
    """UserError for what is no whole number from `least`."""
    if type(value) is not int or value < least:
        raise UserError(f"{name} is not possible", expected=f"a whole number from {least}", received=repr(value)[:100])


# ---------------------------------------------------------------- rows → logits


@torch.inference_mode()
def logits(at: Tool, rows: Sequence[Row], size: int) -> list[Tensor]:
    """What the head says of each row, in fp32 on the CPU: (T, n) per token, or (n,). Like lengths are computed together,
    padded on the right, `size` rows at a time, the longest first, so that memory fails at once or never."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids), reverse=True)
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    per_token = not at.net.spec.heads[at.head].pools
    with evaluating(at.net):
        for start in range(0, len(rows), size):
            part = order[start : start + size]
            answer = _asked(at, [rows[i] for i in part]).float().cpu()
            for i, one in zip(part, answer, strict=True):
                found[i] = one[: len(rows[i].ids)] if per_token else one
    return found


def _asked(at: Tool, rows: Sequence[Row]) -> Tensor:
    net, device = at.net, next(at.net.parameters()).device
    text = tokens_of(net.spec, rows, device)
    if net.encoder is None or net.decoder is None:
        x, _ = net.hidden(text)
        return net.logits(x, at.head, At.of(text, x.shape[1]), text)
    x, _ = net.hidden(_behind(at, rows, device), text)  # an encoder–decoder reads the text with both, the decoder a token behind
    return net.logits(x, at.head, At.of(text, x.shape[1]), text)


def tokens_of(spec: ModelSpec, rows: Sequence[Row], device: torch.device) -> Tokens:
    stack = spec.encoder or spec.top
    tokens, wide = batch([row.ids for row in rows], device), max(len(row.ids) for row in rows)
    if 0 < max(max(row.types, default=0) for row in rows) < stack.embedding.types:
        types = [row.types + [0] * (wide - len(row.types)) for row in rows]
        tokens = tokens._replace(types=torch.tensor(types, device=device))
    if any(holds(block.attention.pattern, Marked) for block in stack.blocks.values()):
        marks = torch.tensor([row.marked for row in rows], device=device)
        tokens = tokens._replace(mark=torch.arange(wide, device=device) < marks[:, None])
    return tokens


def _behind(at: Tool, rows: Sequence[Row], device: torch.device) -> Tokens:
    start = at.meta.get("start")
    start = at.tokenizer.bos if start is None else start
    start = at.tokenizer.pad if start is None else start
    if type(start) is not int:
        raise ConfigError("the model has no token to start from", expected='meta "start", or a tokenizer with <bos>', received="neither")
    return batch([[start, *row.ids[:-1]] for row in rows], device)
