"""Pairs for encoder–decoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.data import Loader, Seq2Seq
from polyhead.errors import ConfigError, DataError

EOS, BOS = 2, 1


def random_pairs(n: int, longest: int = 40, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Every id of pair i names its place, so that a mix-up shows."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, n)
    return [
        ([7 + i % 900] * int(a), [8 + i % 900] * int(max(1, a + rng.integers(-2, 3)))) for i, a in enumerate(lengths)
    ]


def test_shapes_and_ends(pairs_of) -> None:
    data = Seq2Seq(pairs_of([([10, 11, 12], [20, 21]), ([13], [22, 23, 24])]))
    batch = data.make(np.arange(2), 0, 0)
    assert batch.source.ids.tolist() == [[10, 11, 12, EOS], [13, EOS, 0, 0]]
    assert batch.source.pos.tolist() == [[0, 1, 2, 3], [0, 1, -1, -1]] and batch.source.padded
    assert batch.inputs.ids.tolist() == [[BOS, 20, 21, EOS], [BOS, 22, 23, 24]]
    assert batch.targets.tolist() == [[20, 21, EOS, 0], [22, 23, 24, EOS]]
    assert batch.weights.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.inputs.pos is None and not batch.inputs.padded


def test_no_padding_no_mask(pairs_of) -> None:
    batch = Seq2Seq(pairs_of([([10, 11], [20]), ([13, 14], [22, 23])])).make(np.arange(2), 0, 0)
    assert batch.source.pos is None and not batch.source.padded


def test_b14_pad_equal_to_eos_still_teaches_to_stop(pairs_of) -> None:
    """The end of each target carries weight; padding does not, though both have one id."""
    pairs = [([10, 11, 12], [20, 21]), ([13], [22, 23, 24, 25])]
    data = Seq2Seq(pairs_of(pairs, special=dict(bos=1, eos=2, pad=2)))
    batch = data.make(np.arange(2), 0, 0)
    assert batch.targets[0].tolist() == [20, 21, 2, 2, 2] and batch.weights[0].tolist() == [1, 1, 1, 0, 0]
    assert batch.source.ids[1].tolist() == [13, 2, 2, 2] and batch.source.pos[1].tolist() == [0, 1, -1, -1]
    trained_ends = ((batch.targets == 2) & (batch.weights > 0)).sum(1)
    assert trained_ends.tolist() == [1, 1]


def test_over_long_pairs_are_truncated_or_dropped_and_counted(pairs_of) -> None:
    pairs = pairs_of([([10] * 9, [20] * 3), ([11] * 2, [21] * 2), ([12] * 2, [22] * 8), ([13] * 4, [23] * 4)])
    data = Seq2Seq(pairs, 5, 5)
    assert len(data) == 4 and data.over_long == 2 and "2 of 4 pairs" in data.notes[0] and "truncated" in data.notes[0]
    batch = data.make(np.arange(4), 0, 0)
    assert batch.source.ids[0].tolist() == [10, 10, 10, 10, EOS]
    assert batch.targets[2].tolist() == [22] * 5 and batch.weights[2].tolist() == [1] * 5  # no end where there is none
    assert batch.targets[3].tolist() == [23] * 4 + [EOS] and batch.inputs.ids[3].tolist() == [BOS] + [23] * 4
    kept = Seq2Seq(pairs, 5, 5, over="drop")
    assert len(kept) == 2 and kept.over_long == 2 and "dropped" in kept.notes[0]
    assert kept.make(np.arange(2), 0, 0).source.ids[:, 0].tolist() == [11, 13]
    assert not Seq2Seq(pairs, 50, 50).notes


def test_lengths_padded_to_a_multiple(pairs_of) -> None:
    data = Seq2Seq(pairs_of(random_pairs(40)), multiple=8)
    batch = data.make(np.arange(5), 0, 0)
    assert batch.source.ids.shape[1] % 8 == 0 and batch.targets.shape[1] % 8 == 0


fixture_ok = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


@fixture_ok
@given(n=st.integers(1, 150), batch=st.integers(1, 20), pool=st.integers(1, 6), seed=st.integers(0, 50))
def test_every_pair_once_per_epoch_whatever_the_buckets(pairs_of, n, batch, pool, seed) -> None:
    if n < batch:
        return
    data = Seq2Seq(pairs_of(random_pairs(n)), pool=pool)
    steps = 3 * n // batch + 1
    parts = [data.order(step * batch, batch, seed) for step in range(steps)]
    epochs, indices = (np.concatenate(side) for side in zip(*parts, strict=True))
    for epoch in range(3):
        assert sorted(indices[epochs == epoch].tolist()) == list(range(n))


def test_seek_equals_reading_on(pairs_of) -> None:
    pairs = pairs_of(random_pairs(333))
    through = Seq2Seq(pairs, pool=4)
    orders = [through.order(step * 10, 10, 7)[1].tolist() for step in range(120)]
    assert len({tuple(o) for o in orders}) == 120
    for step in (119, 3, 60, 33, 34, 66):
        assert Seq2Seq(pairs, pool=4).order(step * 10, 10, 7)[1].tolist() == orders[step]


def test_buckets_save_padding(pairs_of) -> None:
    pairs = pairs_of(random_pairs(4000))
    bucketed, plain = Seq2Seq(pairs, pool=64).padded_share(32), Seq2Seq(pairs, pool=1).padded_share(32)
    assert bucketed < 0.08 < 0.35 < plain


def test_buckets_fall_on_the_batches_in_later_epochs_too(pairs_of) -> None:
    """2011 pairs in batches of 32: from the second epoch on, an epoch begins inside a batch."""
    data = Seq2Seq(pairs_of(random_pairs(2011)))
    spread = []
    for step in range(64, 180):
        epochs, indices = data.order(step * 32, 32, 0)
        if epochs[0] == epochs[-1]:
            spread.append(np.ptp(data.lengths(indices)[0]))
    assert np.mean(spread) < 6


def test_evaluation_sees_every_pair_once_in_order(pairs_of) -> None:
    data = Seq2Seq(pairs_of(random_pairs(53)))
    first = torch.cat([b.source.ids[:, 0] for b in data.evaluation(8)])
    assert first.tolist() == [7 + i for i in range(53)]
    both = [b.source.ids[:, 0] for rank in range(2) for b in data.evaluation(8, rank=rank, world=2)]
    assert sorted(torch.cat(both).tolist()) == first.tolist()


def test_empty_sides_are_only_their_ends(pairs_of) -> None:
    batch = Seq2Seq(pairs_of([([], [20]), ([10, 11], [])])).make(np.arange(2), 0, 0)
    assert batch.source.ids.tolist() == [[EOS, 0, 0], [10, 11, EOS]]
    assert batch.targets.tolist() == [[20, EOS], [EOS, 0]] and batch.weights.tolist() == [[1, 1], [1, 0]]


def test_wrong_settings_say_so(pairs_of, corpus_of) -> None:
    pairs = pairs_of(random_pairs(5))
    for bad in (dict(over="cut"), dict(source_limit=1), dict(multiple=0), dict(pool=0)):
        with pytest.raises(ConfigError):
            Seq2Seq(pairs, **bad)
    with pytest.raises(DataError, match="<eos>"):
        Seq2Seq(pairs_of(random_pairs(5), special={}))
    with pytest.raises(DataError, match="4 pairs"):
        raise Seq2Seq(pairs_of(random_pairs(4))).too_short(8)


def test_h85_all_pairs_too_long_and_dropped(pairs_of) -> None:
    data = Seq2Seq(pairs_of([([5] * 9, [6] * 9)] * 4), 4, 4, over="drop")
    with pytest.raises(DataError, match="dropped as too long"):
        Loader(data, batch=2, seed=0)
