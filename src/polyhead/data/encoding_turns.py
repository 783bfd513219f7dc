"""Conversations and preferences → the columns of an ExampleFile, by the tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, TokenizerError
from ..text.turns import encode_answers, encode_turns
from .examplefile import ExampleWriter
from .examples import Chat, Preference
from .tally import Tally

if TYPE_CHECKING:
    from ..text import Tokenizer
    from .sources import Source

Adding = Callable[[ExampleWriter, list[Any], int], int]
Done = Callable[[ExampleWriter], dict[str, Any]]


class _Refused:
    """Counts what the template refuses, names it, and stops when it is too much, as broken rows do."""

    def __init__(self, source: Source, what: str) -> None:
        self._tally, self._what = Tally(source.max_bad), what

    def kept(self, found: Sequence[Any], at: int) -> list[Any]:
        """What was encoded of a group that begins with number `at`."""
        kept = []
        for place, one in enumerate(found):
            if isinstance(one, TokenizerError):
                self._tally.wrong(f"{self._what} {at + place + 1}", f"{one.message} ({one.received})" if one.received else one.message)
            else:
                self._tally.good += 1
                kept.append(one)
        return kept

    def done(self, writer: ExampleWriter) -> dict[str, Any]:
        """The facts. Raises DataError if too much was refused."""
        self._tally.judge()
        return {"notes": self._tally.notes()}


def chats(source: Source, tokenizer: Tokenizer, given: Sequence[str] | None) -> tuple[Adding, Done]:
    """Ragged `text`, ids, and `trained`, 1 where the assistant says them. A conversation may give several examples."""
    refused = _unlabelled(source, given, "conversation")

    def add(writer: ExampleWriter, group: list[Chat], at: int) -> int:
        found = refused.kept(encode_turns(tokenizer, [(one.messages, one.tools) for one in group]), at)
        turns = [turn for one in found for turn in one]
        writer.ragged("text", (turn.ids for turn in turns))
        writer.ragged("trained", (turn.trained for turn in turns), np.uint8)
        return len(turns)

    return add, refused.done


def preferences(source: Source, tokenizer: Tokenizer, given: Sequence[str] | None) -> tuple[Adding, Done]:
    """Ragged `prompt`, `chosen` and `rejected`, the answers with the end of their turn."""
    refused = _unlabelled(source, given, "preference")

    def add(writer: ExampleWriter, group: list[Preference], at: int) -> int:
        asked = [(one.messages, (one.chosen, one.rejected), one.tools) for one in group]
        found = refused.kept(encode_answers(tokenizer, asked), at)
        writer.ragged("prompt", (prompt for prompt, _ in found))
        for side, name in enumerate(("chosen", "rejected")):
            writer.ragged(name, (answers[side] for _, answers in found))
        return len(found)

    return add, refused.done


def _unlabelled(source: Source, given: Sequence[str] | None, what: str) -> _Refused:
    if given is not None:
        raise DataError(f"a {what} has no label", expected="labels=None", received=f"{len(given)} labels")
    return _Refused(source, what)
