"""Pairs of texts with scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Similar
from polyhead.data.showing import show
from polyhead.errors import DataError
from tests.data.in_memory import Packed, ragged
from tests.data.packed import by_bytes, packed, shown, whole_epoch

ROWS = [{"sentence1": a, "sentence2": b, "score": s} for a, b, s in (("ab", "c", 1.5), ("a", "bcd", 5.0), ("bb", "cc", 1.0), ("abcd", "d", 3.0))]


def test_rows_by_hand(tmp_path) -> None:
    t = by_bytes()
    batch = Similar(packed(tmp_path, ROWS), 16, t).make(np.array([1, 0]), 0, 0)
    assert [shown(t, batch, i) for i in range(4)] == ["^a|", "^ab|", "^bcd|", "^c|"]
    assert batch.targets.tolist() == [1.0, 0.125] and batch.targets.dtype == torch.float32 and batch.weights.tolist() == [1, 1]
    assert batch.inputs.types is None and batch.inputs.padded and batch.inputs.pos.tolist()[0] == [0, 1, 2, -1, -1]
    assert show(batch, 1, t) == ["first    <cls>ab<sep>", "second   <cls>c<sep>", "score    ⟦0.125⟧"]


def test_the_held_out_part_is_measured_by_the_training_parts_span(tmp_path) -> None:
    data = Similar(packed(tmp_path, ROWS[:2]), 16, by_bytes(), span=(1.0, 5.0))
    assert [x.targets.tolist() for x in data.evaluation(2)] == [[0.125, 1.0]]
    assert Similar(packed(tmp_path, ROWS), 16, by_bytes()).span == (1.0, 5.0)


def test_long_texts_are_cut_and_empty_ones_left_out() -> None:
    t = by_bytes()
    first, second = ([t.encode(row[side]) for row in ROWS] for side in ("sentence1", "sentence2"))
    scores = np.array([1.5, 5, 1, 3, 9, 1.5], np.float32)
    file = Packed("labelled", {"text": ragged([*first, [], first[0]]), "second": ragged([*second, [7], second[0]]), "label": scores}, {"problem": "number"})
    file.vocab_size = t.vocab_size
    data = Similar(file, 5, t)
    assert len(data) == 5 and data.span == (1.0, 5.0)  # the one left out has no say
    batch = data.make(np.array([3, 4]), 0, 0)
    assert [shown(t, batch, i) for i in range(4)] == ["^abc|", "^ab|", "^d|", "^c|"] and batch.targets.tolist() == [0.5, 0.125]
    assert data.notes == ["1 of 5 texts are longer than 3 tokens: cut", "1 of 6 have an empty side: left out"]
    assert whole_epoch(data, 1) == list(range(5))


def test_what_has_no_scores_is_refused(tmp_path) -> None:
    for rows, needle in (
        ([{"sentence1": "a", "sentence2": "b", "label": c} for c in "xyx"], "classes"), ([{"text": "a", "score": s} for s in (1.5, 2.5)], "single texts"),
        ([{"sentence1": "a", "sentence2": "b", "score": 1.5}] * 3, "all alike"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=needle):
            Similar(packed(tmp_path, rows), 16, by_bytes())
