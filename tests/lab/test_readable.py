"""The algorithms to be read give what is known, and what the package's own, faster ones give."""

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from polyhead.lab.readable import bpe, unigram
from polyhead.lab.readable.tiled import attend_at_once, attend_tiled
from polyhead.text.unigram import build_lattices, expectation

TOY = {"low": 5, "lower": 2, "newest": 6, "widest": 3}


def texts(n: int, seed: int = 0) -> list[str]:
    """Words put together from stems and endings."""
    draw = random.Random(seed)
    stems = ["".join(draw.choice("bdgklmnprst") + draw.choice("aeiou") for _ in range(2)) for _ in range(12)]
    endings = ["", "ka", "kas", "len", "lenti", "mo", "ru", "rus"]
    return [draw.choice(stems) + draw.choice(endings) for _ in range(n)]


def test_the_ten_merges_of_the_paper():
    """What the code of Sennrich et al.'s algorithm 1 prints; six of the ten are ties."""
    words = {(*word, "</w>"): n for word, n in TOY.items()}
    found = list(itertools.islice(bpe.learn(words), 10))
    assert [pair for pair, _, _ in found] == [
        ("e", "s"), ("es", "t"), ("est", "</w>"), ("l", "o"), ("lo", "w"), ("n", "e"), ("ne", "w"), ("new", "est</w>"),
        ("low", "</w>"), ("w", "i"),
    ]  # fmt: skip
    assert sum(tied > 1 for _, _, tied in found) == 6


def test_merges_and_encoding_are_those_of_the_fast_trainer():
    corpus = texts(400)
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    engine.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=90, show_progress=False))
    vocabulary = engine.get_vocab()
    letters = len(set("".join(corpus)))
    words = {tuple(word): n for word, n in sorted(Counter(corpus).items())}
    merges = [pair for pair, _, _ in itertools.islice(bpe.learn(words, bpe.oldest), 90 - letters)]
    assert ["".join(pair) for pair in merges] == sorted(vocabulary, key=vocabulary.__getitem__)[letters:]
    ranks = {pair: n for n, pair in enumerate(merges)}
    for word in words:
        assert list(bpe.encode(word, ranks)) == engine.encode("".join(word)).tokens


def test_overlapping_pairs_join_from_the_left():
    assert bpe.join(tuple("aaaba"), ("a", "a")) == ("aa", "a", "b", "a")
    words = {tuple("aaaa"): 1, tuple("ab"): 1}
    assert [pair for pair, _, _ in bpe.learn(words)] == [("a", "a"), ("aa", "aa"), ("a", "b")]


def test_a_rule_on_pairs_keeps_to_characters():
    words = {(*word, "</w>"): n for word, n in TOY.items()}
    pairs = [pair for pair, _, _ in bpe.learn(words, may=lambda pair: len(pair[0]) == len(pair[1]) == 1)]
    assert ("e", "s") in pairs and all(len(a + b) == 2 for a, b in pairs)


@pytest.fixture(scope="module")
def fitted() -> dict[str, float]:
    return unigram.train(Counter(texts(400)), 60)


def cuts(word: str, logp: dict[str, float]) -> dict[tuple[str, ...], float]:
    """Every segmentation and its log-probability, by trying all cuts."""
    found = {}
    for places in itertools.product([False, True], repeat=len(word) - 1):
        at = [0, *(i + 1 for i, cut in enumerate(places) if cut), len(word)]
        pieces = tuple(word[a:b] for a, b in itertools.pairwise(at))
        if all(piece in logp for piece in pieces):
            found[pieces] = sum(logp[piece] for piece in pieces)
    return found


def test_sums_and_the_best_segmentation_are_those_of_all_segmentations(fitted):
    for word in sorted(set(texts(30, 1))):
        if not set(word) <= set(fitted):
            continue
        every = cuts(word, fitted)
        assert unigram.forward(word, fitted)[-1] == pytest.approx(math.log(sum(map(math.exp, every.values()))), abs=1e-12)
        pieces, score = unigram.viterbi(word, fitted)
        assert score == pytest.approx(max(every.values()), abs=1e-12) and every[pieces] == pytest.approx(score, abs=1e-12)
        counts: Counter = Counter()
        whole = sum(map(math.exp, every.values()))
        for cut, logp in every.items():
            for piece in cut:
                counts[piece] += math.exp(logp) / whole
        expected, _ = unigram.expected({word: 1}, fitted)
        assert {p: n for p, n in expected.items() if n > 1e-300} == pytest.approx(dict(counts), abs=1e-12)


def test_each_em_step_raises_the_likelihood_and_probabilities_sum_to_one():
    words = Counter(texts(200))
    logp = unigram.maximised(Counter(word[i:j] for word in words for i in range(len(word)) for j in range(i + 1, len(word) + 1)))
    found = []
    for _ in range(5):
        counts, total = unigram.expected(words, logp)
        found.append(total)
        logp = unigram.maximised(counts)
        assert sum(map(math.exp, logp.values())) == pytest.approx(1)
    assert all(b > a for a, b in itertools.pairwise(found))


def test_expected_counts_are_those_of_the_package(fitted):
    words = Counter(texts(200))
    index = {piece: n for n, piece in enumerate(fitted)}
    lattices = build_lattices(list(words), list(map(float, words.values())), index, len(index))
    ours, total = expectation(lattices, np.array([*fitted.values(), -np.inf]))
    counts, loglikelihood = unigram.expected(words, fitted)
    assert loglikelihood == pytest.approx(total)
    assert [counts[piece] for piece in fitted] == pytest.approx(list(ours[:-1]), abs=1e-9)


def test_samples_come_as_often_as_their_probability(fitted):
    word = max(set(texts(50)), key=lambda word: len(cuts(word, fitted)))
    every, draw = cuts(word, fitted), np.random.default_rng(0)
    whole = sum(map(math.exp, every.values()))
    drawn = Counter(unigram.sample(word, fitted, draw) for _ in range(2000))
    assert 0.5 * sum(abs(drawn[cut] / 2000 - math.exp(p) / whole) for cut, p in every.items()) < 0.05


def test_the_vocabulary_has_the_size_asked_for_and_holds_the_stems_of_a_productive_language():
    draw = random.Random(0)
    stems, endings = ["talo", "kisu", "veto", "maja"], ["ssa", "lle", "mme", "kin"]
    words = [draw.choice(stems) + "".join(draw.choices(endings, k=draw.randrange(4))) for _ in range(600)]
    logp = unigram.train(Counter(words), 24)
    assert len(logp) == 24 and set(stems + endings) <= set(logp)
    assert unigram.viterbi("talossakin", logp)[0] == ("talo", "ssa", "kin")


def test_attention_by_tiles_is_exact():
    q, k, v = torch.randn(3, 150, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q = 20 * q  # scores of very different sizes
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(attend_at_once(q, k, v), expected, atol=1e-12)
    assert torch.allclose(attend_tiled(q, k, v, tile=64), expected, atol=1e-12)
