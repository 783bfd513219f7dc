"""Next-token windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.data import Causal
from polyhead.errors import DataError

fixture_ok = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


@pytest.mark.parametrize("documents", [False, True])
def test_targets_are_the_successors(corpus_of, documents) -> None:
    data = Causal(corpus_of([range(100, 160), range(200, 233)]), 8, documents=documents)
    batch = data.make(np.arange(len(data)), 3, 5)
    assert batch.inputs.ids.shape == batch.targets.shape == batch.weights.shape == (len(data), 8)
    assert batch.inputs.ids.dtype == batch.targets.dtype == torch.int64 and batch.weights.dtype == torch.float32
    assert torch.equal(batch.inputs.ids[:, 1:], batch.targets[:, :-1])
    assert batch.inputs.ids.is_contiguous() and batch.targets.is_contiguous()
    assert not batch.inputs.padded


def test_no_positions_where_none_are_needed(corpus_of) -> None:
    batch = Causal(corpus_of([range(99)]), 8).make(np.arange(4), 0, 0)
    assert batch.inputs.pos is None and batch.inputs.segment is None and bool((batch.weights == 1).all())


@fixture_ok
@given(n=st.integers(2, 300), context=st.integers(1, 40), seed=st.integers(0, 99), epoch=st.integers(0, 9))
def test_an_epoch_sees_no_token_twice_and_misses_less_than_two_windows(corpus_of, n, context, seed, epoch) -> None:
    data = Causal(corpus_of([range(n)]), context)
    if n <= context:
        assert len(data) == 0
        return
    targets = data.make(np.arange(len(data)), epoch, seed).targets.flatten().tolist()
    assert len(set(targets)) == len(targets) == len(data) * context
    assert n - 1 - len(targets) < 2 * context
    assert targets == sorted(targets)


def test_windows_move_from_epoch_to_epoch(corpus_of) -> None:
    data = Causal(corpus_of([range(900)]), 32)
    firsts = {int(data.make(np.array([0]), epoch, 0).inputs.ids[0, 0]) for epoch in range(64)}
    assert len(firsts) > 20 and max(firsts) < 32
    mixed = data.make(np.array([3, 3]), np.array([0, 1]), 0).inputs.ids
    assert torch.equal(mixed[0], data.make(np.array([3]), 0, 0).inputs.ids[0])
    assert torch.equal(mixed[1], data.make(np.array([3]), 1, 0).inputs.ids[0])


@fixture_ok
@given(n=st.integers(2, 300), context=st.integers(1, 40), batch=st.integers(1, 7), world=st.integers(1, 3))
def test_evaluation_counts_every_token_once(corpus_of, n, context, batch, world) -> None:
    data = Causal(corpus_of([range(n)]), context)
    counted: list[int] = []
    for rank in range(world):
        for b in data.evaluation(batch, rank=rank, world=world):
            assert b.inputs.ids.shape == (batch, min(context, n - 1))
            assert torch.equal(b.inputs.ids + 1, b.targets)
            counted += b.targets[b.weights > 0].tolist()
    assert sorted(counted) == list(range(1, n))


def test_evaluation_is_in_order(corpus_of) -> None:
    parts = [b.targets[b.weights > 0] for b in Causal(corpus_of([range(205)]), 16).evaluation(3)]
    assert torch.cat(parts).tolist() == list(range(1, 205))


@fixture_ok
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20), context=st.integers(1, 25), epoch=st.integers(0, 5)
)
def test_b15_packed_documents_never_meet(corpus_of, lengths, context, epoch) -> None:
    """Ids carry their document's number, so that a leak shows in the ids themselves."""
    lengths = [2, *lengths]
    data = Causal(corpus_of([[d * 40 + i for i in range(n)] for d, n in enumerate(lengths)]), context, documents=True)
    batches = [data.make(np.arange(len(data)), epoch, 1)] if len(data) else []
    batches += data.evaluation(3)
    for batch in batches:
        ids, segment, pos = batch.inputs.ids, batch.inputs.segment, batch.inputs.pos
        document = ids // 40
        same = document[:, :, None] == document[:, None, :]
        assert torch.equal(same, segment[:, :, None] == segment[:, None, :])
        begins = torch.cat([torch.ones(len(ids), 1, dtype=torch.bool), document[:, 1:] != document[:, :-1]], 1)
        assert bool((pos[begins] == 0).all()) and bool((pos[:, 1:] == pos[:, :-1] + 1)[~begins[:, 1:]].all())
        assert bool((batch.weights[batch.targets // 40 != document] == 0).all())
    weights = sum(float(b.weights.sum()) for b in data.evaluation(3))
    assert weights == sum(n - 1 for n in lengths)


def test_b12_a_batch_without_any_trained_token_can_be_represented(corpus_of) -> None:
    """Documents of one token have no successor of their own: all weights 0, nothing else is special."""
    data = Causal(corpus_of([[i] for i in range(50)]), 8, documents=True)
    batch = data.make(np.arange(4), 0, 0)
    assert float(batch.weights.sum()) == 0.0 and batch.targets.min() >= 0


def test_h85_a_corpus_shorter_than_one_context_says_what_to_change(corpus_of) -> None:
    data = Causal(corpus_of([range(20)]), 64)
    error = data.too_short(1)
    assert len(data) == 0 and isinstance(error, DataError)
    assert "20 tokens" in str(error) and "65" in str(error) and "19" in str(error)
    with pytest.raises(DataError, match="at least 2"):
        Causal(corpus_of([[5]]), 4)


def test_pairs_are_refused(pairs_of) -> None:
    with pytest.raises(DataError, match="holds pairs"):
        Causal(pairs_of([([1], [2])]).file, 4)


def test_h86_a_corpus_cut_while_training_is_an_error_not_a_crash(corpus_of) -> None:
    file = corpus_of([range(900)] * 40)
    data = Causal(file, 16)
    data.make(np.arange(4), 0, 0)
    size = file.path.stat().st_size
    with open(file.path, "r+b") as handle:
        handle.truncate(size // 2)
    with pytest.raises(DataError, match="cut short"):
        data.make(np.arange(4), 0, 0)


def test_h86_a_corpus_deleted_while_training_goes_on(corpus_of) -> None:
    file = corpus_of([range(900)])
    data = Causal(file, 16)
    before = data.make(np.arange(4), 0, 0).inputs.ids
    file.path.unlink()
    assert torch.equal(before, data.make(np.arange(4), 0, 0).inputs.ids)
