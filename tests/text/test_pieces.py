"""Streaming: whole characters only, and the same text as decoding at once."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.errors import TokenizerError
from polyhead.text import Tokenizer
from polyhead.text.pieces import build_pieces

PROPERTY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@PROPERTY
@given(data=st.data(), skip=st.booleans())
def test_b34_streaming_equals_decoding_for_any_ids(tokenizer: Tokenizer, data: st.DataObject, skip: bool) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=40))
    stream = tokenizer.stream(skip_special=skip)
    for _ in range(2):  # a flushed stream is fresh
        assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids, skip_special=skip)


@PROPERTY
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_b34_streaming_never_splits_a_character(lossless: Tokenizer, text: str) -> None:
    stream, written = lossless.stream(), ""
    for number in lossless.encode(text):
        written += stream.push(number)
        assert text.startswith(written)
    assert written == text and stream.flush() == ""


def test_b34_a_broken_character_comes_once(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["bytes"]
    first, *_ = tokenizer.encode("é")
    stream = tokenizer.stream()
    assert [stream.push(first), stream.push(first), stream.push(tokenizer.encode("a")[0])] == ["", "\ufffd", "\ufffda"]
    assert stream.push(first) == "" and stream.flush() == "\ufffd" and stream.flush() == ""


def test_h78_an_emoji_joined_of_many_arrives_whole(lossless: Tokenizer) -> None:
    stream = lossless.stream()
    parts = [stream.push(number) for number in lossless.encode("👩‍👩‍👧")]
    assert "".join(parts) == "👩‍👩‍👧" and "\ufffd" not in "".join(parts)


def test_a_stream_holds_nothing_of_what_it_wrote(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["sentencepiece"]
    ids = tokenizer.encode("The lamp 灯台 is lit. " * 20)

    def grown(times: int) -> int:
        stream = tokenizer.stream()
        tracemalloc.start()
        for _ in range(times):
            for number in ids:
                stream.push(number)
        size, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    grown(1)
    assert grown(20) < grown(2) + 2_000


def test_decoding_agrees_with_the_library(tokenizer: Tokenizer) -> None:
    for text in ("The lamp's light doesn't burn, früher — 4 5!", " two  spaces\n\nx = [i]", "灯台の灯は", "a"):
        ids = tokenizer.encode(text)
        assert tokenizer._engine.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids)


def test_ids_may_be_of_any_integer_type(trained: dict[str, Tokenizer]) -> None:
    import numpy as np

    tokenizer = trained["byte_bpe"]
    assert tokenizer.decode(np.array(tokenizer.encode("lamp"))) == "lamp"
    with pytest.raises(TypeError):
        tokenizer.decode([1.5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "decoder",
    [
        {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
        {"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""},
        {
            "type": "Sequence",
            "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": ""}],
        },
        {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 0, "stop": 1}]},
    ],
)
def test_decoders_that_look_across_tokens_are_refused(decoder: dict) -> None:
    with pytest.raises(TokenizerError, match="decoder"):
        build_pieces({"decoder": decoder}, {0: "a"}, frozenset())
