"""What is graded of the exercise `design`: everything follows from the specification, by our own counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ....errors import PolyheadError
from ....families.presets import spec_from
from ....nn import ModelSpec
from ..point import Missed, Point

VOCAB, CONTEXT, ROWS = 32_000, 8_192, 16
LEAST, MOST = 1.0e9, 1.3e9  # parameters
CACHE = 32 * 1024  # bytes per token
DEVICE = 0.9 * 6 * 2**30  # bytes
COMPUTE, PER_PARAMETER = 3e20, 20  # FLOPs of training; tokens
BYTES = 2  # of a number


class Design(NamedTuple):
    spec: ModelSpec
    tokens: float


def read(handed_in: dict[str, Any]) -> Design:
    """Missed unless there are `model`, which can be built, and `tokens`."""
    strange = sorted(set(handed_in) - {"model", "tokens"})
    if strange or "model" not in handed_in or "tokens" not in handed_in:
        raise Missed("the two fields model and tokens", ", ".join(handed_in) or "nothing")
    model, tokens = handed_in["model"], handed_in["tokens"]
    if not isinstance(model, dict):
        raise Missed("model: a mapping, such as preset: llama-nano", repr(model))
    if isinstance(tokens, bool) or not isinstance(tokens, int | float) or not tokens > 0:
        raise Missed("tokens: a number above 0", repr(tokens))
    try:
        spec = spec_from(model, "model")
    except PolyheadError as error:
        raise Missed(error.expected or "a model that can be built", f"{error.message}: {error.received}") from None
    if spec.decoder is None or spec.encoder is not None:
        raise Missed("a decoder alone", " and ".join(spec.stacks))
    return Design(spec, float(tokens))


def cache_bytes(spec: ModelSpec) -> float:
    """Per token of a text as long as the context, of what the engine would allocate."""
    with torch.device("meta"):
        cache = spec.build(seed=None).new_cache(1, CONTEXT)
    numbers = sum(slot.shape[1] * (slot.shape[2] - 1) * slot.shape[3] for store in cache.stores for slot in store.slots)
    return BYTES * numbers / CONTEXT


def _fields(design: Design) -> None:
    if (design.spec.vocab, design.spec.context) != (VOCAB, CONTEXT):
        raise Missed(f"a vocabulary of {VOCAB:,} and a context of {CONTEXT:,}", f"{design.spec.vocab:,} and {design.spec.context:,}")


def _heads(design: Design) -> None:
    stack = design.spec.decoder
    assert stack is not None
    widths = {block.attention.heads.dim(stack.width) for block in stack.blocks.values() if block.attention is not None}
    if not widths or min(widths) < 64 or max(widths) > 128:
        raise Missed("heads from 64 to 128 wide", ", ".join(map(str, sorted(widths))) or "no attention")


def _parameters(design: Design) -> None:
    total = design.spec.params().total
    if not LEAST <= total <= MOST:
        parts = ", ".join(f"{name.removeprefix('decoder.')} {n:,}" for name, n in design.spec.params().parts.items() if n)
        raise Missed(f"{LEAST:,.0f} to {MOST:,.0f} parameters", f"{total:,} ({parts})")


def _cache(design: Design) -> None:
    found = cache_bytes(design.spec)
    if found > CACHE:
        raise Missed(f"at most {CACHE / 1024:.0f} KiB of cache per token", f"{found / 1024:.1f} KiB")


def _memory(design: Design) -> None:
    weights, cache = BYTES * design.spec.params().total, ROWS * CONTEXT * cache_bytes(design.spec)
    if weights + cache > DEVICE:
        came = f"{(weights + cache) / 2**30:.2f} GiB ({weights / 2**30:.2f} of weights, {cache / 2**30:.2f} of cache)"
        raise Missed(f"at most {DEVICE / 2**30:.1f} GiB for weights and {ROWS} texts of {CONTEXT:,} tokens", came)


def _tokens(design: Design) -> None:
    each = design.tokens / design.spec.params().total
    if each < PER_PARAMETER:
        raise Missed(f"at least {PER_PARAMETER} tokens per parameter", f"{each:.1f}")


def _compute(design: Design) -> None:
    per_token = 3 * design.spec.flops(CONTEXT).total / CONTEXT
    if (total := per_token * design.tokens) > COMPUTE:
        came = f"{total:.2e} FLOPs ({per_token:.2e} for each token, of which 6·N are {6 * design.spec.params().total:.2e})"
        raise Missed(f"at most {COMPUTE:.0e} FLOPs of training".replace("e+", "e"), came.replace("e+", "e"))


def _of(check: Callable[[Design], None]) -> Callable[[Any], None]:
    return lambda handed_in: check(read(handed_in))


POINTS = (
    Point("model", "it is a decoder that can be built", _of(lambda design: None)),
    Point("fields", "vocabulary and context are those asked for", _of(_fields)),
    Point("heads", "heads are 64 to 128 wide", _of(_heads)),
    Point("parameters", "1.0 to 1.3 billion parameters", _of(_parameters)),
    Point("cache", "the cache takes at most 32 KiB per token", _of(_cache)),
    Point("memory", "weights and 16 texts fit the device", _of(_memory)),
    Point("tokens", "at least 20 tokens per parameter", _of(_tokens)),
    Point("compute", "training stays within 3·10²⁰ FLOPs", _of(_compute)),
)
