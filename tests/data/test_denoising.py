"""BART's noises, against the paper's numbers and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Denoising, Loader
from polyhead.data.objectives.denoising import permuted, poisson_shares
from polyhead.errors import ConfigError, DataError
from tests.data.conftest import SPECIAL
from tests.data.corpora import documents, encoded, near, specials, trained

BOS, EOS, MASK, PAD = 1, 2, 4, 0


@pytest.fixture
def wide(tokenizer):
    tokenizer.vocab_size = 30_000
    return tokenizer


@pytest.fixture
def counting(corpus_of, wide):
    """Documents of distinct ids from 1000 on: a missing one shows where it was."""

    def make(*lengths: int, context: int = 10_000, **options) -> Denoising:
        at = np.cumsum([1000, *lengths])
        ids = [[*range(a, b), EOS] for a, b in zip(at[:-1], at[1:], strict=True)]
        return Denoising(corpus_of(ids, vocab=30_000), context, wide, **{"permute": False, **options})

    return make


def sources(batch) -> list[list[int]]:
    pos = batch.source.pos if batch.source.padded else torch.zeros_like(batch.source.ids)
    rows = [ids[p >= 0].tolist() for ids, p in zip(batch.source.ids, pos, strict=True)]
    assert all(row[-1] == EOS and row.count(EOS) == 1 for row in rows)
    return [row[:-1] for row in rows]


def originals(batch) -> list[list[int]]:
    rows = [t[w > 0].tolist() for t, w in zip(batch.targets, batch.weights, strict=True)]
    assert all(row[-1] == EOS for row in rows)
    assert torch.equal(batch.inputs.ids[:, 1:], batch.targets[:, :-1]) and bool((batch.inputs.ids[:, 0] == BOS).all())
    return [row[:-1] for row in rows]


def test_poisson_shares() -> None:
    shares = poisson_shares(3.0)
    assert shares.sum() == pytest.approx(1) and (shares * np.arange(len(shares))).sum() == pytest.approx(3)
    assert shares[:4] == pytest.approx([0.0498, 0.1494, 0.2240, 0.2240], abs=1e-4)


def test_infilling_takes_thirty_percent_in_spans_of_poisson_3(counting) -> None:
    """A document of 9,000: exactly 30 % are gone, and the spans between what stays follow Poisson(3)."""
    data = counting(9000, 9000)
    lengths: list[int] = []
    for epoch in range(20):
        batch = data.make(np.arange(2), epoch, 0)
        for source, text in zip(sources(batch), originals(batch), strict=True):
            kept = [i for i in source if i != MASK]
            assert len(text) - len(kept) == 2700 and kept == sorted(kept)
            previous, masks = text[0] - 1, 0
            for i in [*source, text[-1] + 1]:
                if i == MASK:
                    masks += 1
                    continue
                assert masks or i == previous + 1  # nothing goes missing without a <mask>
                lengths += [i - previous - 1] * (masks == 1)
                previous, masks = i, 0
    counts = np.bincount(lengths, minlength=12)
    shares = poisson_shares(3.0)
    assert all(near(counts[i], len(lengths), shares[i]) for i in range(8))
    assert abs(np.mean(lengths) - 3) < 3 * np.sqrt(3 / len(lengths))


def test_short_texts_never_get_longer(counting) -> None:
    for n in (1, 2, 3, 5, 9):
        data = counting(n, n)
        for epoch in range(200):
            batch = data.make(np.array([0]), epoch, 0)
            (source,), (text,) = sources(batch), originals(batch)
            gone = n - sum(i != MASK for i in source)
            assert gone == int(np.ceil(0.3 * n)) and 1 <= source.count(MASK) <= gone and len(source) <= len(text) == n


def test_spans_fall_everywhere_alike(counting) -> None:
    data = counting(20, 20)
    gone = np.zeros(20)
    for epoch in range(1500):
        (source,) = sources(data.make(np.array([0]), epoch, 0))
        gone[[i - 1000 for i in set(range(1000, 1020)) - set(source)]] += 1
    assert gone.sum() == 1500 * 6
    assert gone[5:15].std() / gone.mean() < 0.1 and gone[[0, -1]].min() > 150  # a span of 3 covers an end in one place of three


def test_masking_and_deletion(counting) -> None:
    hit = total = 0
    for noise in ("mask", "delete"):
        data = counting(9000, 9000, noise=noise)
        batch = data.make(np.arange(2), 0, 0)
        for source, text in zip(sources(batch), originals(batch), strict=True):
            if noise == "mask":
                assert all(s in (t, MASK) for s, t in zip(source, text, strict=True))
                hit += source.count(MASK)
            else:
                assert source == sorted(source) and set(source) < set(text)
                hit += len(text) - len(source)
            total += len(text)
    assert near(hit, total, 0.3)


def test_rotation_begins_at_any_token(counting) -> None:
    data = counting(12, 12, noise=None, rotate=True)
    first = []
    for epoch in range(600):
        (source,) = sources(data.make(np.array([0]), epoch, 0))
        at = source[0] - 1000
        assert source == [*range(1000 + at, 1012), *range(1000, 1000 + at)]
        first.append(at)
    counts = np.bincount(first, minlength=12)
    assert len(counts) == 12 and all(near(n, 600, 1 / 12) for n in counts)


def test_permutation_by_hand() -> None:
    """Three sentences, the last without an end: every order alike, each sentence whole, padding where it was."""
    ids = np.tile(np.array([[1, 2, 9, 3, 9, 4, 5, 0, 0]]), (6000, 1))
    keys = np.arange(6000, dtype=np.uint64) << np.uint64(20)
    out = permuted(ids, np.full(6000, 7), ids == 9, keys)
    rows, counts = np.unique(out, axis=0, return_counts=True)
    a, b, c = [1, 2, 9], [3, 9], [4, 5]
    assert sorted(rows.tolist()) == sorted([*x, *y, *z, 0, 0] for x, y, z in
                                           ((a, b, c), (a, c, b), (b, a, c), (b, c, a), (c, a, b), (c, b, a)))  # fmt: skip
    assert all(near(n, 6000, 1 / 6) for n in counts)


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "sentencepiece"])
def test_sentences_are_permuted_in_real_text(corpus_of, kind) -> None:
    tokenizer = trained(kind)
    file = corpus_of(encoded(tokenizer, documents()), tokenizer.vocab_size, specials(tokenizer))
    batch = Denoising(file, 10_000, tokenizer, noise=None).make(np.arange(30), 0, 0)
    moved = 0
    for text, row in zip(documents(), batch.source.ids.tolist(), strict=True):
        got = tokenizer.decode(row)
        assert sorted(s.strip() for s in got.split(".")) == sorted(s.strip() for s in text.split("."))
        moved += got.strip() != text
    assert moved == 30


def test_texts_are_documents_cut_evenly(counting) -> None:
    data = counting(25, 3, 10, context=11, noise="mask", rate=1e-9)
    assert [len(t) for t in originals(data.make(np.arange(len(data)), 0, 0))] == [8, 8, 9, 3, 10]
    assert sum(originals(data.make(np.arange(len(data)), 0, 0)), []) == list(range(1000, 1038))


def test_evaluation_asks_for_every_token_once(counting) -> None:
    data = counting(25, 3, 10, context=11, permute=True)
    batches = list(data.evaluation(2))
    assert sum((text for b in batches for text in originals(b)), []) == list(range(1000, 1038))
    assert all(torch.equal(a.source.ids, b.source.ids) for a, b in zip(batches, data.evaluation(2), strict=True))
    ranks = [t for r in range(2) for b in data.evaluation(2, rank=r, world=2) for t in originals(b)]
    assert sorted(sum(ranks, [])) == list(range(1000, 1038))


def test_special_tokens_are_neither_masked_nor_deleted(corpus_of, tokenizer) -> None:
    file = corpus_of([[3, 50] * 500], vocab=263)
    for noise in ("mask", "delete"):
        (source,) = sources(Denoising(file, 1001, tokenizer, noise=noise, permute=False).make(np.array([0]), 0, 0))
        assert source.count(3) == 500 and source.count(50) < 450


def test_samples_depend_on_nothing_else(counting) -> None:
    data = counting(*[9] * 40, permute=True)
    one, more = data.make(np.array([7]), 3, 1), data.make(np.array([2, 7]), np.array([0, 3]), 1)
    assert sources(one)[0] == sources(more)[1]
    assert len({tuple(sources(data.make(np.array([7]), epoch, seed))[0]) for epoch in range(5) for seed in range(5)}) > 15


def test_what_cannot_be_denoised_is_refused(counting, corpus_of, tokenizer) -> None:
    for bad in (dict(rate=0.0), dict(rate=1.0), dict(poisson=0.5), dict(poisson=1e9), dict(noise="swap"), dict(context=1)):
        with pytest.raises(ConfigError):
            counting(50, **bad)
    with pytest.raises(ConfigError, match="nothing is damaged"):
        counting(50, noise=None)
    with pytest.raises(DataError, match="shorter than one batch: 5 texts"):
        Loader(counting(50, context=11), batch=6, seed=0)
    with pytest.raises(DataError, match="without <eos>"):
        Denoising(corpus_of([[50]], 30_000, {k: v for k, v in SPECIAL.items() if k != "eos"}), 9, tokenizer)
    tokenizer.mask = None
    with pytest.raises(ConfigError, match="<mask>"):
        Denoising(corpus_of([[50]], 30_000), 9, tokenizer)
