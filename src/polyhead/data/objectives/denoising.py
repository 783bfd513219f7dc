"""Denoising: a damaged text is read, the whole original is asked for (BART, Lewis et al. 2020, arXiv 1910.13461 §2.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from ..order import noise as hashed
from ..tokenfile import TokenFile
from .corrupted import decoder_ends
from .masked import same_vocabulary
from .masking import special_of, uniform
from .pooled import Pooled, padded
from .rows import sample_keys
from .texts import Texts, padding_of
from .words import sentence_ends

if TYPE_CHECKING:
    from ...text import Tokenizer

NOISES = ("infill", "mask", "delete")
_LENGTH, _GAP, _TOKEN, _ORDER, _TURN = (n << 40 for n in range(1, 6))


class Denoising(Pooled):
    """Texts of at most `context` − 1 tokens, cut out of documents (`Texts`), damaged for the encoder; the decoder begins with
    `<bos>` and is asked for the original and `<eos>`. Padded on the right; batches hold texts of about one length.

    noise: "infill": spans with lengths drawn from Poisson(`poisson`) are each replaced by one `<mask>`, until `rate` of the
    tokens are gone; a span of length 0 puts a `<mask>` between two tokens. "mask": each token becomes `<mask>` with the
    chance `rate`. "delete": each is left out with that chance. None: neither. permute: the sentences, which end at full
    stops, in a random order. rotate: the text begins at a random token, and goes on from its end to its beginning. The
    order is permute, rotate, noise. The defaults are those of the paper's large model (§5: 30 %, λ = 3, all sentences).
    Special tokens inside a text (`<unk>`) are neither masked nor left out one by one; spans cover what they meet.
    """

    def __init__(
        self,
        file: TokenFile,
        context: int,
        tokenizer: Tokenizer,
        *,
        rate: float = 0.3,
        poisson: float = 3.0,
        noise: str | None = "infill",
        permute: bool = True,
        rotate: bool = False,
        multiple: int = 1,
        pool: int = 64,
    ) -> None:
        super().__init__(multiple, pool)
        _check(context, rate, poisson, noise, permute, rotate)
        same_vocabulary(file, tokenizer)
        if noise in ("infill", "mask") and tokenizer.mask is None:
            raise ConfigError(
                f"the noise {noise!r} needs a tokenizer with a <mask> token",
                received=f"a {tokenizer.kind} tokenizer without one",
                change='train the tokenizer with its default special tokens, or noise="delete"',
            )
        self._bos, self._eos = decoder_ends(file)
        self._pad = padding_of(file.special)
        self._mask = self._pad if tokenizer.mask is None else tokenizer.mask  # without one, no noise that uses it
        self.file, self.context, self.rate, self.noise = file, context, rate, noise
        self.permute, self.rotate = permute, rotate
        self._ends, self._is_special = sentence_ends(tokenizer) if permute else None, special_of(tokenizer)
        self._texts = Texts(file, context - 1, 1, self._ends)
        self._lengths = np.cumsum(poisson_shares(poisson))

    def __len__(self) -> int:
        return len(self._texts)

    def too_short(self, batch: int) -> DataError:
        return self._texts.too_short(batch)

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Tokens of each original and its end; the source is about as long, or shorter."""
        return (self._texts.place(np.asarray(indices, np.int64))[1] + 1,)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        keys = sample_keys(indices, epoch, seed)
        begin, length = self._texts.place(np.asarray(indices, np.int64))
        width = self._width(length + 1)
        target = self._texts.read(begin, length, width, self._pad)
        ids = target.copy()
        target[np.arange(len(keys)), length] = self._eos
        if self._ends is not None:
            ids = permuted(ids, length, self._ends[ids], keys ^ np.uint64(_ORDER))
        if self.rotate:
            turn = (hashed(keys ^ np.uint64(_TURN)) % length.astype(np.uint64)).astype(np.int64)
            place = np.arange(width)
            at = np.where(place < length[:, None], (place + turn[:, None]) % length[:, None], place)
            ids = np.take_along_axis(ids, at, 1)
        decoder = np.concatenate([np.full((len(keys), 1), self._bos), target[:, :-1]], 1)
        weights = np.arange(width) <= length[:, None]
        return Batch(
            Tokens(torch.from_numpy(decoder)),
            torch.from_numpy(target),
            torch.from_numpy(weights.astype(np.float32)),
            self._source(ids, length, keys),
        )

    def _source(self, ids: np.ndarray, length: np.ndarray, keys: np.ndarray) -> Tokens:
        inside = np.arange(ids.shape[1]) < length[:, None]
        if self.noise == "infill":
            return self._infilled(ids, length, keys)
        if self.noise is None:
            return self._closed(ids[inside], length, None)
        random = hashed((keys ^ np.uint64(_TOKEN))[:, None] + np.arange(ids.shape[1], dtype=np.uint64))
        hit = inside & (uniform(random) < self.rate) & ~self._is_special[ids]
        if self.noise == "mask":
            return self._closed(np.where(hit, self._mask, ids)[inside], length, None)
        kept = inside & ~hit
        return self._closed(ids[kept], kept.sum(1), None)

    def _infilled(self, ids: np.ndarray, length: np.ndarray, keys: np.ndarray) -> Tokens:
        """`rate` of each row, rounded up as in fairseq's code, goes in spans that do not overlap: each falls into one of the
        gaps between what stays, ends included, each gap alike. No more spans of length 0 than leave the source as long."""
        budget = np.ceil(self.rate * length).astype(np.int64)
        most = np.arange(2 * int(budget.max()) + 8, dtype=np.uint64)  # draws; of a mean of 1 or more they are enough
        sizes = np.searchsorted(self._lengths, uniform(hashed((keys ^ np.uint64(_LENGTH))[:, None] + most)), side="right")
        before = np.cumsum(sizes, 1) - sizes
        used = before < budget[:, None]
        some, none = used & (sizes > 0), used & (sizes == 0)
        used &= some | (np.cumsum(none, 1) <= (budget - some.sum(1))[:, None])
        sizes = np.where(used, np.minimum(sizes, budget[:, None] - before), 0)
        left = length - sizes.sum(1)
        random = hashed((keys ^ np.uint64(_GAP))[:, None] + most)
        gaps = np.where(used, (random % (left + 1).astype(np.uint64)[:, None]).astype(np.int64), length[:, None] + 1)
        by_gap = np.argsort(gaps, axis=1, kind="stable")
        gaps, sizes = np.take_along_axis(gaps, by_gap, 1), np.take_along_axis(sizes, by_gap, 1)
        begins = gaps + np.cumsum(sizes, 1) - sizes
        count = used.sum(1)
        row, span = np.nonzero(np.arange(len(most)) < count[:, None])
        edges = np.zeros((len(ids), ids.shape[1] + 1), np.int64)
        np.add.at(edges, (row, begins[row, span]), 1)
        np.add.at(edges, (row, begins[row, span] + sizes[row, span]), -1)
        kept = (np.cumsum(edges, 1)[:, :-1] == 0) & (np.arange(ids.shape[1]) < length[:, None])
        return self._closed(ids[kept], left + count, (row, gaps[row, span] + span))

    def _closed(self, values: np.ndarray, length: np.ndarray, masks: tuple[np.ndarray, np.ndarray] | None) -> Tokens:
        """Rows of `length` (B,) from `values`, all rows in one, with `<mask>` at the places `masks` and `<eos>` behind."""
        width = self._width(length + 1)
        out = np.full((len(length), width), self._pad, np.int64)
        free = np.arange(width) < length[:, None]
        if masks is not None:
            free[masks] = False
            out[masks] = self._mask
        out[free] = values
        out[np.arange(len(length)), length] = self._eos
        return padded(out, length + 1)


