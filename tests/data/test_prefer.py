"""Preferences as rows: chosen first, then rejected, with the same prompt."""

from __future__ import annotations

import numpy as np
import pytest

from polyhead.data import Loader, Prefer
from polyhead.errors import ConfigError, DataError
from tests.data.in_memory import chats_of, preferences_of

ROWS = [([10, 11, 12], [20, 2], [21, 22, 2]), ([13], [23, 2], [24, 2])]


def test_chosen_then_rejected() -> None:
    batch = Prefer(preferences_of(ROWS), 16, multiple=1).make(np.arange(2), 0, 0)
    assert batch.inputs.ids.tolist() == [[10, 11, 12, 20, 2], [13, 23, 2, 0, 0], [10, 11, 12, 21, 22], [13, 24, 2, 0, 0]]
    assert batch.targets.tolist() == [[11, 12, 20, 2, 0], [23, 2, 0, 0, 0], [11, 12, 21, 22, 2], [24, 2, 0, 0, 0]]
    assert batch.weights.tolist() == [[0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch.inputs.pos is None and not batch.inputs.padded


def test_prompts_are_cut_at_the_front_answers_never() -> None:
    data = Prefer(preferences_of([*ROWS, ([14, 15], [25] * 5, [26])]), 4, multiple=1)
    assert len(data) == 2 and data.over_long == 1 and "1 of 3 prompts" in data.notes[0] and "1 preferences are left out" in data.notes[0]
    batch = data.make(np.arange(2), 0, 0)
    assert batch.inputs.ids[0].tolist() == [11, 12, 20, 2] and batch.inputs.ids[2].tolist() == [11, 12, 21, 22]
    assert batch.weights.sum(1).tolist() == [2, 2, 3, 2]


def test_every_preference_once_per_epoch_split_or_not() -> None:
    rng = np.random.default_rng(0)
    rows = [([100 + i], [20] * int(a), [21] * int(b)) for i, (a, b) in enumerate(rng.integers(1, 30, (60, 2)))]
    data = Prefer(preferences_of(rows), 64, pool=4)
    loader = Loader(data, batch=6, seed=1)
    batches = [loader.batch_at(step) for step in range(10)]
    assert sorted(int(row[0]) - 100 for batch in batches for row in batch.inputs.ids[:6]) == list(range(60))
    assert all((batch.inputs.ids[:6, 0] == batch.inputs.ids[6:, 0]).all() for batch in batches)
    halves = [loader.batch_at(0, micro, 2) for micro in range(2)]
    assert [int(i) for half in halves for i in half.inputs.ids[:3, 0]] == batches[0].inputs.ids[:6, 0].tolist()
    assert sum(float(half.weights.sum()) for half in halves) == float(batches[0].weights.sum())


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="holds chat"):
        Prefer(chats_of([([10, 20], [0, 1])]))
    with pytest.raises(ConfigError, match="context"):
        Prefer(preferences_of(ROWS), 1)
    with pytest.raises(DataError, match="2 preferences"):
        Loader(Prefer(preferences_of(ROWS), 16), batch=3, seed=0)
