"""Training: sizes, options, streams, repeatability."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from polyhead.errors import DataError, TokenizerError
from polyhead.text import KINDS, SmallCorpusWarning, Tokenizer
from polyhead.text.training import _segments
from tests.text.conftest import CORPUS, LINES, VARIANTS, make


@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_texts_give_the_same_file(name: str, trained: dict[str, Tokenizer]) -> None:
    assert make(name).fingerprint == trained[name].fingerprint


@pytest.mark.parametrize("name", VARIANTS)
def test_an_endless_stream_is_read_only_as_far_as_asked(name: str) -> None:
    taken = 0

    def endless():
        nonlocal taken
        for line in itertools.cycle(LINES):
            taken += len(line)
            yield line

    kind, size, options = VARIANTS[name]
    Tokenizer.train(endless(), kind, size, sample_chars=20_000, **options)
    assert taken < 20_000 + max(map(len, LINES))


@pytest.mark.parametrize("name", VARIANTS)
def test_one_text_or_many_pieces_of_it_train_alike(name: str, trained: dict[str, Tokenizer]) -> None:
    pieces = make(name, iter(CORPUS.splitlines(keepends=True)))
    assert pieces.vocab_size == trained[name].vocab_size
    if "byte_bpe" not in name:  # whose words may hold a line end and the space after it
        assert set(pieces) == set(trained[name])


def test_a_text_of_one_long_word_is_cut() -> None:
    segments = list(_segments(["ab" * 50_000], 10**9, 4096))
    assert "".join(segments) == "ab" * 50_000 and max(map(len, segments)) <= 4096
    for kind in KINDS:
        Tokenizer.train(["ab" * 20_000], kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [[], [""], "", ["", ""]])
def test_h69_no_text_is_an_error(kind: str, texts: object) -> None:
    with pytest.raises(DataError, match="no text"):
        Tokenizer.train(texts, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["a", "\n\n\n", "\0", " ", "灯"])
def test_h70_h71_the_smallest_texts_train(kind: str, text: str) -> None:
    tokenizer = Tokenizer.train([text], kind)
    assert tokenizer.lossless == (kind in ("bytes", "byte_bpe", "sentencepiece"))
    for other in (text, "never seen"):
        assert not tokenizer.lossless or tokenizer.decode(tokenizer.encode(other)) == other


@pytest.mark.parametrize(
    ("kind", "size", "needed"),
    [("byte_bpe", 100, "262"), ("bpe", 20, "at least"), ("wordpiece", 20, "at least"), ("unigram", 20, "at least"),
     ("sentencepiece", 100, "264"), ("chars", 20, "at least"), ("bytes", 300, "262"), ("words", 7, "more than")],
)  # fmt: skip
def test_a_size_without_room_for_the_alphabet(kind: str, size: int, needed: str) -> None:
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.train([CORPUS], kind, size)
    assert needed in str(caught.value.expected) and str(size) in str(caught.value)


@pytest.mark.parametrize(("kind", "size"), [("bpe", None), ("wordpiece", None), ("unigram", None), ("chars", None)])
def test_the_size_named_as_the_least_is_enough(kind: str, size: int | None) -> None:
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.train([CORPUS], kind, 10)
    least = int(str(caught.value.change).split("vocab_size=")[1].split()[0])
    assert Tokenizer.train([CORPUS], kind, least).vocab_size == least
    with pytest.raises(TokenizerError):
        Tokenizer.train([CORPUS], kind, least - 1)


@pytest.mark.parametrize("kind", ["words", "byte_bpe", "bpe", "wordpiece", "unigram", "sentencepiece"])
def test_a_size_beyond_the_corpus_says_what_it_got(kind: str) -> None:
    with pytest.warns(SmallCorpusWarning, match="not 50000") as caught:
        tokenizer = Tokenizer.train([CORPUS], kind, 50_000)
    assert f"of {tokenizer.vocab_size} tokens" in str(caught[0].message)
    with pytest.raises(TokenizerError, match=f"of {tokenizer.vocab_size} tokens"):
        Tokenizer.train([CORPUS], kind, 50_000, exact=True)


@pytest.mark.parametrize("name", ["chars-bytes", "sentencepiece", "sentencepiece-bpe"])
def test_rare_characters_are_spelled_in_bytes_when_there_is_no_room(name: str) -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 2000))) + CORPUS * 2
    kind, _size, options = VARIANTS[name]
    tokenizer = Tokenizer.train([many], kind, 420, **options)
    assert tokenizer.vocab_size == 420 and tokenizer.lossless
    assert tokenizer.decode(tokenizer.encode(many)) == many


@pytest.mark.parametrize("name", VARIANTS)
def test_h58_h61_special_and_byte_tokens_are_not_learnt_from_text(name: str) -> None:
    text = "<bos> a<eos>b <0x0A> <0x0A><0x0A> x<unk>y <pad><pad> " * 200
    tokenizer = make(name, [text])
    ids = tokenizer.encode(text)
    assert not (tokenizer.special - {tokenizer.unk}) & set(ids)
    assert not tokenizer.lossless or tokenizer.decode(ids) == text
    assert sum(token == "<bos>" for token in tokenizer) == 1


def test_special_tokens_of_ones_own() -> None:
    tokenizer = Tokenizer.train([CORPUS], "byte_bpe", 300, special=["<|endoftext|>", "<|user|>"])
    assert tokenizer.eos == 0 and tokenizer.special == {0, 1} and tokenizer.bos is None
    assert not tokenizer.special & set(tokenizer.encode("<|user|><|endoftext|>"))
    for bad in (["x"], ["a b"], ["<a>", "<a>"], ["<0x0A>"]):
        with pytest.raises(TokenizerError, match="special token"):
            Tokenizer.train([CORPUS], "byte_bpe", 300, special=bad)
    with pytest.raises(TokenizerError, match="needs the special token <unk>"):
        Tokenizer.train([CORPUS], "words", special=["<pad>"])


def test_wrong_kinds_and_options_are_named() -> None:
    with pytest.raises(TokenizerError, match="did you mean 'wordpiece'"):
        Tokenizer.train([CORPUS], "wordpeice")
    for kind, options in (("bytes", {"min_frequency": 2}), ("chars", {"backend": "bpe"}), ("bpe", {"sise": 3})):
        with pytest.raises(TokenizerError, match="does not apply"):
            Tokenizer.train([CORPUS], kind, **options)
    with pytest.raises(TokenizerError, match="a value it cannot take"):
        Tokenizer.train([CORPUS], "sentencepiece", backend="words")
    with pytest.raises(TokenizerError, match="min_frequency"):
        Tokenizer.train([CORPUS], "bpe", min_frequency=0)
    with pytest.raises(TokenizerError, match="vocab_size"):
        Tokenizer.train([CORPUS], "bpe", -5)
    with pytest.raises(TokenizerError, match="must be strings"):
        Tokenizer.train([b"bytes"], "bpe")  # type: ignore[list-item]
    with pytest.raises(TokenizerError, match="lone surrogate"):
        Tokenizer.train(["a\ud800"], "byte_bpe")


@pytest.mark.parametrize("kind", KINDS)
def test_sentinels_are_special_tokens_after_the_usual_ones(kind: str, tmp_path: Path) -> None:
    plain, tokenizer = (Tokenizer.train(["some text, some words"], kind, sentinels=n) for n in (0, 12))
    first = min(i for i in range(plain.vocab_size) if i not in plain.special)
    assert tokenizer.sentinels == tuple(range(first, first + 12)) and plain.sentinels == ()
    assert tokenizer.special == plain.special | set(tokenizer.sentinels)
    assert tokenizer.vocab_size == plain.vocab_size + 12
    assert not set(tokenizer.encode("<extra_id_0> text")) & set(tokenizer.sentinels)
    assert Tokenizer.load(tokenizer.save(tmp_path / kind)).sentinels == tokenizer.sentinels


def test_sentinels_of_ones_own_are_not_doubled_and_wrong_counts_are_named() -> None:
    tokenizer = Tokenizer.train(["text"], "bytes", special=["<eos>", "<extra_id_1>"], sentinels=2)
    assert tokenizer.sentinels == (2, 1)
    for wrong in (-1, 10**6, "many"):
        with pytest.raises(TokenizerError, match="sentinels"):
            Tokenizer.train(["text"], "bytes", sentinels=wrong)
