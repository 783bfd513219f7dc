"""Ends of answers: stop strings never show, characters come whole."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.errors import ConfigError
from polyhead.generate import Limits, Row, StopStrings
from polyhead.text import Tokenizer

from .nets import byte_tokenizer

TOKENIZER = byte_tokenizer()


def cut_by_hand(text: str, stops: list[str]) -> tuple[str, bool]:
    """Character by character: the first stop string that is complete ends the text, the longest of those."""
    for end in range(1, len(text) + 1):
        met = [stop for stop in stops if text[:end].endswith(stop)]
        if met:
            return text[: end - max(map(len, met))], True
    return text, False


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text("ab\n", max_size=4), max_size=8),
    st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_stop_strings_cut_the_same_text_however_it_comes(pieces: list[str], stops: list[str]) -> None:
    watch, shown, met = StopStrings(stops), "", False
    wanted, meets = cut_by_hand("".join(pieces), stops)
    for piece in pieces:
        more, met = watch.push(piece)
        shown += more
        assert wanted.startswith(shown)  # nothing shown had to be taken back
        if met:
            break
    else:
        shown += watch.flush()
    assert (shown, met) == (wanted, meets)


def test_a_stop_string_over_several_tokens_is_never_shown_in_part() -> None:
    row = Row(Limits(max_tokens=99, stop=("<end>",)), TOKENIZER)
    pieces = []
    for number in TOKENIZER.encode("a <en b <end> c"):
        pieces.append(row.push(number))
        if row.reason:
            break
    assert row.text == "".join(pieces) == "a <en b " and row.reason == "stop"
    assert TOKENIZER.decode(row.ids) == "a <en b <end>"  # the ids are what was generated
    assert pieces == ["a", " ", "", "", "", "<en ", "b", " ", "", "", "", "", ""]  # held back; let go as harmless


def test_text_held_back_at_the_end_is_shown() -> None:
    row = Row(Limits(max_tokens=3, stop=("abcd",)), TOKENIZER)
    pieces = [row.push(number) for number in TOKENIZER.encode("abc")]
    assert pieces == ["", "", "abc"] and row.reason == "length"
    row = Row(Limits(max_tokens=9, stop=("abcd",), eos=frozenset({TOKENIZER.eos})), TOKENIZER)
    pieces = [row.push(number) for number in [*TOKENIZER.encode("xab"), TOKENIZER.eos]]
    assert pieces == ["x", "", "", "ab"] and row.reason == "eos" and row.text == "xab"
    assert TOKENIZER.eos not in row.ids


def test_b34_streaming_never_splits_a_character() -> None:
    text = "a€😀e\u0301\u200d👩\u200d🚀ß"
    row = Row(Limits(max_tokens=999), TOKENIZER)
    pieces = [row.push(number) for number in TOKENIZER.encode(text)]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) == text and len([p for p in pieces if p]) == len(text)


def test_b34_a_broken_character_is_told_once_and_nothing_is_repeated() -> None:
    euro = TOKENIZER.encode("€")
    row = Row(Limits(max_tokens=6), TOKENIZER)
    pieces = [row.push(number) for number in [*TOKENIZER.encode("a"), *euro[:2], *TOKENIZER.encode("bc"), euro[0]]]
    assert "".join(pieces) == row.text == "a\ufffdbc\ufffd"


@pytest.mark.filterwarnings("ignore:the corpus supports")
@pytest.mark.parametrize("kind", ["words", "byte_bpe", "bpe", "wordpiece", "unigram", "sentencepiece"])
def test_b33_the_space_between_prompt_and_answer_is_kept(kind: str) -> None:
    """Decoders that treat a text's first token in their own way: an answer's first token is not a text's first."""
    tokenizer = Tokenizer.train(["hello world here we are"] * 20, kind, vocab_size=300)
    prompt, whole = tokenizer.encode("hello"), tokenizer.encode("hello world here")
    assert whole[: len(prompt)] == prompt
    row = Row(Limits(max_tokens=99), tokenizer, prompt)
    pieces = [row.push(number) for number in whole[len(prompt) :]]
    assert "".join(pieces) + row.end("length") == " world here"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"stop": tuple(map(str, itertools.repeat("x", 10**5)))}, "stop"),
        ({"stop": (7,)}, "stop"),
    ],
)
def test_h91_h94_limits_out_of_range_are_refused(options: dict, field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        Limits(**options)
