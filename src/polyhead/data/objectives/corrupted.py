"""Span corruption: spans are taken out of a text and asked for (T5, Raffel et al. 2020, arXiv 1910.10683 §3.1.4)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from ..order import noise
from ..tokenfile import TokenFile
from .base import Objective
from .masked import same_vocabulary
from .rows import sample_keys
from .texts import StreamWindows

if TYPE_CHECKING:
    from ...text import Tokenizer

_NOISE, _REST = 0x70E5 << 32, 0xC1EA << 32


class Plan(NamedTuple):
    """Of a window of `tokens`: how many are taken out, in how many spans, and the lengths of source and target."""

    tokens: int
    noise: int
    spans: int

    @property
    def source(self) -> int:
        """What is left, a sentinel for each span, and the end."""
        return self.tokens - self.noise + self.spans + 1

    @property
    def target(self) -> int:
        """What was taken out, a sentinel before each span, and the end."""
        return self.noise + self.spans + 1


def plan(tokens: int, rate: float, mean_span: float) -> Plan:
    """The numbers of T5's `random_spans_noise_mask` for `tokens` (2 or more)."""
    taken = min(max(round(tokens * rate), 1), tokens - 1)
    return Plan(tokens, taken, min(max(round(taken / mean_span), 1), tokens - taken))


def fitted(context: int, rate: float, mean_span: float) -> Plan:
    """The longest window of which neither source nor target is longer than `context` (T5's `random_spans_helper`, which lets
    a target be longer than its source except at the rate 0.5)."""
    best = plan(2, rate, mean_span)
    while True:
        longer = plan(best.tokens + 1, rate, mean_span)
        if max(longer.source, longer.target) > context:
            return best
        best = longer


def longest_context(rate: float, mean_span: float, *, tokens: float = math.inf, spans: float = math.inf) -> int | None:
    """The longest context whose window (`fitted`) takes at most so many tokens and spans; None if none does."""
    least = most = 0
    for length in itertools.count(2):
        window = plan(length, rate, mean_span)
        most = max(most, window.source, window.target)
        if window.tokens > tokens or window.spans > spans:
            return most - 1 if least and most > least else None
        least = least or most
    raise AssertionError("one of the two is finite")


