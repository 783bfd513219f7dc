"""The loader is a pure function of (seed, step, micro, rank, world)."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.data import Causal, Loader, Masked, Seq2Seq
from polyhead.errors import ConfigError, DataError
from polyhead.nn.tokens import Batch

from ..swift import swift

fixture_ok = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
KINDS = ("causal", "documents", "masked", "seq2seq")


@pytest.fixture
def dataset_of(corpus_of, pairs_of, tokenizer):
    def make(kind: str):
        if kind == "seq2seq":
            rng = np.random.default_rng(0)
            return Seq2Seq(
                pairs_of([([9 + i] * rng.integers(1, 20), [9 + i] * rng.integers(1, 20)) for i in range(61)])
            )
        ids = [[7 + (i * 31 + d) % 250 for i in range(90)] for d in range(11)]
        file = corpus_of(ids, vocab=263)
        return Masked(file, 16, tokenizer) if kind == "masked" else Causal(file, 16, documents=kind == "documents")

    return make


def same(one: Batch, two: Batch) -> bool:
    def flat(batch):
        tokens = [*batch.inputs, *(batch.source or ())]
        return [*tokens, batch.targets, batch.weights]

    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(flat(one), flat(two), strict=True)
    )


def rows(batch: Batch) -> list[tuple]:
    """What each row trains, whatever the width it was padded to."""
    ids = batch.inputs.ids if batch.source is None else batch.source.ids
    keep = (
        torch.ones_like(ids, dtype=torch.bool)
        if batch.source is None or not batch.source.padded
        else batch.source.pos >= 0
    )
    return [
        (tuple(i[k].tolist()), tuple(t[w > 0].tolist()))
        for i, k, t, w in zip(ids, keep, batch.targets, batch.weights, strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_split_into_ranks_and_micros_sees_the_same_samples(dataset_of, kind) -> None:
    data = dataset_of(kind)
    for step in (0, 1, 7, 40):
        whole = sorted(rows(Loader(data, batch=12, seed=3).batch_at(step)))
        assert len(whole) == 12
        for world, micros in ((1, 3), (2, 1), (2, 3), (3, 4), (12, 1), (1, 12)):
            parts = [
                row
                for rank in range(world)
                for micro in range(micros)
                for row in rows(Loader(data, batch=12, seed=3, rank=rank, world=world).batch_at(step, micro, micros))
            ]
            assert sorted(parts) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_b6_resume_at_any_step_equals_the_uninterrupted_run(dataset_of, kind) -> None:
    """Also in the middle of an epoch, and from a fresh object."""
    through = list(Loader(dataset_of(kind), batch=5, seed=1).iterate(0, stop=60))
    for start in (0, 1, 12, 13, 59):
        again = list(Loader(dataset_of(kind), batch=5, seed=1).iterate(start, stop=60))
        assert len(again) == 60 - start
        assert all(same(a[0], b[0]) for a, b in zip(again, through[start:], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_b7_no_generator_is_read_or_moved(dataset_of, kind) -> None:
    loader = Loader(dataset_of(kind), batch=5, seed=1)
    torch.manual_seed(0)
    np.random.seed(0)
    first, state, numpy_state = loader.batch_at(4), torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.manual_seed(1)
    np.random.seed(1)
    assert same(first, loader.batch_at(4))
    torch.manual_seed(0)
    np.random.seed(0)
    assert torch.equal(state, torch.get_rng_state()) and (numpy_state == np.random.get_state()[1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_b10_epochs_seeds_and_ranks_differ(dataset_of, kind) -> None:
    data = dataset_of(kind)
    n = len(data)
    orders = {tuple(data.order(epoch * n, n, seed)[1].tolist()) for epoch in range(5) for seed in range(5)}
    assert len(orders) == 25
    ranks = [rows(Loader(data, batch=12, seed=0, rank=r, world=4).batch_at(2)) for r in range(4)]
    assert len({row for part in ranks for row in part}) >= 11  # a row may repeat by chance of the text, parts may not


@fixture_ok
@given(tokens=st.integers(40, 400), batch=st.integers(1, 9), seed=st.integers(0, 1000))
def test_each_sample_once_per_epoch_and_no_gap_between_epochs(corpus_of, tokens, batch, seed) -> None:
    data = Causal(corpus_of([range(tokens)]), 4)
    n, steps = len(data), 3 * len(data) // batch + 1
    orders = [data.order(step * batch, batch, seed) for step in range(steps)]
    epochs, indices = (np.concatenate(side) for side in zip(*orders, strict=True))
    for epoch in range(3):
        assert sorted(indices[epochs == epoch].tolist()) == list(range(n))


def test_a_batch_across_two_epochs_uses_each_epochs_own_windows(corpus_of) -> None:
    data = Causal(corpus_of([range(130)]), 8)
    loader = Loader(data, batch=len(data) - 1, seed=0)
    batch = loader.batch_at(1)
    epochs, indices = data.order(len(data) - 1, len(data) - 1, 0)
    assert epochs[0] == 0 and set(epochs[1:].tolist()) == {1}
    assert torch.equal(batch.inputs.ids[0], data.make(indices[:1], 0, 0).inputs.ids[0])
    assert torch.equal(batch.inputs.ids[1:], data.make(indices[1:], 1, 0).inputs.ids)
    assert loader.epoch_at(len(data)) == pytest.approx(len(data) - 1)


def test_seeking_far_costs_nothing(dataset_of) -> None:
    loader = Loader(dataset_of("seq2seq"), batch=8, seed=0)
    with swift():
        loader.batch_at(10**15)


def test_h85_a_corpus_shorter_than_one_batch(dataset_of, corpus_of, tokenizer) -> None:
    small = Causal(corpus_of([range(40)]), 16)
    with pytest.raises(DataError, match="shorter than one batch") as caught:
        Loader(small, batch=8, seed=0)
    assert "set the batch to 1" in str(caught.value)
    with pytest.raises(DataError, match="shorter than one context"):
        Loader(Causal(corpus_of([range(10)]), 16), batch=1, seed=0)
    with pytest.raises(DataError, match="shorter than one batch"):
        Loader(dataset_of("seq2seq"), batch=62, seed=0)


def test_a_batch_that_does_not_divide_says_what_would(dataset_of) -> None:
    with pytest.raises(ConfigError, match="set the batch to 14|multiple of 7"):
        Loader(dataset_of("causal"), batch=12, seed=0).batch_at(0, 0, 7)
    with pytest.raises(ConfigError):
        Loader(dataset_of("causal"), batch=12, seed=0, rank=2, world=2)
    with pytest.raises(ConfigError):
        Loader(dataset_of("causal"), batch=0, seed=0)
    with pytest.raises(ConfigError):
        Loader(dataset_of("causal"), batch=12, seed=0).batch_at(-1)


def test_iterate_gives_the_micro_batches_of_each_step(dataset_of) -> None:
    loader = Loader(dataset_of("masked"), batch=12, seed=0)
    for step, micros in enumerate(loader.iterate(5, 3, stop=9), 5):
        assert len(micros) == 3
        assert all(same(batch, loader.batch_at(step, m, 3)) for m, batch in enumerate(micros))


def test_iterate_raises_what_the_thread_met_and_leaves_no_thread(dataset_of, monkeypatch) -> None:
    data = dataset_of("causal")
    make = data.make

    def failing(indices, epoch, seed):
        if len(made) >= 3:
            raise DataError("the corpus was cut short while in use")
        made.append(1)
        return make(indices, epoch, seed)

    made: list[int] = []
    monkeypatch.setattr(data, "make", failing)
    seen = 0
    with pytest.raises(DataError, match="cut short"):
        for _ in Loader(data, batch=4, seed=0).iterate():
            seen += 1
    assert seen == 3
    assert not [t for t in threading.enumerate() if t.name == "polyhead-loader"]


def test_leaving_the_iteration_ends_the_thread(dataset_of) -> None:
    steps = Loader(dataset_of("causal"), batch=4, seed=0).iterate()
    next(steps)
    steps.close()
    assert not [t for t in threading.enumerate() if t.name == "polyhead-loader"]
