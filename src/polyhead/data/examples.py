"""What a source may hold beside text and pairs: one record type per kind, read by `Source.examples()`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .pieces import Pair


class Labelled(NamedTuple):
    """A text, or two, and what is to be said of it: one class, several classes, or a number."""

    text: str
    second: str | None
    label: str | tuple[str, ...] | float


class Tagged(NamedTuple):
    """A sentence: its words, and one tag for each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


class Question(NamedTuple):
    """A question about a context. answers: (text, place of its first character in `context`); () = there is none."""

    id: str
    context: str
    question: str
    answers: tuple[tuple[str, int], ...]


class Chat(NamedTuple):
    """A conversation. Each message holds `role` (system, user, assistant, tool) and `content`; `untrained`, where nothing
    is to be learned from it. tools: JSON text of those that the assistant may call, or ""."""

    messages: tuple[dict[str, str], ...]
    tools: str = ""


class Preference(NamedTuple):
    """A conversation that waits for the assistant, and two answers of which one was preferred. tools: as of a Chat."""

    messages: tuple[dict[str, str], ...]
    chosen: str
    rejected: str
    tools: str = ""


class Picture(NamedTuple):
    """A picture and its class. image: uint8 (H, W) or (H, W, 3)."""

    name: str
    image: np.ndarray
    label: str


Example = Labelled | Tagged | Question | Chat | Preference | Picture

KINDS = {
    "text": "document",
    "pairs": "pair",
    "labelled": "labelled text",
    "tagged": "tagged sentence",
    "questions": "question",
    "chat": "conversation",
    "preferences": "preference",
    "images": "picture",
}
"""Every kind of source, and what one of its records is called."""


def texts(record: Pair | Example) -> Iterator[str]:
    """The texts of a record, one after the other: what a tokenizer is trained on. A picture has none."""
    match record:
        case Pair():
            yield from record
        case Labelled(text, second, _):
            yield text
            if second is not None:
                yield second
        case Tagged(words, _):
            yield " ".join(words)
        case Question(_, context, question, _):
            yield context
            yield question
        case Chat(messages, _):
            yield from (message["content"] for message in messages)
        case Preference(messages, chosen, rejected, _):
            yield from (message["content"] for message in messages)
            yield chosen
            yield rejected
