"""Pairs for contrastive training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Contrast, Loader
from polyhead.errors import ConfigError, DataError

EOS = 2


@pytest.fixture
def framing(tokenizer):
    """<cls> text <sep>, as the tokenizer's own frame."""
    tokenizer.vocab_size = 1000
    tokenizer.wrap = lambda ids, pair=None: ([5, *ids, 6], [0] * (2 + len(ids)))
    return tokenizer


def test_pairs_by_hand(pairs_of, framing) -> None:
    data = Contrast(pairs_of([([10, 11, 12], [20]), ([13], [21, 22])]), 16, framing)
    batch = data.make(np.array([1, 0]), 0, 0)
    assert batch.inputs.ids.tolist() == [[5, 13, 6, 0, 0], [5, 10, 11, 12, 6], [5, 21, 22, 6, 0], [5, 20, 6, 0, 0]]
    assert batch.inputs.pos.tolist() == [[0, 1, 2, -1, -1], [0, 1, 2, 3, 4], [0, 1, 2, 3, -1], [0, 1, 2, -1, -1]]
    assert batch.inputs.padded and batch.inputs.types is None and batch.source is None
    assert batch.targets.tolist() == [0, 1] and batch.targets.dtype == torch.long and batch.weights.tolist() == [1, 1]


def test_each_text_twice(corpus_of, framing) -> None:
    """The dropout of two rows differs; the rows do not. Closing <eos> are no part of a text."""
    data = Contrast(corpus_of([[10, 11, EOS], [12, EOS], [EOS], [13, 14, EOS]]), 16, framing)
    assert len(data) == 3 and "1 of 4 have an empty side" in data.notes[0]
    batch = data.make(np.arange(3), 0, 0)
    assert batch.inputs.ids.tolist() == [[5, 10, 11, 6], [5, 12, 6, 0], [5, 13, 14, 6]] * 2
    assert batch.targets.tolist() == [0, 1, 2]


def test_without_a_frame_texts_stand_bare(corpus_of, tokenizer) -> None:
    tokenizer.vocab_size = 1000
    batch = Contrast(corpus_of([[10, 11], [12, 13]]), 16, tokenizer).make(np.arange(2), 0, 0)
    assert batch.inputs.ids.tolist() == [[10, 11], [12, 13]] * 2 and batch.inputs.pos is None


def test_long_texts_are_cut_and_counted(pairs_of, framing) -> None:
    data = Contrast(pairs_of([([10] * 9, [20]), ([13], [21, 22])]), 6, framing)
    assert data.make(np.array([0]), 0, 0).inputs.ids.tolist() == [[5, 10, 10, 10, 10, 6], [5, 20, 6, 0, 0, 0]]
    assert data.notes == ["1 of 2 texts are longer than 4 tokens: cut"]


def test_evaluation_sees_each_pair_once(pairs_of, framing) -> None:
    data = Contrast(pairs_of([([10 + i], [500 + i]) for i in range(53)]), 16, framing)
    seen = [b.inputs.ids[:, 1].tolist() for b in data.evaluation(8)]
    anchors = [i for rows in seen for i in rows[: len(rows) // 2]]
    partners = [i for rows in seen for i in rows[len(rows) // 2 :]]
    assert anchors == [10 + i for i in range(53)] and partners == [500 + i for i in range(53)]


def test_what_cannot_be_contrasted_is_refused(corpus_of, pairs_of, framing) -> None:
    with pytest.raises(DataError, match="other texts") as caught:
        Contrast(corpus_of([[10, 11]]), 16, framing)
    assert "split=" in str(caught.value)
    with pytest.raises(ConfigError, match="room"):
        Contrast(corpus_of([[10], [11]]), 2, framing)
    with pytest.raises(DataError, match="4 texts"):
        Loader(Contrast(pairs_of([([10], [11])] * 4), 16, framing), batch=8, seed=0)
    with pytest.raises(DataError, match="another tokenizer"):
        Contrast(corpus_of([[10], [11]], vocab=263), 16, framing)
