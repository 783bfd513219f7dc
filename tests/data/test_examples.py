"""The record types: what a tokenizer may learn from each, and that each kind has a name."""

import typing

import numpy as np
import pytest

from polyhead.data import examples
from polyhead.data.examples import Chat, Labelled, Picture, Preference, Question, Tagged
from polyhead.data.pieces import Pair

SAYS = ({"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Pair("a", "b"), ["a", "b"]),
        (Labelled("a", None, "x"), ["a"]),
        (Labelled("a", "b", 2.5), ["a", "b"]),
        (Tagged(("a", "b"), ("X", "Y")), ["a b"]),
        (Question("1", "the context", "why?", (("the", 0),)), ["the context", "why?"]),
        (Chat(SAYS), ["hello", "hi"]),
        (Preference(SAYS[:1], "yes", "no"), ["hello", "yes", "no"]),
        (Picture("p", np.zeros((2, 2), np.uint8), "cat"), []),
    ],
)
def test_texts_of_a_record(record, expected):
    assert list(examples.texts(record)) == expected


def test_labels_and_answers_are_no_text():
    """A tokenizer that learnt labels would know the answers' spelling."""
    assert "gold" not in "".join(examples.texts(Labelled("a", "b", "gold")))
    assert "gold" not in "".join(examples.texts(Question("1", "c", "q", (("gold", 0),))))


def test_every_kind_has_a_name():
    assert len(examples.KINDS) == len(typing.get_args(examples.Example)) + 2
