"""Texts for objectives: sentences of made-up words, and real tokenizers trained on them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np

from polyhead.text import SmallCorpusWarning, Tokenizer

KINDS = ("wordpiece", "byte_bpe", "bpe", "unigram", "sentencepiece")


@cache
def words() -> list[str]:
    rng = np.random.default_rng(5)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    return ["".join(rng.choice(letters, rng.integers(1, 11))) for _ in range(400)]


def sentence(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(words(), rng.integers(3, 12))) + "."


@cache
def documents(n: int = 30, sentences: int = 40, seed: int = 0) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(sentence(rng) for _ in range(sentences)) for _ in range(n))


@cache
def trained(kind: str, sentinels: int = 0) -> Tokenizer:
    """About one and a half tokens to a word."""
    size = {"sentencepiece": 600, "unigram": 300, "wordpiece": 395}.get(kind, 420) + sentinels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallCorpusWarning)
        return Tokenizer.train(documents(), kind, size, sentinels=sentinels)


def encoded(tokenizer: Tokenizer, texts: Sequence[str], eos: bool = True) -> list[list[int]]:
    return [ids + [tokenizer.eos] * eos for ids in tokenizer.encode_batch(list(texts))]


def specials(tokenizer: Tokenizer) -> dict[str, int]:
    roles = ("pad", "bos", "eos", "unk", "mask", "cls", "sep")
    return {role: value for role in roles if (value := getattr(tokenizer, role)) is not None}


def near(count: float, n: float, share: float, errors: float = 3.0) -> bool:
    """Is count / n within three standard errors of `share`, for n independent draws?"""
    return abs(count / n - share) <= errors * np.sqrt(share * (1 - share) / n)
