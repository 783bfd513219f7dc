"""What all objectives promise: pure functions of (seed, epoch, index), whatever the ranks and micro-batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from polyhead.data import Causal, Contrast, Corrupted, Denoising, Loader, Masked, Objective, Prefix, Seq2Seq
from polyhead.data.tokenfile import PairFile, TokenFile, TokenWriter
from polyhead.errors import DataError
from polyhead.nn.tokens import Batch, Tokens
from tests.data.corpora import documents, encoded, specials, trained

MAKERS: dict[str, Callable[..., Objective]] = {
    "causal": lambda file, pairs, t: Causal(file, 40),
    "causal documents": lambda file, pairs, t: Causal(file, 40, documents=True),
    "prefix": lambda file, pairs, t: Prefix(file, 40),
    "prefix documents": lambda file, pairs, t: Prefix(file, 40, documents=True),
    "masked": lambda file, pairs, t: Masked(file, 40, t),
    "masked words": lambda file, pairs, t: Masked(file, 40, t, unit="word", documents=True),
    "masked spans": lambda file, pairs, t: Masked(file, 40, t, unit="span"),
    "masked next": lambda file, pairs, t: Masked(file, 40, t, pairing="next"),
    "masked order": lambda file, pairs, t: Masked(file, 40, t, pairing="order", unit="span"),
    "corrupted": lambda file, pairs, t: Corrupted(file, 40, t),
    "denoising": lambda file, pairs, t: Denoising(file, 40, t),
    "denoising deletes": lambda file, pairs, t: Denoising(file, 40, t, noise="delete", rotate=True),
    "contrast": lambda file, pairs, t: Contrast(file, 40, t),
    "contrast pairs": lambda file, pairs, t: Contrast(pairs, 40, t),
    "seq2seq": lambda file, pairs, t: Seq2Seq(pairs, 40, 40),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    tokenizer, folder = trained("unigram", sentinels=20), tmp_path_factory.mktemp("files")
    lines = [line.strip() + "." for text in documents()[:8] for line in text.split(".") if line.strip()]
    ids = encoded(tokenizer, lines)
    for name, rows in (("text", ids), ("pairs", [i[:-1] for i in ids if len(i) > 1])):
        with TokenWriter(folder / name, tokenizer.vocab_size) as writer:
            for row in rows[: len(rows) // 2 * 2]:
                writer.add(row)
                writer.close_document()
            writer.finish(kind=name, special=specials(tokenizer), fingerprint="", notes=[])
    return TokenFile(folder / "text"), PairFile(folder / "pairs"), tokenizer


@pytest.fixture(params=MAKERS)
def data(request, files) -> Objective:
    return MAKERS[request.param](*files)


def samples(batch: Batch) -> list[tuple]:
    """Every sample's content, whatever the width it was padded to."""

    def rows(tokens: Tokens | None, n: int) -> list[tuple]:
        if tokens is None or tokens.ids is None:
            return [()] * n
        pos = tokens.pos if tokens.pos is not None else torch.arange(tokens.ids.shape[1]).expand(len(tokens.ids), -1)
        fields = [f for f in (tokens.ids, pos, tokens.segment, tokens.mark, tokens.types) if f is not None]
        return [tuple(tuple(f[i][pos[i] >= 0].tolist()) for f in fields) for i in range(len(tokens.ids))]

    n = len(batch.targets)
    labels = [None] * n if batch.labels is None else batch.labels.tolist()
    if batch.targets.dim() == 1:
        both = rows(batch.inputs, 2 * n)
        return list(zip(both[:n], both[n:], strict=True))
    asked = [tuple(t[w > 0].tolist()) for t, w in zip(batch.targets, batch.weights, strict=True)]
    if batch.source is not None:  # a decoder's inputs are its targets, one place on
        assert torch.equal(batch.inputs.ids[:, 1:], batch.targets[:, :-1])
        return list(zip(rows(batch.source, n), asked, labels, strict=True))
    return list(zip(rows(batch.inputs, n), asked, labels, strict=True))


def test_every_split_into_ranks_and_micros_sees_the_same_samples(data) -> None:
    for step in (0, 3, 40):
        whole = sorted(map(repr, samples(Loader(data, batch=12, seed=3).batch_at(step))))
        assert len(whole) == 12
        for world, micros in ((2, 1), (2, 3), (1, 4), (12, 1)):
            parts = [
                sample
                for rank in range(world)
                for micro in range(micros)
                for sample in samples(Loader(data, batch=12, seed=3, rank=rank, world=world).batch_at(step, micro, micros))
            ]
            assert sorted(map(repr, parts)) == whole


def test_a_fresh_object_resumes_with_the_same_bits(request, data, files) -> None:
    fresh = MAKERS[request.node.callspec.params["data"]](*files)
    n = len(data)
    for step in (0, 5, 2 * n // 5):  # the last lies across two epochs, or near it
        one, two = (Loader(d, batch=5, seed=1).batch_at(step) for d in (data, fresh))
        flat = [[*b.inputs, *(b.source or ()), b.targets, b.weights, b.labels] for b in (one, two)]
        assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(*flat, strict=True))


def test_every_sample_once_per_epoch(data) -> None:
    n, batch = len(data), 7
    orders = [data.order(step * batch, batch, 2) for step in range(2 * n // batch + 1)]
    epochs, indices = (np.concatenate(side) for side in zip(*orders, strict=True))
    for epoch in range(2):
        assert sorted(indices[epochs == epoch].tolist()) == list(range(n))


def test_no_generator_is_read_or_moved(data) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    first, state, numpy_state = samples(data.make(np.arange(4), 1, 0)), torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.manual_seed(1)
    assert samples(data.make(np.arange(4), 1, 0)) == first
    torch.manual_seed(0)
    assert torch.equal(state, torch.get_rng_state()) and (numpy_state == np.random.get_state()[1]).all()


def test_evaluation_is_the_same_at_every_call_and_dealt_out_to_ranks(data) -> None:
    batches = [samples(b) for b in data.evaluation(6)]
    assert batches == [samples(b) for b in data.evaluation(6)]
    dealt = [[samples(b) for b in data.evaluation(6, rank=rank, world=2)] for rank in range(2)]
    assert dealt[0] == batches[::2] and dealt[1] == batches[1::2]


def test_batches_are_well_formed(data) -> None:
    for batch in [data.make(np.arange(9), 2, 5), *data.evaluation(9)]:
        assert batch.targets.dtype == torch.long and batch.weights.dtype == torch.float32
        assert batch.weights.shape == batch.targets.shape and set(batch.weights.unique().tolist()) <= {0.0, 1.0}
        for tokens in (batch.inputs, batch.source):
            if tokens is None:
                continue
            assert tokens.ids.dtype == torch.long and tokens.padded == (tokens.pos is not None and bool((tokens.pos < 0).any()))
            for field in (tokens.pos, tokens.segment, tokens.mark, tokens.types):
                assert field is None or field.shape == tokens.ids.shape
            if tokens.pos is not None and tokens.padded:
                assert bool((tokens.pos[:, 1:][tokens.pos[:, :-1] < 0] < 0).all())  # on the right
        if batch.targets.dim() == 2:
            assert batch.targets.shape == batch.inputs.ids.shape


def test_the_error_for_a_small_corpus_has_its_numbers(data) -> None:
    with pytest.raises(DataError, match=str(len(data))):
        Loader(data, batch=len(data) + 1, seed=0)
