"""What is hidden: tokens, whole words, spans; against BERT's and SpanBERT's numbers within three standard errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Masked
from polyhead.data.objectives.masking import Masking, span_shares
from polyhead.data.objectives.words import sentence_ends, words_of
from polyhead.errors import ConfigError
from polyhead.text import Tokenizer
from tests.data.corpora import KINDS, documents, encoded, near, specials, trained


@pytest.fixture
def data_of(corpus_of):
    def make(kind: str = "wordpiece", context: int = 128, **options) -> Masked:
        tokenizer = trained(kind)
        file = corpus_of(encoded(tokenizer, documents()), tokenizer.vocab_size, specials(tokenizer))
        return Masked(file, context, tokenizer, **options)

    return make


def everything(data: Masked, epochs: int = 1):
    n = len(data)
    return data.make(np.tile(np.arange(n), epochs), np.repeat(np.arange(epochs), n), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_words_begin_where_the_text_has_them(kind) -> None:
    """The tokens of each word of the text are one word by the table, on Unicode too."""
    tokenizer = trained(kind)
    text = "zebra quilt a voiceless vexing jumpy" + ("" if kind == "bpe" else " naïve Straße 東京")
    ids = np.array(tokenizer.encode(text))
    starts = words_of(tokenizer).starts(ids[None])[0]
    spaced = text.replace("東京", "東 京") if kind == "wordpiece" else text  # BERT parts Chinese letters
    parts = np.split(ids, np.flatnonzero(starts)[1:])
    assert len(parts) == len(spaced.split())
    if kind not in ("wordpiece", "bpe", "unigram"):  # these know no ï
        assert [tokenizer.decode(part.tolist()).strip() for part in parts] == spaced.split()


def test_a_line_begins_a_word_and_a_sign_belongs_to_the_one_before() -> None:
    tokenizer = trained("byte_bpe")
    ids = np.array(tokenizer.encode("ab cd.\nef  gh"))
    begun = words_of(tokenizer).starts(ids[None])[0]
    parts = np.split(ids, np.flatnonzero(begun)[1:])
    assert [tokenizer.decode(part.tolist()) for part in parts] == ["ab", " cd.", "\n", "ef", " ", " gh"]


@pytest.mark.parametrize("kind, options", [("chars", {}), ("bytes", {}), ("byte_bpe", {"pretokenize": False})])
@pytest.mark.parametrize("unit", ["word", "span"])
def test_tokens_that_do_not_tell_words_are_refused(corpus_of, kind, options, unit) -> None:
    size = 700 if kind == "byte_bpe" else None
    tokenizer = Tokenizer.train(documents(), kind, size, **options)
    file = corpus_of(encoded(tokenizer, documents()[:2]), tokenizer.vocab_size, specials(tokenizer))
    with pytest.raises(ConfigError, match="whole words cannot be masked"):
        Masked(file, 64, tokenizer, unit=unit)


def test_sentences_end_at_stops() -> None:
    for kind in KINDS:
        tokenizer = trained(kind)
        ids = tokenizer.encode("ab cd. ef gh.")
        assert sentence_ends(tokenizer)[ids].sum() == 2 and sentence_ends(tokenizer)[ids[-1]]
    assert not sentence_ends(trained("byte_bpe"))[sorted(trained("byte_bpe").special)].any()


@pytest.mark.parametrize("kind", KINDS)
def test_whole_words_come_together_at_the_papers_rate(data_of, kind) -> None:
    data = data_of(kind, unit="word")
    batch = everything(data, 4)
    ids, chosen = batch.targets.numpy(), batch.weights.numpy() > 0
    ordinary = ~data.masking.is_special[ids]
    starts = words_of(trained(kind)).starts(ids) | ~ordinary
    starts[:, 1:] |= ~ordinary[:, :-1]
    word = np.cumsum(starts, 1) + 10_000 * np.arange(len(ids))[:, None]
    chosen_of = {}
    for number, hidden in zip(word[ordinary].tolist(), chosen[ordinary].tolist(), strict=True):
        assert chosen_of.setdefault(number, hidden) == hidden  # all pieces or none
    assert near(sum(chosen_of.values()), len(chosen_of), 0.15)
    assert not chosen[~ordinary].any()
    pieces = np.bincount(np.unique(word[ordinary], return_counts=True)[1])
    assert pieces[2:].sum() > 0.1 * pieces.sum()  # the corpus has words of several pieces


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_eighty_ten_ten(data_of, unit) -> None:
    data = data_of(unit=unit)
    batch = everything(data, 8)
    chosen = batch.weights > 0
    shown, asked = batch.inputs.ids[chosen], batch.targets[chosen]
    n = len(asked) / (6 if unit == "span" else 1)  # a span's tokens share their fate: as many draws as spans
    drawn = 1 - 1 / 388  # a random token is the old one by chance
    assert near((shown == data.masking.mask).double().mean() * n, n, 0.8)
    assert near(((shown != data.masking.mask) & (shown != asked)).double().mean() * n, n, 0.1 * drawn)
    assert not data.masking.is_special[shown[shown != data.masking.mask]].any()
    assert torch.equal(batch.inputs.ids[~chosen], batch.targets[~chosen])


def test_span_lengths_are_spanberts() -> None:
    """Geo(0.2) up to 10, with the mean 3.8 (Joshi et al. 2020, §3.1 and figure 2)."""
    shares = span_shares()
    assert (shares * np.arange(1, 11)).sum() == pytest.approx(3.797, abs=0.001)
    lengths = Masking(trained("wordpiece"), 0.15, (0.8, 0.1, 0.1), "span").span_lengths(np.arange(200_000, dtype=np.uint64))
    counts = np.bincount(lengths, minlength=11)
    assert counts[0] == 0 and len(counts) == 11
    assert all(near(counts[i + 1], len(lengths), shares[i]) for i in range(10))


@pytest.mark.parametrize("kind", KINDS)
def test_spans_of_whole_words_up_to_the_budget(data_of, kind) -> None:
    data = data_of(kind, unit="span")
    batch = everything(data, 2)
    ids, chosen = batch.targets.numpy(), batch.weights.numpy() > 0
    ordinary = ~data.masking.is_special[ids]
    budget = 0.15 * ordinary.sum(1)
    starts = words_of(trained(kind)).starts(ids) | ~ordinary
    starts[:, 1:] |= ~ordinary[:, :-1]
    word = np.cumsum(starts, 1)
    longest = max(np.bincount(row[o]).max() for row, o in zip(word, ordinary, strict=True))
    over = chosen.sum(1) - budget
    assert (abs(over) <= longest / 2).all() and abs(over.mean()) < 0.5  # all or nothing of a word, whichever is nearer
    inner = chosen[:, 1:] != chosen[:, :-1]
    assert starts[:, 1:][inner].all()  # a span begins and ends with words
    assert not chosen[~ordinary].any()


def choose(data: Masked, epochs: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(chosen, fate, document) of all rows: a fate is a span's own, so that it names the span."""
    n = len(data)
    rows = data._rows.make(np.tile(np.arange(n), epochs), np.repeat(np.arange(epochs), n), 0)
    chosen, fate = data.masking.choose(rows.ids, rows.keys, rows.allowed, rows.breaks)
    return chosen, fate, rows.breaks.cumsum(1)


