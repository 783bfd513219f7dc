"""What is graded of the exercise `cache`. `full` is ours, not the file's. Each point tells one kind of mistake: points without
rotary positions are not moved by wrong positions, points of one token at a time not by the mask of several."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..point import Missed, Point, near, shaped
from .given import full

F64 = torch.float64
WIDTH, HEADS = 16, 2


def _weights() -> dict[str, Tensor]:
    return {name: torch.randn(WIDTH, WIDTH, dtype=F64) / math.sqrt(WIDTH) for name in "qkvo"}


def _tokens(length: int, rows: int = 2) -> Tensor:
    return torch.randn(rows, length, WIDTH, dtype=F64)


def _piecewise(module: Any, x: Tensor, w: dict[str, Tensor], pieces: list[int], rotary: bool) -> Tensor:
    """What the file's steps return, side by side."""
    cache, found, at = module.Cache(), [], 0
    for n in pieces:
        found.append(shaped(module.step(x[:, at : at + n], w, HEADS, cache, rotary=rotary), (x.shape[0], n, WIDTH)))
        at += n
    return torch.cat(found, 1)


def _compare(module: Any, pieces: list[int], rotary: bool, what: str) -> None:
    x, w = _tokens(sum(pieces)), _weights()
    near(_piecewise(module, x, w, pieces, rotary), full(x, w, HEADS, rotary), what)


def _first(module: Any) -> None:
    _compare(module, [1], True, "the first token alone, as full has it")


def _prompt(module: Any) -> None:
    _compare(module, [7], True, "a prompt of 7 tokens at once, as full has it")


def _one_by_one(module: Any) -> None:
    _compare(module, [1] * 6, False, "6 tokens one by one, without positions, as full has them")


def _positions(module: Any) -> None:
    _compare(module, [1] * 6, True, "6 tokens one by one, with rotary positions, as full has them")


def _prompt_then_tokens(module: Any) -> None:
    _compare(module, [4, 1, 1, 1], True, "a prompt of 4 tokens and then 3 one by one, as full has them")


def _pieces(module: Any) -> None:
    _compare(module, [3, 4, 1, 2], False, "pieces of 3, 4, 1 and 2 tokens, without positions, as full has them")


def _length(module: Any) -> None:
    cache, w, seen = module.Cache(), _weights(), []
    for n in (3, 1, 2):
        seen.append(cache.length)
        module.step(_tokens(n), w, HEADS, cache)
    if [*seen, cache.length] != [0, 3, 4, 6]:
        raise Missed("length 0, 3, 4 and 6 around steps of 3, 1 and 2 tokens", ", ".join(map(str, [*seen, cache.length])))


def _new_alone(module: Any) -> None:
    """Other key and value weights from the second step on: old entries must be those that were computed first."""
    x, w = _tokens(4), _weights()
    cache = module.Cache()
    module.step(x[:, :3], w, HEADS, cache, rotary=False)
    zeros = {**w, "k": torch.zeros_like(w["k"]), "v": torch.zeros_like(w["v"])}
    out = module.step(x[:, 3:], zeros, HEADS, cache, rotary=False)
    keys, values = (torch.cat([x[:, :3] @ w[name], 0 * x[:, 3:]], 1).view(2, 4, HEADS, -1).transpose(1, 2) for name in "kv")
    query = (x[:, 3:] @ w["q"]).view(2, 1, HEADS, -1).transpose(1, 2)
    mixed = (query @ keys.transpose(-1, -2) / math.sqrt(WIDTH / HEADS)).softmax(-1) @ values
    near(out, mixed.transpose(1, 2).flatten(2) @ w["o"], "old keys and values as they were computed, not anew")


def _apart(module: Any) -> None:
    w, one, two = _weights(), _tokens(4), _tokens(4)
    caches, found = (module.Cache(), module.Cache()), ([], [])  # type: tuple[Any, Any], tuple[list[Tensor], list[Tensor]]
    for t in range(4):
        for x, cache, out in zip((one, two), caches, found, strict=True):
            out.append(shaped(module.step(x[:, t : t + 1], w, HEADS, cache), (2, 1, WIDTH)))
    alone = _piecewise(module, one, w, [1] * 4, True)
    near(torch.cat(found[0], 1), alone, "what a text gives alone, while another is written in turn with it")


def _rewind(module: Any) -> None:
    w, x, other = _weights(), _tokens(5), _tokens(2)
    cache = module.Cache()
    module.step(x, w, HEADS, cache)
    cache.rewind(3)
    if cache.length != 3:
        raise Missed("length 3 after rewind(3)", str(cache.length))
    out = module.step(other, w, HEADS, cache)
    again = module.Cache()
    module.step(x[:, :3], w, HEADS, again)
    near(out, module.step(other, w, HEADS, again), "what 3 tokens and 2 others give, after 5 were read and 2 taken back")


POINTS = (
    Point("first", "the first token, with an empty cache", _first),
    Point("prompt", "a prompt read at once equals the full pass", _prompt),
    Point("one", "one by one, without positions: every token sees itself and all before it", _one_by_one),
    Point("positions", "one by one, with positions: they go on from the cache's length", _positions),
    Point("writing", "a prompt, then one by one", _prompt_then_tokens),
    Point("pieces", "several new tokens after old ones: the mask stands to the right", _pieces),
    Point("length", "the cache knows how many tokens it holds", _length),
    Point("new", "a step computes keys and values of the new tokens alone", _new_alone),
    Point("apart", "two caches do not mix", _apart),
    Point("rewind", "tokens can be taken back", _rewind),
)
