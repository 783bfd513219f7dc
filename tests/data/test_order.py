"""The permutation of samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polyhead.data.order import key, noise, permute


@given(n=st.integers(1, 5000), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 2**40))
def test_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    assert (np.sort(permute(np.arange(n), n, seed, epoch)) == np.arange(n)).all()


@given(n=st.integers(1, 2**48), seed=st.integers(0, 2**32), data=st.data())
def test_seek_needs_no_neighbours(n: int, seed: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20)))
    together = permute(places, n, seed)
    alone = [int(permute(np.array([p]), n, seed)[0]) for p in places]
    assert together.tolist() == alone
    assert (0 <= together).all() and (together < n).all()


def test_looks_random() -> None:
    n = 100_003
    order = permute(np.arange(n), n, 1, 0).astype(float)
    assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 0.01
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.01
    assert (permute(np.arange(n), n, 1, 0) == permute(np.arange(n), n, 1, 1)).sum() < 10


def test_small_sets_reach_all_orders_evenly() -> None:
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(2400):
        order = tuple(permute(np.arange(4), 4, seed).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 24 and min(seen.values()) > 50 and max(seen.values()) < 150


def test_keys_depend_on_every_part_and_noise_is_uniform() -> None:
    assert len({key(a, b) for a in range(100) for b in range(100)}) == 10_000
    bits = noise(np.arange(100_000, dtype=np.uint64))
    assert abs((bits / 2.0**64).mean() - 0.5) < 0.01
    assert len(np.unique(bits)) == 100_000
