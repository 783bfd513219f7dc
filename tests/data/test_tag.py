"""Tagging: the first sub-token of every word is asked for, once, whatever the length of the sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.data import Tag
from polyhead.data.objectives.tag import windows
from polyhead.errors import ConfigError, DataError
from tests.data.corpora import KINDS, trained, words
from tests.data.packed import by_bytes, packed, shown, whole_epoch


def rows(*sentences: str) -> list[dict]:
    return [{"tokens": s.split(), "tags": [f"T{len(w)}" for w in s.split()]} for s in sentences]


def test_by_hand(tmp_path) -> None:
    t = by_bytes()
    file = packed(tmp_path, rows("abc d", "e"))
    assert file.facts["labels"] == ["T1", "T3"]
    batch = Tag(file, t, multiple=1).make(np.array([0, 1]), 0, 0)
    assert shown(t, batch, 0) == "^abc d|" and shown(t, batch, 1) == "^e|"
    weight = batch.weights[0].tolist()
    assert weight == [0, 1, 0, 0, 1, 0, 0] and batch.weights[1].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert batch.targets[0].tolist() == [0, 1, 0, 0, 0, 0, 0] and batch.targets.dtype == torch.int64
    assert batch.targets.shape == batch.weights.shape == batch.inputs.ids.shape


def told(objective: Tag, file, batch_size: int = 5) -> dict[tuple[int, int], int]:
    """(sentence, word) → tag number, as asked for in an evaluation; fails where a word is asked for twice."""
    found: dict[tuple[int, int], int] = {}
    row = 0
    tags, begin = file.ragged("tag")
    for batch in objective.evaluation(batch_size):
        for i in range(len(batch.targets)):
            sentence = int(objective.sentence[row])
            number = sum(1 for s, _ in found if s == sentence)
            for target in batch.targets[i][batch.weights[i] > 0].tolist():
                assert (sentence, number) not in found
                found[sentence, number] = target
                number += 1
            row += 1
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("context", [6, 9, 24, 512])
def test_every_word_is_asked_for_once_with_its_own_tag(tmp_path, kind, context) -> None:
    rng = np.random.default_rng(1)
    sentences = [" ".join(rng.choice(words(), n)) for n in (1, 3, 40, 7, 90, 2)]
    tokenizer = trained(kind).framed()
    file = packed(tmp_path, rows(*sentences), tokenizer)
    objective = Tag(file, tokenizer, context)
    found = told(objective, file)
    labels = file.facts["labels"]
    expected = {(i, j): labels.index(f"T{len(w)}") for i, s in enumerate(sentences) for j, w in enumerate(s.split())}
    assert found == expected
    assert max(batch.inputs.ids.shape[1] for batch in objective.evaluation(4)) <= context
    assert (objective.over_long > 0) == (context < 512) == any("read in windows" in note for note in objective.notes)
    assert whole_epoch(objective, 1) == list(range(len(objective)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 20))
def test_windows_of_whole_words(sizes, room) -> None:
    bounds = np.cumsum([0, *sizes])
    starts, length = bounds[:-1], int(bounds[-1])
    found, cut = windows(starts, length, room)
    asked = []
    for begin, end, first in found:
        assert 0 <= begin <= first < end <= length and end - begin <= room
        assert begin in starts and first in starts
        asked += [s for s in starts.tolist() if first <= s < end]
        assert end in bounds or end - begin == room  # only a word that is too long is cut
    assert asked == starts.tolist() and cut == sum(size > room for size in sizes)


def test_a_window_begins_with_words_that_were_read_before(tmp_path) -> None:
    file = packed(tmp_path, rows("aa bb cc dd ee f1 gg h"))
    objective = Tag(file, by_bytes(), 14, multiple=1)
    shown_rows = [shown(by_bytes(), batch, 0) for batch in objective.evaluation(1)]
    assert shown_rows == ["^aa bb cc dd|", "^ dd ee f1 gg|", "^ gg h|"]
    weights = [int(batch.weights.sum()) for batch in objective.evaluation(1)]
    assert weights == [4, 3, 1]


def test_a_word_longer_than_a_window_keeps_its_first_token(tmp_path) -> None:
    file = packed(tmp_path, rows("a " + "x" * 50 + " b"))
    objective = Tag(file, by_bytes(), 12)
    assert len(told(objective, file)) == 3 and any(
        "1 words are longer than a window" in note for note in objective.notes
    )


def test_tags_do_not_leak(tmp_path) -> None:
    inputs = []
    for tags in ("XY", "YX"):
        file = packed(tmp_path, [{"tokens": ["ab", "c"], "tags": list(tags)}])
        batch = Tag(file, by_bytes()).make(np.array([0]), 0, 0)
        inputs.append((batch.inputs.ids, batch.weights, batch.targets))
    assert torch.equal(inputs[0][0], inputs[1][0]) and torch.equal(inputs[0][1], inputs[1][1])
    assert not torch.equal(inputs[0][2], inputs[1][2])


def test_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="a single tag"):
        Tag(packed(tmp_path, [{"tokens": ["a"], "tags": ["X"]}]), by_bytes())
    file = packed(tmp_path, rows("abc d"))
    with pytest.raises(ConfigError, match="leaves no room"):
        Tag(file, by_bytes(), 2)
    with pytest.raises(DataError, match="holds labelled"):
        Tag(packed(tmp_path, [{"text": "a", "label": "x"}]), by_bytes())
