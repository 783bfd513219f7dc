"""Prefix language modelling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead import nn as ph
from polyhead.data import Causal, Prefix
from polyhead.nn.tokens import Tokens
from tests.conformance import specs


def test_a_window_by_hand(corpus_of) -> None:
    """Six inputs: a prefix of P is marked, and asked from its last token on."""
    data = Prefix(corpus_of([range(7, 14)]), 6)
    seen = set()
    for epoch in range(60):
        batch = data.make(np.array([0]), epoch, 0)
        assert batch.inputs.ids.tolist() == [[7, 8, 9, 10, 11, 12]] and batch.targets.tolist() == [[8, 9, 10, 11, 12, 13]]
        p = int(batch.inputs.mark.sum())
        assert batch.inputs.mark.tolist() == [[True] * p + [False] * (6 - p)]
        assert batch.weights.tolist() == [[0.0] * (p - 1) + [1.0] * (7 - p)]
        assert batch.inputs.pos is None and batch.inputs.segment is None
        seen.add(p)
    assert seen == {1, 2, 3, 4, 5, 6}


def test_every_length_of_the_prefix_is_alike(corpus_of) -> None:
    """Uniform in 1 … context (T5's random_prefix_noise_mask), within three standard errors."""
    data = Prefix(corpus_of([np.arange(7, 900).tolist()] * 20), 10)
    n = len(data)
    length = data.make(np.tile(np.arange(n), 5), np.repeat(np.arange(5), n), 1).inputs.mark.sum(1)
    counts = np.bincount(length.numpy(), minlength=11)
    total = counts.sum()
    assert counts[0] == 0 and len(counts) == 11
    assert (abs(counts[1:] / total - 0.1) < 3 * np.sqrt(0.09 / total)).all()


def test_each_document_of_a_window_has_a_prefix_of_its_own(corpus_of) -> None:
    data = Prefix(corpus_of([[10] * 5, [11] * 4, [12] * 1, [13] * 8]), 17, documents=True)
    plain = Causal(data.file, 17, documents=True).make(np.array([0]), 0, 0)
    seen = set()
    for epoch in range(80):
        batch = data.make(np.array([0]), epoch, 0)
        mark, weights, ids = batch.inputs.mark[0], batch.weights[0], batch.inputs.ids[0]
        lengths = tuple(int(mark[ids == d].sum()) for d in (10, 11, 12, 13))
        for d, p, n in zip((10, 11, 12, 13), lengths, (5, 4, 1, 7), strict=True):
            own = ids == d
            assert mark[own].tolist() == [True] * p + [False] * (n - p) and p >= 1
            whole = plain.weights[0][own]  # 0 at a document's end, which is not asked for the next one's beginning
            assert weights[own].tolist() == [0.0] * (p - 1) + whole[p - 1 :].tolist()
            assert n == 1 or weights[own].sum() >= 1
        seen.add(lengths)
    assert len(seen) > 30


def test_evaluation_asks_no_token_twice(corpus_of) -> None:
    data = Prefix(corpus_of([range(7, 110)]), 10)
    batches = list(data.evaluation(4))
    asked = torch.cat([b.targets[b.weights > 0] for b in batches]).tolist()
    assert len(asked) == len(set(asked)) and len(batches) == 3
    assert all(torch.equal(a.inputs.mark, b.inputs.mark) for a, b in zip(batches, data.evaluation(4), strict=True))


@pytest.mark.parametrize("documents", [False, True])
def test_no_target_is_in_sight_of_the_token_that_is_asked_for_it(corpus_of, documents) -> None:
    """On a decoder with the pattern "prefix", d logits[t] / d input[s] is 0 for every s after t where t has weight, and the
    prefix sees all of itself."""
    net = specs.build(specs.decoder(pattern=ph.Prefix())).eval()
    rng = np.random.default_rng(0)
    data = Prefix(corpus_of([rng.integers(7, 23, n).tolist() for n in (9, 4, 20)], vocab=23), 12, documents=documents)
    both = 0
    for epoch in range(6):
        batch = data.make(np.array([0]), epoch, 0)
        ids, mark = batch.inputs.ids, batch.inputs.mark[0]
        with torch.no_grad():
            before = net.logits(net.hidden(batch.inputs)[0])
        for s in range(12):
            other = ids.clone()
            other[0, s] = 7 + (other[0, s] - 6) % 16
            with torch.no_grad():
                after = net.logits(net.hidden(batch.inputs._replace(ids=other))[0])
            moved = (after != before).any(-1)[0]
            assert not bool((moved[:s] & (batch.weights[0, :s] > 0)).any())
            both += int(bool(mark[s]) and bool(moved[:s].any()))
    assert both > 0
    assert isinstance(batch.inputs, Tokens)