def permuted(ids: np.ndarray, length: np.ndarray, ends: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Rows of ids (B, T) with their sentences in a random order; ends: (B, T), True on a sentence's last token."""
    sentence = np.cumsum(ends, 1) - ends
    order = hashed(keys[:, None] + sentence.astype(np.uint64)) >> np.uint64(1)
    order[np.arange(ids.shape[1]) >= length[:, None]] = np.uint64(1 << 63)
    return np.take_along_axis(ids, np.argsort(order, axis=1, kind="stable"), 1)


def poisson_shares(mean: float) -> np.ndarray:
    """The chances of 0, 1, 2 …, up to where what is left over is lost in rounding."""
    n = np.arange(int(mean + 12 * math.sqrt(mean) + 12))
    logs = n * math.log(mean) - mean - np.array([math.lgamma(i + 1) for i in n])
    shares = np.exp(logs)
    return shares / shares.sum()


def _check(context: int, rate: float, poisson: float, noise: str | None, permute: bool, rotate: bool) -> None:
    if context < 2:
        raise ConfigError("the context must hold a token and its end", expected="at least 2", received=str(context))
    if not 0 < rate < 1:
        raise ConfigError("the share of damaged tokens", expected="between 0 and 1", received=str(rate))
    if not 1 <= poisson <= 100:
        raise ConfigError("the mean length of spans", expected="1 to 100 tokens", received=str(poisson))
    if noise is not None and noise not in NOISES:
        raise ConfigError("no such noise", expected=" | ".join((*NOISES, "None")), received=repr(noise))
    if noise is None and not (permute or rotate):
        raise ConfigError(
            "nothing is damaged, so there is nothing to learn", expected="a noise, permute or rotate", received="none of them"
        )
