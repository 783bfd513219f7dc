"""Conversations and prompts with completions as rows of a decoder: what is asked for, and what a limit does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.data import Instruct, Loader
from polyhead.errors import ConfigError, DataError
from tests.data.in_memory import chats_of

TALK = ([10, 11, 12, 20, 2, 13, 21, 22, 2], [0, 0, 0, 1, 1, 0, 1, 1, 1])


def test_only_what_the_assistant_says_is_asked_for() -> None:
    batch = Instruct(chats_of([TALK, ([10, 20, 2], [0, 1, 1])]), 16, multiple=1).make(np.arange(2), 0, 0)
    assert batch.inputs.ids.tolist() == [[10, 11, 12, 20, 2, 13, 21, 22], [10, 20, 2, 0, 0, 0, 0, 0]]
    assert batch.targets.tolist() == [[11, 12, 20, 2, 13, 21, 22, 2], [20, 2, 0, 0, 0, 0, 0, 0]]
    assert batch.weights.tolist() == [[0, 0, 1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0, 0, 0]]
    assert batch.inputs.pos is None and batch.inputs.segment is None and not batch.inputs.padded  # no mask at all


def test_pairs_are_prompt_completion_and_end(pairs_of) -> None:
    batch = Instruct(pairs_of([([10, 11], [20, 21]), ([12], [22])]), 16, multiple=1).make(np.arange(2), 0, 0)
    assert batch.inputs.ids.tolist() == [[10, 11, 20, 21], [12, 22, 2, 0]]
    assert batch.targets.tolist() == [[11, 20, 21, 2], [22, 2, 0, 0]]
    assert batch.weights.tolist() == [[0, 1, 1, 1], [1, 1, 0, 0]]


def test_pad_equal_to_eos_still_teaches_to_stop(pairs_of) -> None:
    data = Instruct(pairs_of([([10, 11], [20]), ([12], [21, 22, 23])], special=dict(eos=2, pad=2)), multiple=1)
    batch = data.make(np.arange(2), 0, 0)
    assert ((batch.targets == 2) & (batch.weights > 0)).sum(1).tolist() == [1, 1]


def test_long_conversations_keep_their_beginning() -> None:
    file = chats_of([TALK, ([10] * 8 + [20, 2], [0] * 8 + [1, 1]), ([10, 20, 2], [0, 1, 1])])
    data = Instruct(file, 5, multiple=1)
    assert len(data) == 2 and data.over_long == 2 and "2 of 3" in data.notes[0] and "1 in all are left out" in data.notes[0]
    batch = data.make(np.arange(2), 0, 0)
    assert batch.targets[0].tolist() == [11, 12, 20, 2, 13] and batch.weights[0].tolist() == [0, 0, 1, 1, 0]
    assert len(Instruct(file, 5, over="drop")) == 1 and not Instruct(file, 16).notes


def test_long_pairs_lose_their_prompt_first(pairs_of) -> None:
    file = pairs_of([([10, 11, 12, 13], [20, 21]), ([14], [22] * 9), ([15], [23])])
    data = Instruct(file, 4, multiple=1)
    batch = data.make(np.arange(3), 0, 0)
    assert batch.inputs.ids[0].tolist() == [12, 13, 20, 21] and batch.targets[0].tolist() == [13, 20, 21, 2]
    assert batch.targets[1].tolist() == [22] * 4 and batch.weights[1].tolist() == [1] * 4  # cut: nothing teaches to stop
    assert data.over_long == 2 and len(Instruct(file, 4, over="drop")) == 1


def test_a_conversation_that_begins_with_the_assistant() -> None:
    file = chats_of([([20], [1]), ([20, 21], [1, 1])])
    data = Instruct(file, 8, multiple=1)
    assert len(data) == 1 and data.make(np.arange(1), 0, 0).targets.tolist() == [[21]]


fixture_ok = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


@fixture_ok
@given(seed=st.integers(0, 10**6), context=st.integers(2, 30), multiple=st.integers(1, 8), pairs=st.booleans())
def test_rows_equal_the_plain_account_of_them(pairs_of, seed: int, context: int, multiple: int, pairs: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = []
    if pairs:
        made = [(rng.integers(10, 900, rng.integers(1, 20)).tolist(), rng.integers(10, 900, rng.integers(1, 20)).tolist()) for _ in range(9)]
        file = pairs_of(made)
        for prompt, answer in made:
            prompt = prompt[-max(1, context + 1 - len(answer) - 1) :]
            rows.append(((prompt + answer + [2])[: context + 1], ([0] * len(prompt) + [1] * (len(answer) + 1))[: context + 1]))
    else:
        made = [(rng.integers(10, 900, n).tolist(), rng.integers(0, 2, n).tolist()) for n in rng.integers(1, 40, 9)]
        file = chats_of(made)
        rows = [(ids[: context + 1], flags[: context + 1]) for ids, flags in made]
    rows = [(ids, flags) for ids, flags in rows if any(flags[1:])]
    data = Instruct(file, context, multiple=multiple)
    assert len(data) == len(rows)
    if rows:
        batch = data.make(np.arange(len(rows)), 0, 0)
        assert batch.inputs.ids.shape[1] <= context
        for i, (ids, flags) in enumerate(rows):
            n = len(ids) - 1
            assert batch.inputs.ids[i, :n].tolist() == ids[:-1] and batch.targets[i, :n].tolist() == ids[1:]
            assert batch.weights[i, :n].tolist() == flags[1:] and not batch.weights[i, n:].any()
            assert data.lengths(np.array([i]))[0][0] == n


def test_every_conversation_once_per_epoch_with_little_padding() -> None:
    rng = np.random.default_rng(0)
    file = chats_of([([10 + i, *[20] * int(n)], [0, *[1] * int(n)]) for i, n in enumerate(rng.integers(1, 60, 500))])
    data = Instruct(file, 64, multiple=1)
    loader = Loader(data, batch=10, seed=3)
    seen = [int(row[0]) - 10 for step in range(50) for row in loader.batch_at(step).inputs.ids]
    assert sorted(seen) == list(range(500)) and data.padded_share(10) < 0.05
    assert sum(len(batch.targets) for batch in data.evaluation(64)) == 500


def test_what_is_refused(corpus_of, pairs_of) -> None:
    with pytest.raises(ConfigError, match="context"):
        Instruct(chats_of([TALK]), 1)
    with pytest.raises(ConfigError, match="over-long"):
        Instruct(chats_of([TALK]), 8, over="cut")
    with pytest.raises(DataError, match="holds labelled"):
        Instruct(chats_of([TALK], kind="labelled"), 8)
    with pytest.raises(DataError, match="never end"):
        Instruct(pairs_of([([10], [20])], special=dict(pad=0)), 8)
    with pytest.raises(DataError, match="1 conversations"):
        Loader(Instruct(chats_of([TALK]), 8), batch=2, seed=0)
