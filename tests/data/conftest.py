"""A tokenizer of bytes without any dependency, and packed corpora made straight from ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from pathlib import Path

import pytest

from polyhead.data.tokenfile import PairFile, TokenFile, TokenWriter
from polyhead.errors import TokenizerError
from polyhead.text.kinds import BYTE_LETTERS


class ByteTokenizer:
    """The interface of `polyhead.text.Tokenizer`: seven special ids, then 256 bytes."""

    kind, lossless = "bytes", True
    pad, bos, eos, unk, mask, cls, sep = range(7)
    vocab_size = 263
    special = frozenset(range(7))
    sentinels = ()

    fingerprint = "bytes"

    def __iter__(self) -> Iterator[str]:
        return iter(["<pad>", "<bos>", "<eos>", "<unk>", "<mask>", "<cls>", "<sep>", *BYTE_LETTERS])

    def id(self, token: str) -> int:
        return list(self).index(token)

    def wrap(self, ids: Sequence[int], pair: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        return [*ids, *(pair or ())], [0] * len(ids) + [1] * len(pair or ())

    def framed(self) -> ByteTokenizer:
        """<cls> A <sep> B <sep>, unless a test gave it a `wrap` of its own."""
        if "wrap" in self.__dict__:
            return self
        if self.cls is None or self.sep is None:
            raise TokenizerError("there is nothing to put around texts", expected="<cls> and <sep>")
        other = copy(self)
        other.wrap = lambda ids, pair=(): ([5, *ids, 6, *pair, 6], [0] * (2 + len(ids)) + [1] * (1 + len(pair)))
        return other

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        return [7 + b for b in text.encode()]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        return bytes(int(i) - 7 for i in ids if i >= 7).decode()


SPECIAL = dict(pad=0, bos=1, eos=2, unk=3, mask=4, cls=5, sep=6)


@pytest.fixture
def tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


@pytest.fixture
def corpus_of(tmp_path: Path) -> Callable[..., TokenFile]:
    """corpus_of([[ids of a document], …], vocab=…) -> TokenFile"""
    made = iter(range(10**6))

    def make(documents: Sequence[Sequence[int]], vocab: int = 1000, special: dict | None = None) -> TokenFile:
        path = tmp_path / f"corpus{next(made)}.tokens"
        with TokenWriter(path, vocab) as writer:
            for ids in documents:
                writer.add(list(ids))
                writer.close_document()
            writer.finish(kind="text", special=SPECIAL if special is None else special, fingerprint="", notes=[])
        return TokenFile(path)

    return make


@pytest.fixture
def pairs_of(tmp_path: Path) -> Callable[..., PairFile]:
    """pairs_of([(source ids, target ids), …]) -> PairFile"""
    made = iter(range(10**6))

    def make(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], special: dict | None = None) -> PairFile:
        path = tmp_path / f"pairs{next(made)}.tokens"
        with TokenWriter(path, 1000) as writer:
            for ids in (side for pair in pairs for side in pair):
                writer.add(list(ids))
                writer.close_document(keep_empty=True)
            writer.finish(kind="pairs", special=SPECIAL if special is None else special, fingerprint="", notes=[])
        return PairFile(path)

    return make
