"""Span corruption, against T5's published constants and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Corrupted, Loader
from polyhead.data.objectives.corrupted import fitted, longest_context, plan, segments
from polyhead.errors import ConfigError, DataError
from tests.data.conftest import SPECIAL
from tests.data.corpora import documents, encoded, specials, trained

BOS, EOS = 1, 2


@pytest.fixture
def with_sentinels(tokenizer):
    """100 sentinels, from id 300 on."""
    tokenizer.sentinels, tokenizer.special, tokenizer.vocab_size = tuple(range(300, 400)), frozenset((*range(7), *range(300, 400))), 1000
    return tokenizer


def restored(source: list[int], target: list[int]) -> list[int]:
    """The text that a source and a target together spell."""
    assert source[-1] == target[-1] == EOS and EOS not in source[:-1] and EOS not in target[:-1]
    spans: dict[int, list[int]] = {}
    for i in target[:-1]:
        if 300 <= i < 400:
            assert i == 300 + len(spans)  # in order, each once
            spans[i] = []
        else:
            spans[max(spans)].append(i)
    assert all(spans.values()) and [i for i in source if 300 <= i < 400] == list(spans)
    return [j for i in source[:-1] for j in spans.get(i, [i])]


def test_the_numbers_are_t5s() -> None:
    """random_spans_helper(512, 0.15, 3): 568 tokens, targets of 114; at 0.5 both sides are equal."""
    best = fitted(512, 0.15, 3.0)
    assert (best.tokens, best.source, best.target, best.noise, best.spans) == (568, 512, 114, 85, 28)
    assert [plan(n, 0.15, 3.0)[1:] for n in (2, 4, 10, 25, 40)] == [(1, 1), (1, 1), (2, 1), (4, 1), (6, 2)]  # rounded to even
    half = fitted(512, 0.5, 3.0)
    assert half.source == half.target == 512
    for context in range(3, 300):
        for rate, mean in ((0.15, 3.0), (0.5, 3.0), (0.15, 32.0), (0.3, 1.0), (0.8, 4.0)):
            best = fitted(context, rate, mean)
            assert max(best.source, best.target) <= context
            longer = plan(best.tokens + 1, rate, mean)
            assert max(longer.source, longer.target) > context
            assert rate >= 0.5 or best.source == context  # exactly, no padding; above, the target is the longer one


def test_random_segments_are_every_cut_alike() -> None:
    """6 in 3 parts: 10 cuts, each with the chance 1 / 10 within three standard errors."""
    lengths = segments(6, 3, np.arange(20_000, dtype=np.uint64) << np.uint64(8))
    assert (lengths.sum(1) == 6).all() and lengths.min() == 1
    _, counts = np.unique(lengths, axis=0, return_counts=True)
    assert len(counts) == 10 and (abs(counts / 20_000 - 0.1) < 3 * np.sqrt(0.09 / 20_000)).all()
    assert segments(4, 4, np.arange(3, dtype=np.uint64)).tolist() == [[1] * 4] * 3
    assert segments(4, 1, np.arange(3, dtype=np.uint64)).tolist() == [[4]] * 3 and segments(1, 1, np.zeros(1, np.uint64)).tolist() == [[1]]


def test_source_and_target_spell_the_window(corpus_of, with_sentinels) -> None:
    ids = list(range(400, 900))
    data = Corrupted(corpus_of([ids]), 32, with_sentinels)
    p = data.plan
    batch = data.make(np.arange(len(data)), 0, 0)
    assert batch.source.ids.shape == (len(data), 32) and batch.targets.shape == (len(data), p.target)
    for row in range(len(data)):
        text = restored(batch.source.ids[row].tolist(), batch.targets[row].tolist())
        assert text == list(range(text[0], text[0] + p.tokens))
    assert torch.equal(batch.inputs.ids[:, 1:], batch.targets[:, :-1]) and bool((batch.inputs.ids[:, 0] == BOS).all())
    assert bool((batch.weights == 1).all()) and batch.source.pos is None and batch.inputs.pos is None


def test_a_batch_by_hand(corpus_of, with_sentinels) -> None:
    """Eight tokens, half of them taken out in spans of mean 2: 4 + 2 sentinels + <eos> on both sides."""
    data = Corrupted(corpus_of([range(400, 408)]), 7, with_sentinels, rate=0.5, mean_span=2.0)
    assert data.plan == (8, 4, 2) and (data.plan.source, data.plan.target) == (7, 7)
    seen = set()
    for epoch in range(80):
        batch = data.make(np.array([0]), epoch, 0)
        source, target = batch.source.ids[0].tolist(), batch.targets[0].tolist()
        assert restored(source, target) == list(range(400, 408))
        assert source[0] == 400 and source[-2] == 301  # it begins with text and ends with a span
        seen.add(tuple(source))
    assert len(seen) == 3 * 3  # four tokens stay in two parts, four go in two parts


def test_rates_and_lengths_over_a_corpus(corpus_of, with_sentinels) -> None:
    data = Corrupted(corpus_of([np.random.default_rng(0).integers(400, 900, 40_000).tolist()]), 512, with_sentinels)
    batch = data.make(np.arange(len(data)), 0, 0)
    is_sentinel = (batch.targets >= 300) & (batch.targets < 400)
    taken = (~is_sentinel).sum(1) - 1
    assert bool((taken == 85).all()) and bool((is_sentinel.sum(1) == 28).all())  # 15.0 % of 568 in spans of mean 3.04


def test_texts_are_joined_without_their_ends(corpus_of, with_sentinels) -> None:
    ids = [list(range(400 + 50 * d, 400 + 50 * d + n)) + [EOS] * (d != 3) for d, n in enumerate((50, 50, 50, 50, 0, 50))]
    data = Corrupted(corpus_of(ids), 24, with_sentinels)
    flat = [i for document in ids for i in document if i != EOS]
    for epoch in range(3):
        batch = data.make(np.arange(len(data)), epoch, 0)
        for source, target in zip(batch.source.ids.tolist(), batch.targets.tolist(), strict=True):
            text = restored(source, target)
            at = flat.index(text[0])
            assert text == flat[at : at + len(text)]


def test_evaluation_counts_every_token_once(corpus_of, with_sentinels) -> None:
    ids = list(range(400, 900))
    for n in (500, 63, 30):  # the last is shorter than one window
        data = Corrupted(corpus_of([ids[:n]]), 32, with_sentinels)
        batches = list(data.evaluation(4))
        shown, asked = [], []
        for batch in batches:
            for source, target, weight in zip(batch.source.ids.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True):
                restored(source, target)
                asked += [t for t, w in zip(target, weight, strict=True) if w and t >= 400]
                shown += [t for t in source if t >= 400] if any(weight) else []
        assert len(asked) == len(set(asked)) and set(asked) | set(shown) == set(ids[:n])
        again = list(data.evaluation(4))
        assert all(torch.equal(a.source.ids, b.source.ids) for a, b in zip(batches, again, strict=True))
        split = [b for rank in range(2) for b in data.evaluation(4, rank=rank, world=2)]
        assert sum(float(b.weights.sum()) for b in split) == sum(float(b.weights.sum()) for b in batches)


@pytest.mark.parametrize(("rate", "mean_span"), [(0.15, 3.0), (0.5, 1.0), (0.9, 2.0)])
def test_the_longest_context_is_the_last_that_fits(rate: float, mean_span: float) -> None:
    """By trying all: of the tokens of a corpus, of the sentinels of a tokenizer."""
    windows = {context: fitted(context, rate, mean_span) for context in range(plan(2, rate, mean_span).source, 90) if context >= plan(2, rate, mean_span).target}
    for most in (1, 2, 3, 9, 30):
        tokens = [context for context, window in windows.items() if window.tokens <= most]
        spans = [context for context, window in windows.items() if window.spans <= most]
        assert longest_context(rate, mean_span, tokens=most) == (max(tokens) if tokens else None), most
        if len(spans) < len(windows):  # else it is longer than any that was tried
            assert longest_context(rate, mean_span, spans=most) == (max(spans) if spans else None), most


def test_a_trained_tokenizers_sentinels_are_used(corpus_of) -> None:
    tokenizer = trained("unigram", sentinels=20)
    file = corpus_of(encoded(tokenizer, documents()), tokenizer.vocab_size, specials(tokenizer))
    batch = Corrupted(file, 64, tokenizer).make(np.arange(4), 0, 0)
    assert tokenizer.decode(batch.targets[0].tolist(), skip_special=False).startswith("<extra_id_0>")
    assert "<extra_id_2>" in tokenizer.decode(batch.source.ids[0].tolist(), skip_special=False)


def test_what_cannot_be_corrupted_is_refused(corpus_of, with_sentinels, tokenizer) -> None:
    file = corpus_of([range(400, 900)])
    for bad in (dict(rate=0.0), dict(rate=1.0), dict(mean_span=0.5), dict(mean_span=float("nan"))):
        with pytest.raises(ConfigError):
            Corrupted(file, 64, with_sentinels, **bad)
    with pytest.raises(ConfigError, match="room"):
        Corrupted(file, 2, with_sentinels)
    with pytest.raises(DataError, match="shorter than one context") as caught:
        Loader(Corrupted(file, 512, with_sentinels), batch=1, seed=0)
    assert "500 tokens" in str(caught.value)
    with pytest.raises(DataError, match="shorter than one batch"):
        Loader(Corrupted(file, 64, with_sentinels), batch=64, seed=0)
    with pytest.raises(DataError, match="without <eos>"):
        Corrupted(corpus_of([range(400, 900)], special={k: v for k, v in SPECIAL.items() if k != "eos"}), 64, with_sentinels)
    with pytest.raises(DataError, match="no two tokens"):
        Corrupted(corpus_of([[400, EOS]]), 64, with_sentinels)
    with_sentinels.sentinels = tuple(range(300, 305))
    with pytest.raises(ConfigError, match="28 spans") as caught:
        Corrupted(file, 512, with_sentinels)
    change = str(caught.value.change)
    assert caught.value.received == "5 sentinels" and "training.objective=denoising" in change
    named = int(change.split("a context of ")[1].split(",")[0])
    assert Corrupted(file, named, with_sentinels).plan.spans == 5
    with pytest.raises(ConfigError):
        Corrupted(file, named + 1, with_sentinels)
