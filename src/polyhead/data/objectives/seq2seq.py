"""Source to target: the encoder reads one text, the decoder is asked for another (Sutskever et al. 2014)."""

from __future__ import annotations

import numpy as np
import torch

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from ..tokenfile import PairFile
from .pooled import Pooled, padded


class Seq2Seq(Pooled):
    """Pairs: source ids + `<eos>` for the encoder; `<bos>` + target for the decoder, asked for target + `<eos>`.

    source_limit, target_limit: tokens, the special ones included. over: what happens to a longer pair: "truncate"
    (the source keeps its `<eos>`; a cut target gets none, so that nothing teaches to stop there) or "drop"; `over_long`
    counts them, `notes` says what was done. multiple: lengths are padded up to a multiple of it.
    Which place is padding follows from the lengths, never from an id: pad may equal eos. Sources carry pos = −1 there;
    targets are padded on the right, where a causal decoder needs no mask, with weight 0.
    Batches hold pairs of about one length: `pool` batches are sorted together and taken in a random order.
    """

    def __init__(
        self,
        pairs: PairFile,
        source_limit: int = 512,
        target_limit: int = 512,
        *,
        over: str = "truncate",
        multiple: int = 1,
        pool: int = 64,
    ) -> None:
        super().__init__(multiple, pool)
        _check(pairs, source_limit, target_limit, over)
        self.pairs, self.source_limit, self.target_limit = pairs, source_limit, target_limit
        special = pairs.file.special
        self._eos = special["eos"]
        self._bos = special.get("bos", special.get("pad", self._eos))
        self._pad = special.get("pad", self._eos)
        self._kept: np.ndarray | None = None
        self.notes: list[str] = []
        self._limit(over)

    def _limit(self, over: str) -> None:
        (a, b), (c, d) = self.pairs.sources, self.pairs.targets
        long = (b - a >= self.source_limit) | (d - c >= self.target_limit)
        self.over_long = int(long.sum())
        if self.over_long:
            what = "dropped" if over == "drop" else "truncated"
            limits = f"{self.source_limit} source or {self.target_limit} target tokens"
            self.notes.append(f"{self.over_long} of {len(self.pairs)} pairs are longer than {limits}: {what}")
            if over == "drop":
                self._kept = np.flatnonzero(~long)

    def __len__(self) -> int:
        return len(self.pairs) if self._kept is None else len(self._kept)

    def too_short(self, batch: int) -> DataError:
        dropped = f" ({self.over_long} were dropped as too long)" if self._kept is not None else ""
        change = f"set the batch to {len(self)} or less, or add pairs" if len(self) else "raise the limits"
        return DataError(
            f"the corpus is shorter than one batch: {len(self)} pairs{dropped}",
            expected=f"at least {batch} pairs",
            received=f"{len(self)} pairs",
            change=change,
        )

    def lengths(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Source and target lengths in tokens as a batch will hold them, `<eos>` and limits applied."""
        pair = indices if self._kept is None else self._kept[indices]
        (a, b), (c, d) = self.pairs.sources, self.pairs.targets
        source = np.minimum(b[pair] - a[pair] + 1, self.source_limit)
        return source, np.minimum(d[pair] - c[pair] + 1, self.target_limit)

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        """Epoch and seed change the order alone, not the samples."""
        self.pairs.file.check()
        indices = np.asarray(indices, np.int64)
        pair = indices if self._kept is None else self._kept[indices]
        source_length, target_length = self.lengths(indices)
        (a, b), (c, d) = self.pairs.sources, self.pairs.targets
        source = self._ragged(a[pair], np.minimum(b[pair] - a[pair], self.source_limit - 1), self._width(source_length))
        source[np.arange(len(pair)), source_length - 1] = self._eos
        body = np.minimum(d[pair] - c[pair], self.target_limit)
        target = self._ragged(c[pair], body, self._width(target_length))
        whole = np.flatnonzero(body < target_length)
        target[whole, body[whole]] = self._eos
        decoder = np.empty_like(target)
        decoder[:, 0], decoder[:, 1:] = self._bos, target[:, :-1]
        weights = np.arange(target.shape[1]) < target_length[:, None]
        return Batch(
            Tokens(torch.from_numpy(decoder)),
            torch.from_numpy(target),
            torch.from_numpy(weights.astype(np.float32)),
            padded(source, source_length),
        )

    def _ragged(self, begin: np.ndarray, length: np.ndarray, width: int) -> np.ndarray:
        """(B, width) ids: `length` tokens from `begin` in each row, then padding."""
        tokens = self.pairs.file.tokens
        offset = np.arange(width)
        inside = offset < length[:, None]
        at = np.where(inside, begin[:, None] + offset, 0)
        return np.where(inside, tokens[at].astype(np.int64), self._pad)


def _check(pairs: PairFile, source_limit: int, target_limit: int, over: str) -> None:
    if "eos" not in pairs.file.special:
        raise DataError(
            f"{pairs.file.path} was packed with a tokenizer without <eos>: a decoder could never stop",
            expected="a tokenizer with <bos> and <eos>",
            change="train the tokenizer with its default special tokens",
        )
    if source_limit < 2 or target_limit < 2:
        raise ConfigError(
            "the limits must leave room for a token and its end",
            expected="at least 2",
            received=f"{source_limit} and {target_limit}",
        )
    if over not in ("truncate", "drop"):
        raise ConfigError("over-long pairs", expected='"truncate" or "drop"', received=repr(over))
