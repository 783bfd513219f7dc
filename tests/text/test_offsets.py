"""Where tokens stand: spans beside those of the library and of transformers, and words beside sub-words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.errors import TokenizerError
from polyhead.text import Tokenizer
from polyhead.text.offsets import by_word, words_of

from .models import BPE, UNIGRAM, folder

TEXTS = ("The lamp in the harbour was lit.", "  früher — “it burns,”  \n said Anna", "灯台の灯 doesn't\u3000matter x=[1]", "e\u0301a \ufb01ne Ｌamp", "▁a ▁b", "")


def spelled(tokenizer: Tokenizer, text: str) -> list[str]:
    (row,) = tokenizer.encode_offsets([text])
    assert row.ids == tokenizer.encode(text)
    assert all(0 <= begin <= end <= len(text) for begin, end in row.spans)
    begins = [begin for begin, end in row.spans if begin < end]
    assert begins == sorted(begins)
    return [text[begin:end] for begin, end in row.spans]


@pytest.mark.parametrize("text", TEXTS)
def test_spans_cover_every_letter_in_order(tokenizer: Tokenizer, text: str) -> None:
    parts = spelled(tokenizer, text)
    assert not any(part != part.strip() for part in parts)
    reached = set()
    (row,) = tokenizer.encode_offsets([text])
    for begin, end in row.spans:
        reached |= set(range(begin, end))
    missed = {text[i] for i in set(range(len(text))) - reached if not text[i].isspace()}
    assert missed <= {"▁", "\u0301"}


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_any_text_has_spans(trained: dict[str, Tokenizer], text: str) -> None:
    for name in ("wordpiece-lower", "byte_bpe", "sentencepiece", "unigram"):
        try:
            text.encode()
        except UnicodeEncodeError:
            return
        spelled(trained[name], text)


def test_tokens_of_a_word_are_its_parts(trained: dict[str, Tokenizer]) -> None:
    assert "".join(spelled(trained["wordpiece"], "harbour lamp")) == "harbourlamp"
    assert "".join(spelled(trained["byte_bpe"], " harbour  lamp")) == "harbourlamp"


@pytest.mark.parametrize("model", [UNIGRAM, BPE], ids=["unigram", "bpe"])
def test_a_front_leads_back_to_the_text(tmp_path, model: bytes) -> None:
    tokenizer = Tokenizer.load(folder(tmp_path, {"tokenizer.model": model}, "LlamaTokenizer" if model is BPE else "T5Tokenizer"))
    text = "the  lamp   the a"
    (row,) = tokenizer.encode_offsets([text])
    assert row.ids == tokenizer.encode(text)
    assert "".join(text[begin:end] for begin, end in row.spans) == "thelampthea"


def test_a_rule_that_makes_two_letters_of_one_keeps_its_place() -> None:
    from polyhead.text.offsets import _aligned

    wide = {"ﬁ": "fi", "Ａ": "A"}
    letters = lambda letter: wide.get(letter, "" if letter.isspace() else letter)  # noqa: E731
    assert _aligned("ﬁ Ａ", "▁fi▁A", letters) == [(0, 0), (0, 1), (0, 1), (2, 2), (2, 3)]
    composed = _aligned("ab e\u0301 c", "▁ab▁é▁c", letters)
    assert [composed[i] for i in (1, 2, 4, 6)] == [(0, 2), (0, 2), (3, 5), (6, 7)]  # word by word
    assert _aligned("a b", "▁abc", letters) == [(0, 3)] * 4  # words joined: anywhere


def test_spans_are_those_of_transformers(tmp_path, trained: dict[str, Tokenizer]) -> None:
    from transformers import PreTrainedTokenizerFast

    for name in ("wordpiece", "wordpiece-lower", "byte_bpe"):
        trained[name].save(tmp_path / name)
        other = PreTrainedTokenizerFast.from_pretrained(tmp_path / name)
        for text in TEXTS[:3]:
            found = other(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
            (row,) = trained[name].encode_offsets([text])
            bare = [(b + len(text[b:e]) - len(text[b:e].lstrip()), b + len(text[b:e].rstrip())) if text[b:e].strip() else None for b, e in found]
            assert [span for span in bare if span] == [span for span in row.spans if span[0] < span[1]]


# ---------------------------------------------------------------- words


def test_words_are_split_as_berts_tokenizer_splits_them() -> None:
    from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer

    plain = BasicTokenizer(do_lower_case=False)
    for text in ("Anna's lamp, (it) burns… 3.5%!", "a_b 灯台の x=[i]", "नमस्ते दुनिया", "“é” e-mail"):
        assert [text[begin:end] for begin, end in words_of(text)] == plain.tokenize(text), text


WORDS = ["The", "harbour", "was", "früher", "—", "灯台の", "doesn't", "x", "🙂", ",", "zzzqqq"]


def test_every_word_has_tokens_and_they_rise(tokenizer: Tokenizer) -> None:
    (row,) = tokenizer.encode_words([WORDS])
    assert set(row.words) == set(range(len(WORDS))) and row.words == sorted(row.words) and len(row.ids) == len(row.words)
    if tokenizer.kind not in ("words", "chars") and "whole" not in str(tokenizer):
        own = [[n for n, word in zip(row.ids, row.words, strict=True) if word == i] for i in range(len(WORDS))]
        assert all(own)


def test_a_word_of_nothing_becomes_unk(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["wordpiece"]
    (row,) = tokenizer.encode_words([["The", "\u200b", "lamp"]])
    at = row.words.index(1)
    assert row.ids[at] == tokenizer.unk and row.words.count(1) == 1
    with pytest.raises(TokenizerError, match="blank"):
        tokenizer.encode_words([["The", " "]])


def test_a_token_never_reaches_over_two_words(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["byte_bpe-whole"]  # its merges cross blanks
    (row,) = tokenizer.encode_words([["the", "harbour", "was", "lit"]])
    assert set(row.words) == {0, 1, 2, 3}
    text = ["".join(tokenizer.decode([n]) for n, w in zip(row.ids, row.words, strict=True) if w == i).strip() for i in range(4)]
    assert text == ["the", "harbour", "was", "lit"]


def test_words_of_tokens() -> None:
    assert by_word([(0, 3), (3, 5), (6, 6), (6, 9), (9, 10)], [(0, 5), (6, 9), (9, 10)]) == [0, 0, 0, 1, 2]
