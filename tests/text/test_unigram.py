"""The Unigram trainer against enumeration of every cut."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from polyhead.text import Tokenizer
from polyhead.text.unigram import _weakest, best_without, build_lattices, expectation, maximise, seeds, train_unigram

WORDS = {"▁lamp": 5, "▁lamps": 3, "▁lit": 4, "it": 2, "aaaa": 3, "▁": 1, "▁lampit": 2}


def cuts(word: str, pieces: dict[str, float]) -> Iterator[list[str]]:
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        if word[:end] in pieces:
            yield from ([word[:end], *rest] for rest in cuts(word[end:], pieces))


def setup() -> tuple[dict[str, int], np.ndarray, list]:
    pieces = seeds(WORDS, 50)
    index = {piece: number for number, piece in enumerate(pieces)}
    logp = maximise(np.array([*pieces.values(), 0.0]), np.array([True] * len(pieces) + [False]))
    return index, logp, build_lattices(list(WORDS), list(WORDS.values()), index, len(index))


def test_expected_counts_and_likelihood_equal_enumeration() -> None:
    index, logp, lattices = setup()
    table = {piece: float(logp[number]) for piece, number in index.items()}
    counts, total = expectation(lattices, logp)
    expected, likelihood = dict.fromkeys(index, 0.0), 0.0
    for word, times in WORDS.items():
        ways = [(cut, math.exp(sum(table[piece] for piece in cut))) for cut in cuts(word, table)]
        mass = sum(weight for _, weight in ways)
        likelihood += times * math.log(mass)
        for cut, weight in ways:
            for piece in cut:
                expected[piece] += times * weight / mass
    assert total == pytest.approx(likelihood, rel=1e-12)
    assert counts[:-1] == pytest.approx(np.array([expected[piece] for piece in index]), abs=1e-10)


def test_the_best_cut_into_smaller_pieces_equals_enumeration() -> None:
    index, logp, _ = setup()
    table = {piece: float(logp[number]) for piece, number in index.items()}
    longer = sorted((piece for piece in index if len(piece) > 1), key=len)
    found = best_without(build_lattices(longer, [0.0] * len(longer), index, len(index)), logp)
    for piece, score in zip(longer, found, strict=True):
        assert score == pytest.approx(max(sum(map(table.__getitem__, c)) for c in cuts(piece, table) if len(c) > 1))


def test_em_never_lowers_the_likelihood() -> None:
    _, logp, lattices = setup()
    alive, last = np.isfinite(logp), -math.inf
    for _ in range(12):
        counts, total = expectation(lattices, logp)
        assert total >= last - 1e-9
        last, logp = total, maximise(counts, alive)


def test_only_the_weakest_go_and_never_below_the_size() -> None:
    counts, alive = np.array([0.4, 9.0, 0.1, 0.2, 0.3, 0.0]), np.array([True] * 5 + [False])
    assert _weakest(counts, alive, 1).tolist() == [True, False, True, True, True, False]
    assert _weakest(counts, alive, 3).tolist() == [False, False, True, True, False, False]
    assert not _weakest(counts, alive, 5).any() and not _weakest(counts, alive, 9).any()


@pytest.mark.parametrize("size", [8, 10, 14, 20])
def test_the_size_is_exact_and_single_characters_stay(size: int) -> None:
    letters = set("".join(WORDS))
    pieces = train_unigram(WORDS, size)
    assert len(pieces) == max(size, len(letters)) and letters <= {piece for piece, _ in pieces}
    scores = [score for _, score in pieces]
    assert scores == sorted(scores, reverse=True)
    assert sum(map(math.exp, scores)) == pytest.approx(1.0)


def test_the_engine_finds_the_most_probable_cut(trained: dict[str, Tokenizer], tmp_path) -> None:
    import json

    tokenizer = trained["unigram"]
    vocab = json.loads(tokenizer.save(tmp_path).read_text(encoding="utf-8"))["model"]["vocab"]
    table = {piece: score for piece, score in vocab if piece[:1] != "<"}
    for word in ("harbour", "lamplight", "evening"):
        chosen = [tokenizer.token(number) for number in tokenizer.encode(word)]
        best = max(sum(map(table.__getitem__, cut)) for cut in cuts("▁" + word, table))
        assert sum(map(table.__getitem__, chosen)) == pytest.approx(best)
