"""When a row ends, and what of its text may be shown: whole characters, and never a part of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from .options import Options

if TYPE_CHECKING:
    from ..text import Tokenizer

Reason = Literal["eos", "stop", "length"]
_CONTEXT = 8  # prompt tokens a stream reads first, so that it knows whether a space stands before the first new one


class Limits(Options):
    """A row ends with an id of `eos`, with a text of `stop`, or after `max_tokens` tokens. first: the id every answer begins
    with; last: the one that stands at the place `max_tokens` of an answer that gets so far; None: the model's choice."""

    max_tokens: int = Field(default=64, ge=1)
    stop: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field(default=(), max_length=64)
    eos: frozenset[int] = frozenset()
    first: int | None = None
    last: int | None = None

    def forced(self, place: int) -> int | None:
        """The id that has to stand at a place of an answer, counted from 0."""
        return self.last if self.last is not None and place == self.max_tokens - 1 else self.first if place == 0 else None

    def ending(self, length: int) -> Reason:
        """Why an answer ended whose eos is its token number `length`: a forced one is no choice of the model's."""
        return "length" if self.last is not None and length == self.max_tokens else "eos"


class StopStrings:
    """Text goes in piece by piece; what comes out can no longer become a stop string.

    The stop string that is complete first counts (of two with one end, the longer), however the text is cut up.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops, self._held = tuple(stops), ""
        self._longest = max(map(len, self.stops), default=0)

    def push(self, text: str) -> tuple[str, bool]:
        """(text to show, whether a stop string was met); after it nothing more comes."""
        text = self._held + text
        found = [(at + len(stop), at) for stop in self.stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)[1]], True
        cut = len(text)
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self.stops):
                cut = len(text) - size
                break
        self._held = text[cut:]
        return text[:cut], False

    def flush(self) -> str:
        """What was held back and turned out harmless."""
        text, self._held = self._held, ""
        return text


@dataclass(frozen=True)
class Generation:
    """One answer. text: what was written after the prompt, None without a tokenizer; ids: prompt and answer of a
    decoder, the answer alone of an encoder–decoder; new_ids: the answer's tokens, the eos not among them; reason: why
    it ended; seed: repeats it; score: of a beam search, log-probability in nats over the length penalty."""

    text: str | None
    ids: list[int]
    new_ids: list[int]
    reason: Reason
    prompt: str | None = None
    seed: int | None = None
    score: float | None = None

    def __str__(self) -> str:
        return self.text if self.text is not None else " ".join(map(str, self.new_ids))


class Row:
    """One answer as it grows: new ids (an eos is not one of them), text pieces, and why it ended."""

    def __init__(self, limits: Limits, tokenizer: Tokenizer | None = None, prompt: Sequence[int] = ()) -> None:
        self.limits = limits
        self.ids: list[int] = []
        self.pieces: list[str] = []
        self.reason: Reason | None = None
        self._stops = StopStrings(limits.stop)
        self._stream = tokenizer.stream() if tokenizer is not None else None
        if self._stream is not None:
            for number in prompt[-_CONTEXT:]:
                self._stream.push(number)

    @property
    def text(self) -> str | None:
        """The text so far; None without a tokenizer."""
        return None if self._stream is None else "".join(self.pieces)

    def push(self, number: int) -> str:
        """Take the next id; returns the text that may now be shown."""
        if number in self.limits.eos:
            return self.end(self.limits.ending(len(self.ids) + 1))
        self.ids.append(number)
        piece = ""
        if self._stream is not None:
            piece, met = self._stops.push(self._stream.push(number))
            self.pieces.append(piece)
            if met:
                self.reason = "stop"
        if self.reason is None and len(self.ids) == self.limits.max_tokens:
            piece += self.end("length")
        return piece

    def end(self, reason: Reason) -> str:
        """End the row; returns the text that was held back."""
        self.reason = reason
        if self._stream is None:
            return ""
        piece, met = self._stops.push(self._stream.flush())
        if met:
            self.reason = "stop"
        piece += self._stops.flush()
        self.pieces.append(piece)
        return piece
