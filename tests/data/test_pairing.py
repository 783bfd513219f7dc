"""Two segments: next sentence prediction (BERT) and sentence order (ALBERT)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Loader, Masked
from polyhead.data.objectives.texts import Texts
from polyhead.data.objectives.words import sentence_ends
from polyhead.errors import ConfigError, DataError, TokenizerError
from tests.data.corpora import documents, encoded, near, specials, trained

CLS, SEP, PAD, EOS = 5, 6, 0, 2


@pytest.fixture
def numbered(corpus_of, tokenizer):
    """Documents whose tokens count up: token = 300 + 100 * document + place; no sentence ends anywhere."""

    def make(pairing: str, context: int = 13, lengths=(20,) * 10, **options) -> Masked:
        tokenizer.vocab_size = 2000
        ids = [[300 + 100 * d + i for i in range(n)] + [EOS] for d, n in enumerate(lengths)]
        return Masked(corpus_of(ids, vocab=2000), context, tokenizer, pairing=pairing, **options)

    return make


def segments(batch, row: int) -> tuple[list[int], list[int]]:
    """The two segments of a row, read from the original ids; what stands around them is checked."""
    ids, types = batch.targets[row].tolist(), batch.inputs.types[row].tolist()
    end = len(ids) if batch.inputs.pos is None else int((batch.inputs.pos[row] >= 0).sum())
    assert ids[0] == CLS and ids[end - 1] == SEP and all(i == PAD for i in ids[end:])
    between = ids.index(SEP)
    assert types[: between + 1] == [0] * (between + 1) and types[between + 1 : end] == [1] * (end - between - 1)
    return ids[1:between], ids[between + 1 : end - 1]


def every(data: Masked, epochs: int):
    n = len(data)
    return data.make(np.tile(np.arange(n), epochs), np.repeat(np.arange(epochs), n), 0)


def test_order_by_hand(numbered) -> None:
    """20 tokens in a context of 13, three around them: two texts of ten, cut anywhere, half of them swapped."""
    data = numbered("order", short=0.0)
    assert len(data) == 20
    batch = every(data, 30)
    swapped = 0
    for row, label in enumerate(batch.labels.tolist()):
        a, b = segments(batch, row)
        a, b = (b, a) if label else (a, b)
        start = 300 + 100 * (row % 20 // 2) + 10 * (row % 2)
        assert a + b == list(range(start, start + 10)) and a and b
        swapped += label
    assert near(swapped, 600, 0.5)
    assert batch.inputs.pos is None and batch.inputs.segment is None and batch.inputs.ids.shape == (600, 13)


def test_next_by_hand(numbered) -> None:
    data = numbered("next", short=0.0)
    batch = every(data, 40)
    others, stranger = 0, np.zeros(10)
    for row, label in enumerate(batch.labels.tolist()):
        a, b = segments(batch, row)
        start, document = 300 + 100 * (row % 20 // 2) + 10 * (row % 2), row % 20 // 2
        assert a == list(range(start, start + len(a)))
        if label:
            other = (b[0] - 300) // 100
            assert other != document and b == list(range(b[0], b[0] + len(b)))
            assert len(a) + len(b) == 10 or b[-1] == 300 + 100 * other + 19  # as long, or to its document's end
            stranger[other] += 1
        else:
            assert a + b == list(range(start, start + 10))
        others += label
    assert near(others, 800, 0.5) and all(near(n, others, 0.1) for n in stranger)


def test_the_cut_lies_at_sentence_ends(corpus_of) -> None:
    tokenizer = trained("wordpiece")
    file = corpus_of(encoded(tokenizer, documents()), tokenizer.vocab_size, specials(tokenizer))
    ends = sentence_ends(tokenizer)
    for pairing in ("order", "next"):
        data = Masked(file, 128, tokenizer, pairing=pairing, short=0.0)
        batch = every(data, 2)
        ids = batch.targets.numpy()
        first = (ids == tokenizer.sep).argmax(1)
        straight = batch.labels.numpy() == 0
        assert ends[ids[np.arange(len(ids)), first - 1]][straight].all()
        if pairing == "next":  # a stranger begins where a sentence does: no clue there
            before = {int(file.tokens[i]) for i in np.flatnonzero(ends[file.tokens])}
            begins = ids[np.arange(len(ids)), first + 1]
            starts = {int(file.tokens[i + 1]) for i in np.flatnonzero(ends[file.tokens][:-1])}
            assert set(begins[~straight].tolist()) <= starts and before


def test_nothing_but_the_text_tells_the_label(corpus_of) -> None:
    """Texts cut out of long documents: with either label, segments begin and end with whole sentences, and rows are as long on
    average, within three standard errors. (Cut at any token, a swapped pair would show its half sentence in the middle.)"""
    tokenizer = trained("wordpiece")
    texts = [" ".join(documents()[i : i + 10]) for i in (0, 10, 20)]
    file = corpus_of(encoded(tokenizer, texts), tokenizer.vocab_size, specials(tokenizer))
    ends = sentence_ends(tokenizer)
    for pairing in ("next", "order"):
        batch = every(Masked(file, 256, tokenizer, pairing=pairing, short=0.0), 8)
        whole, lengths = {0: [], 1: []}, {0: [], 1: []}
        for row, label in enumerate(batch.labels.tolist()):
            ids = batch.targets[row].tolist()
            a = ids.index(tokenizer.sep)
            b = ids.index(tokenizer.sep, a + 1)
            whole[label] += [ends[ids[a - 1]], ends[ids[b - 1]]]
            lengths[label].append(b)
        assert min(map(np.mean, whole.values())) > 0.98
        error = np.hypot(*(np.std(n) / len(n) ** 0.5 for n in lengths.values()))
        assert abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 3 * error


def test_texts_cut_at_sentences_cover_every_token_once(corpus_of) -> None:
    tokenizer = trained("byte_bpe")
    file = corpus_of(encoded(tokenizer, documents()), tokenizer.vocab_size, specials(tokenizer))
    for longest in (5, 16, 17, 40, 128, 100_000):
        texts = Texts(file, longest, 1, sentence_ends(tokenizer))
        begin, length = texts.place(np.arange(len(texts)))
        assert length.min() >= 1 and length.max() <= longest
        document = texts.document(np.arange(len(texts)))
        assert (begin[1:] == begin[:-1] + length[:-1] + (document[1:] != document[:-1])).all()  # one <eos> between documents
        assert length.sum() == len(file) - len(documents())


def test_a_tenth_is_cut_short(numbered) -> None:
    data = numbered("order", lengths=(100,) * 2, context=103)
    batch = every(data, 1500)
    length = (batch.inputs.pos >= 0).sum(1) - 3
    assert length.min() >= 2 and near((length < 100).sum(), len(length), 0.1 * (1 - 1 / 99))
    short = length[length < 100].double()
    assert abs(short.mean() - 50.5) < 3 * 28.3 / len(short) ** 0.5  # any length alike


def test_masks_lie_on_the_segments_alone_and_labels_are_not_in_the_inputs(corpus_of) -> None:
    tokenizer = trained("wordpiece")
    file = corpus_of(encoded(tokenizer, documents()), tokenizer.vocab_size, specials(tokenizer))
    for unit in ("token", "word", "span"):
        batch = every(Masked(file, 96, tokenizer, pairing="order", unit=unit), 4)
        chosen = batch.weights > 0
        real = batch.inputs.pos >= 0
        special = torch.from_numpy(np.isin(batch.targets.numpy(), sorted(tokenizer.special)))
        assert not bool((chosen & (special | ~real)).any())
        assert torch.equal(batch.inputs.ids[~chosen], batch.targets[~chosen])
        share = chosen.sum() / (real & ~special).sum()
        assert 0.14 < share < 0.16
        assert batch.inputs._fields == ("ids", "pos", "segment", "mark", "types", "padded", "signal", "masked")


def test_evaluation_asks_each_text_once(numbered) -> None:
    for pairing in ("next", "order"):
        data = numbered(pairing, rate=0.999999)
        batches = list(data.evaluation(8))
        assert [len(b.labels) for b in batches] == [8, 8, 4]
        asked = torch.cat([b.targets[b.weights > 0] for b in batches]).tolist()
        whole = [300 + 100 * d + i for d in range(10) for i in range(20)]
        assert len(asked) == len(set(asked)) and set(asked) <= set(whole)
        assert pairing == "next" or sorted(asked) == whole
        again = [b.labels for rank in range(2) for b in data.evaluation(8, rank=rank, world=2)]
        assert sorted(torch.cat(again).tolist()) == sorted(torch.cat([b.labels for b in batches]).tolist())


def test_pairs_come_by_length(numbered) -> None:
    data = numbered("order", lengths=[3 + i * 7 % 20 for i in range(10)] , context=8)
    spread = [np.ptp(data.lengths(data.order(step * 8, 8, 0)[1])[0]) for step in range(50)]
    assert np.mean(spread) < 2


def test_the_tokenizers_own_frame_is_used(corpus_of, tokenizer) -> None:
    """<s> A </s></s> B </s>, without types."""
    tokenizer.wrap = lambda ids, pair=None: ([5, *ids, 6, 6, *pair, 6], [0] * (4 + len(ids) + len(pair)))
    data = Masked(corpus_of([range(7, 27)], vocab=263), 24, tokenizer, pairing="order", short=0.0)
    batch = data.make(np.array([0]), 0, 0)
    ids = batch.targets[0].tolist()
    at = ids.index(6)
    assert ids[at : at + 2] == [6, 6] and ids[0] == 5 and ids[-1] == 6 and batch.inputs.types is None


def test_what_cannot_be_paired_is_refused(numbered, corpus_of, tokenizer) -> None:
    with pytest.raises(DataError, match="strangers") as caught:
        numbered("next", lengths=(100,))
    assert "split=" in str(caught.value)
    with pytest.raises(ConfigError, match="pair task"):
        numbered("previous")
    with pytest.raises(ConfigError, match="documents=False"):
        numbered("order", documents=True)
    with pytest.raises(ConfigError, match="room"):
        numbered("order", context=4)
    with pytest.raises(ConfigError, match="short"):
        numbered("order", short=1.0)
    with pytest.raises(DataError, match="shorter than one batch"):
        Loader(numbered("order"), batch=21, seed=0)
    assert len(numbered("order", lengths=(1, 1, 0, 2))) == 1  # a document of one token has no two segments
    tokenizer.sep = None
    with pytest.raises(TokenizerError, match="<cls> and <sep>"):
        Masked(corpus_of([range(7, 27)], vocab=2000), 24, tokenizer, pairing="order")