def test_a_spans_tokens_share_their_fate_and_lie_together(data_of) -> None:
    data = data_of(unit="span")
    chosen, fate, _ = choose(data)
    assert len(chosen) > 50
    for row, fates in zip(chosen, fate, strict=True):
        at = np.flatnonzero(row)
        fates = fates[at]
        spans = len(set(fates.tolist()))
        assert spans < len(at)  # more than a token each, and as many runs as spans but where one was cut in two
        assert (fates[1:] != fates[:-1]).sum() + 1 <= spans + 2


def test_spans_stay_within_documents(corpus_of) -> None:
    """Spans of up to ten words in documents of four."""
    tokenizer = trained("wordpiece")
    lines = [" ".join(text.split()[:4]) for text in documents()]
    file = corpus_of(encoded(tokenizer, lines, eos=False), tokenizer.vocab_size, specials(tokenizer))
    chosen, fate, document = choose(Masked(file, 64, tokenizer, unit="span", rate=0.4), 40)
    for row, fates, documents_ in zip(chosen, fate, document, strict=True):
        for one in set(fates[row].tolist()):
            assert len(set(documents_[row & (fates == one)].tolist())) == 1


def test_the_same_units_for_every_rank_and_row(data_of) -> None:
    for unit in ("word", "span"):
        data = data_of(unit=unit)
        one, more = data.make(np.array([9]), 5, 0), data.make(np.array([4, 9]), np.array([0, 5]), 0)
        assert torch.equal(one.weights[0], more.weights[1]) and torch.equal(one.inputs.ids[0], more.inputs.ids[1])


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_replaced_token_detection_finds_all_it_needs(data_of, unit) -> None:
    """Originals at every place, special tokens told by their ids, real places told by positions; a generator's
    answer put at the places with weight is the discriminator's input."""
    data = data_of(unit=unit, documents=True)
    batch = everything(data)
    tokenizer = trained("wordpiece")
    special = torch.from_numpy(data.masking.is_special)[batch.targets]
    assert bool(special[:, 0].all()) and bool(special[:, -1].all()) and not bool((batch.weights[special] > 0).any())
    assert not bool((batch.targets == tokenizer.mask).any())  # nothing hidden is left in the originals
    assert batch.inputs.pos is not None and bool((batch.inputs.pos >= 0).all())
    corrupted = torch.where(batch.weights > 0, batch.targets, batch.inputs.ids)
    assert torch.equal(corrupted, batch.targets)  # a perfect generator gives the original text


def test_no_such_unit(data_of) -> None:
    with pytest.raises(ConfigError, match="token | word | span"):
        data_of(unit="sentence")