class Corrupted(Objective):
    """Windows of the corpus with spans taken out. source: what is left, a sentinel in the place of each span, `<eos>`. The
    decoder is asked for each sentinel and the tokens it stands for, then `<eos>`; it begins with `<bos>`, or `<pad>` as T5.

    rate: the share of tokens taken out. mean_span: their mean length; the lengths are those of a random cut into as many
    spans, as in T5's code. Every source has exactly `context` tokens (every target, where that is longer), so there is
    no padding. Texts are joined without their `<eos>`, which would end a target too early; a window begins with a token
    that stays and ends with a span. The n-th span has the n-th of the tokenizer's sentinels.
    """

    def __init__(
        self, file: TokenFile, context: int, tokenizer: Tokenizer, *, rate: float = 0.15, mean_span: float = 3.0
    ) -> None:
        _check(context, rate, mean_span)
        same_vocabulary(file, tokenizer)
        self._bos, self._eos = decoder_ends(file)
        self.file, self.context, self.rate, self.mean_span = file, context, rate, mean_span
        self.plan = fitted(context, rate, mean_span)
        self._sentinels = np.array(tokenizer.sentinels, np.int64)
        if len(self._sentinels) < self.plan.spans:
            raise _too_few_sentinels(self.plan, context, len(self._sentinels), longest_context(rate, mean_span, spans=len(self._sentinels)))
        self._windows = StreamWindows(file, self.plan.tokens)
        if len(self._windows.stream) < 2:
            raise DataError(f"{file.path} holds no two tokens", expected="at least 2", change="add text to the corpus")

    def __len__(self) -> int:
        return self._windows.count

    def too_short(self, batch: int) -> DataError:
        need = f"whose source and target take {self.plan.source} and {self.plan.target}"
        return self._windows.too_short(batch, need, 0, self.fits())

    def fits(self) -> int | None:
        return longest_context(self.rate, self.mean_span, tokens=len(self._windows.stream))

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        return self._batch(self._windows.starts(indices, epoch, seed), sample_keys(indices, epoch, seed), None)

    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Every token stands once in a window whose spans count; the spans are the same at every call."""
        for starts, skip in self._windows.evaluation(batch, rank, world):
            yield self._batch(starts, noise(starts.astype(np.uint64)), skip)

    def _batch(self, starts: np.ndarray, keys: np.ndarray, skip: np.ndarray | None) -> Batch:
        ids, rows = self._windows.read(starts), len(starts)
        p = plan(ids.shape[1], self.rate, self.mean_span)
        taken, rest = segments(p.noise, p.spans, keys ^ np.uint64(_NOISE)), segments(p.tokens - p.noise, p.spans, keys ^ np.uint64(_REST))
        out = _alternate(rest, taken)
        counted = np.ones(ids.shape, bool) if skip is None else np.arange(p.tokens) >= skip[:, None]
        ended = np.full((rows, 1), self._eos)
        number = np.arange(p.spans)
        source = np.concatenate([_insert(ids[~out], np.cumsum(rest, 1) + number, self._sentinels[: p.spans]), ended], 1)
        before = np.cumsum(taken, 1) - taken + number  # where each sentinel stands in the target
        target = np.concatenate([_insert(ids[out], before, self._sentinels[: p.spans]), ended], 1)
        last = np.take_along_axis(counted, np.cumsum(rest + taken, 1) - 1, 1)  # a sentinel counts with its span's last token
        weights = np.concatenate([_insert(counted[out].astype(np.float32), before, last), counted[:, -1:]], 1)
        decoder = np.concatenate([np.full((rows, 1), self._bos), target[:, :-1]], 1)
        return Batch(
            Tokens(torch.from_numpy(decoder)),
            torch.from_numpy(target),
            torch.from_numpy(weights.astype(np.float32)),
            Tokens(torch.from_numpy(source)),
        )


def segments(items: int, parts: int, keys: np.ndarray) -> np.ndarray:
    """(B, parts) lengths of 1 or more with the sum `items`, every such cut alike (T5's `_random_segmentation`)."""
    random = noise(keys[:, None] + np.arange(items - 1, dtype=np.uint64))
    places = random.argsort(1) if parts == items else np.argpartition(random, parts - 1, axis=1)
    cuts = np.sort(places[:, : parts - 1], axis=1)
    edges = np.concatenate([np.full((len(keys), 1), -1), cuts, np.full((len(keys), 1), items - 1)], 1)
    return np.diff(edges, axis=1)


def _alternate(rest: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(B, T) bool, True on what is taken out: rest, taken, rest, taken …"""
    lengths = np.stack([rest, taken], 2)
    flags = np.broadcast_to([False, True], lengths.shape)
    return np.repeat(flags.ravel(), lengths.ravel()).reshape(len(rest), -1)


def _insert(values: np.ndarray, at: np.ndarray, inserted: np.ndarray) -> np.ndarray:
    """Rows of `values` (all in one, as many for each row) with `inserted` at the places `at` (B, k)."""
    out = np.empty((len(at), len(values) // len(at) + at.shape[1]), values.dtype)
    free = np.ones(out.shape, bool)
    np.put_along_axis(free, at, False, 1)
    np.put_along_axis(out, at, inserted.astype(values.dtype) if inserted.ndim == 2 else inserted[None].astype(values.dtype), 1)
    out[free] = values
    return out


def decoder_ends(file: TokenFile) -> tuple[int, int]:
    """(what a decoder begins with: `<bos>`, or `<pad>`, or `<eos>`; the `<eos>` it ends with)."""
    if "eos" not in file.special:
        raise DataError(
            f"{file.path} was packed with a tokenizer without <eos>: a decoder could never stop",
            expected="a tokenizer with <bos> and <eos>",
            change="train the tokenizer with its default special tokens",
        )
    eos = file.special["eos"]
    return file.special.get("bos", file.special.get("pad", eos)), eos


def _too_few_sentinels(plan: Plan, context: int, there: int, possible: int | None) -> ConfigError:
    shorter = "" if possible is None else f"a context of {possible}, "
    return ConfigError(
        f"span corruption takes {plan.spans} spans out of a context of {context}, each with a sentinel of its own",
        expected=f"a tokenizer with <extra_id_0> … <extra_id_{plan.spans - 1}>",
        received=f"{there} sentinels",
        change=f"{shorter}training.objective=denoising, which needs none, or a new model with a tokenizer of its own, which gets 100",
    )


def _check(context: int, rate: float, mean_span: float) -> None:
    if not 0 < rate < 1:
        raise ConfigError("the share of tokens taken out", expected="between 0 and 1", received=str(rate))
    if not mean_span >= 1:
        raise ConfigError("the mean length of spans", expected="at least 1 token", received=str(mean_span))
    if context < plan(2, rate, mean_span).source:
        raise ConfigError("the context leaves no room for a span", expected="at least 3", received=str(context))
