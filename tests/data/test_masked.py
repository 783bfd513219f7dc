"""Masked language modelling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Masked
from polyhead.errors import ConfigError, DataError


def big(corpus_of, tokenizer, n: int = 60_000, context: int = 130, **options) -> Masked:
    ids = np.random.default_rng(0).integers(7, 263, n)
    ids[::17] = 2  # <eos>
    ids[5::31] = 3  # <unk>
    return Masked(corpus_of([ids.tolist()], vocab=263), context, tokenizer, **options)


def test_shares_follow_the_paper(corpus_of, tokenizer) -> None:
    data = big(corpus_of, tokenizer)
    batch = data.make(np.arange(len(data)), 0, 0)
    chosen = batch.weights > 0
    ordinary = batch.targets >= 7
    assert chosen[ordinary].float().mean().item() == pytest.approx(0.15, abs=0.005)
    hidden, shown = batch.inputs.ids[chosen], batch.targets[chosen]
    assert (hidden == 4).float().mean().item() == pytest.approx(0.8, abs=0.015)
    other = (hidden != 4) & (hidden != shown)
    assert other.float().mean().item() == pytest.approx(0.1, abs=0.015)
    assert (hidden == shown).float().mean().item() == pytest.approx(0.1, abs=0.015)
    drawn = hidden[other]
    assert drawn.min() >= 7 and len(drawn.unique()) > 200  # any ordinary token, no special one


def test_special_tokens_are_never_chosen_and_the_rest_is_untouched(corpus_of, tokenizer) -> None:
    data = big(corpus_of, tokenizer, rate=0.5)
    batch = data.make(np.arange(len(data)), 1, 3)
    chosen = batch.weights > 0
    assert bool((batch.targets[chosen] >= 7).all())
    assert torch.equal(batch.inputs.ids[~chosen], batch.targets[~chosen])
    assert bool((batch.inputs.ids[:, 0] == 5).all()) and bool((batch.inputs.ids[:, -1] == 6).all())
    assert batch.inputs.ids.shape[1] == 130
    assert batch.inputs.pos is None and not batch.inputs.padded


def test_b10_masks_differ_by_epoch_and_sample_and_by_nothing_else(corpus_of, tokenizer) -> None:
    data = big(corpus_of, tokenizer)
    one = data.make(np.array([3, 9]), 0, 0)
    assert torch.equal(one.weights[1], data.make(np.array([9]), 0, 0).weights[0])
    assert torch.equal(one.inputs.ids[1], data.make(np.array([4, 9, 2]), 0, 0).inputs.ids[1])
    masks = [data.make(np.array([9]), epoch, seed).weights[0] for epoch in range(8) for seed in range(8)]
    assert len({tuple(m.tolist()) for m in masks}) == 64
    rows = data.make(np.arange(len(data)), 0, 0).weights
    assert len({tuple(r.tolist()) for r in rows}) == len(rows)
    mixed = data.make(np.array([9, 9]), np.array([0, 5]), 0)
    assert torch.equal(mixed.weights[1], data.make(np.array([9]), 5, 0).weights[0])


def test_evaluation_offers_every_token_once(corpus_of, tokenizer) -> None:
    """With a rate of nearly 1 almost every ordinary token is chosen: once each, also where windows overlap."""
    ids = list(range(7, 263)) + list(range(7, 130))
    data = Masked(corpus_of([ids], vocab=263), 40, tokenizer, rate=0.999999)
    batches = list(data.evaluation(4))
    assert all(b.inputs.ids.shape == (4, 40) for b in batches)
    counted = torch.cat([b.targets[b.weights > 0] for b in batches]).tolist()
    assert counted == ids
    again = list(data.evaluation(4))
    assert all(torch.equal(a.inputs.ids, b.inputs.ids) for a, b in zip(batches, again, strict=True))
    split = [b for rank in range(2) for b in data.evaluation(4, rank=rank, world=2)]
    assert sum(float(b.weights.sum()) for b in split) == len(ids)


def test_b15_documents_never_meet(corpus_of, tokenizer) -> None:
    documents = [[10 + d] * n for d, n in enumerate([5, 1, 9, 30, 2, 8, 8, 4])]
    data = Masked(corpus_of(documents, vocab=263), 12, tokenizer, documents=True)
    batch = data.make(np.arange(len(data)), 0, 0)
    text, segment, pos = batch.targets[:, 1:-1], batch.inputs.segment, batch.inputs.pos
    inside = segment[:, 1:-1]
    assert torch.equal(text[:, :, None] == text[:, None, :], inside[:, :, None] == inside[:, None, :])
    assert torch.equal(segment[:, 0], segment[:, 1]) and torch.equal(segment[:, -1], segment[:, -2])
    assert bool((pos[:, 0] == 0).all()) and bool((pos[:, 1] == 1).all())
    joined = segment[:, 1:] == segment[:, :-1]
    assert bool((pos[:, 1:] == pos[:, :-1] + 1)[joined].all()) and bool((pos[:, 1:] == 0)[~joined].all())


def test_b12_nothing_chosen_is_weights_of_zero(corpus_of, tokenizer) -> None:
    data = Masked(corpus_of([[2] * 100], vocab=263), 12, tokenizer)
    batch = data.make(np.arange(3), 0, 0)
    assert float(batch.weights.sum()) == 0.0


def test_wrong_settings_say_so(corpus_of, tokenizer) -> None:
    file = corpus_of([range(7, 107)], vocab=263)
    for bad in (dict(rate=0.0), dict(rate=1.0), dict(split=(0.5, 0.5, 0.5)), dict(split=(1.2, -0.2, 0.0))):
        with pytest.raises(ConfigError):
            Masked(file, 12, tokenizer, **bad)
    with pytest.raises(ConfigError, match="room"):
        Masked(file, 2, tokenizer)
    with pytest.raises(DataError, match="another tokenizer"):
        Masked(corpus_of([range(100)], vocab=1000), 12, tokenizer)
    tokenizer.mask = None
    with pytest.raises(ConfigError, match="<mask>"):
        Masked(file, 12, tokenizer)


def test_h85_a_corpus_shorter_than_one_context_says_what_to_change(corpus_of, tokenizer) -> None:
    data = Masked(corpus_of([range(7, 27)], vocab=263), 64, tokenizer)
    assert len(data) == 0 and "20 tokens" in str(data.too_short(1)) and "22" in str(data.too_short(1))
    assert "1 windows" in str(Masked(corpus_of([range(7, 27)], vocab=263), 22, tokenizer).too_short(8))
