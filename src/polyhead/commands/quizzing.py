"""polyhead lab quiz: asks, waits, shows; who knew it is counted, and what to read again is said at the end.

Answers are lines of standard input: at a terminal, from a pipe or from a file. When the input ends, the questions that are left
are shown with their answers and counted neither way.
"""

from __future__ import annotations

import random
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from polyhead.errors import UserError
from polyhead.lab.finding import package
from polyhead.lab.pages import TOPICS, Page, read_pages

from .output import emit, is_terminal, say

WIDTH = 88
KEYS = "y = knew it, n = did not, d = deeper, q = quit"


@dataclass
class Talk:
    """One side speaks (to standard error where standard output is JSON), the other's lines come from standard input."""

    quiet: bool
    shown: bool = field(default_factory=lambda: is_terminal(sys.stdin))
    ended: bool = False

    def say(self, text: str = "") -> None:
        say(text, to=sys.stderr if self.quiet else sys.stdout)

    def hear(self, prompt: str) -> str:
        """The next line, stripped and small; empty when the input has ended."""
        if self.ended:
            return ""
        if self.shown:
            print(prompt, end="", file=sys.stderr if self.quiet else sys.stdout, flush=True)
        line = sys.stdin.readline()
        self.ended = not line
        if self.shown and self.ended:
            self.say()
        return line.strip().lower()


def run_quiz(topic: str | None, number: int, seed: int | None, as_json: bool) -> int:
    pages, known = choose(topic, number, seed), {}
    talk = Talk(as_json)
    for place, page in enumerate(pages, start=1):
        talk.say(f"{place} of {len(pages)} · {page.topic}")
        talk.say(page.question)
        if talk.hear("Enter shows the answer ") == "q":
            break
        talk.say("\n" + wrapped(page.answer))
        answer = _judged(page, talk)
        talk.say()
        if answer == "q":
            break
        if answer:
            known[page.id] = answer == "y"
    again = [page for page in pages if known.get(page.id) is False]
    if as_json:
        rows = [{"id": p.id, "topic": p.topic, "question": p.question, "answer": p.answer, "known": known.get(p.id)} for p in pages]
        emit({"questions": rows, "known": sum(known.values()), "asked": len(known), "again": [page.id for page in again]})
        return 0
    _tally(talk, known, again, len(pages))
    return 0


def choose(topic: str | None, number: int, seed: int | None) -> list[Page]:
    """Some pages in a random order; of one topic, where one is named."""
    if topic is not None and topic not in TOPICS:
        raise UserError(f"there is no topic {topic!r}", expected="one of " + ", ".join(TOPICS), received=topic, change="polyhead lab quiz --topic attention")
    pages = [page for page in read_pages() if topic in (None, page.topic)]
    if not pages:
        raise UserError(f"the book has no page on {topic}", change="choose another topic")
    return random.Random(seed).sample(pages, min(number, len(pages)))


def _judged(page: Page, talk: Talk) -> str:
    """y, n or q; empty when the input has ended. d shows one more depth each time, until there is none."""
    deeper = _depths(page)
    while True:
        heard = talk.hear(f"\n{KEYS}: ")
        if talk.ended or heard in ("y", "n", "q"):
            return "" if talk.ended else heard
        if heard == "d":
            talk.say("\n" + next(deeper, "That is all the page has."))
        else:
            talk.say(KEYS)


def _depths(page: Page) -> Iterator[str]:
    for name in ("basic", "intermediate", "advanced"):
        yield f"{name.capitalize()}\n{wrapped(getattr(page, name))}"
    if page.wrong:
        yield "Often said\n" + "\n".join(wrapped(f"“{one.said}” {one.why}") for one in page.wrong)
    if measured := [f"  polyhead lab show {claim}" for claim in page.claims if claim in package()]:
        yield "\n".join(["Measured", *measured])


def wrapped(text: str) -> str:
    """Paragraphs and lists of a page in lines of a terminal's width, without the marks of bold and code."""
    out = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        for item in re.split(r"\n(?=- )", re.sub(r"\*\*|`", "", paragraph)):
            inner = "    " if item.startswith("- ") else "  "
            out.append(textwrap.fill(" ".join(item.split()), WIDTH, initial_indent="  ", subsequent_indent=inner, break_on_hyphens=False))
        out.append("")
    return "\n".join(out[:-1])


def _tally(talk: Talk, known: dict[str, bool], again: list[Page], number: int) -> None:
    if not known:
        talk.say(f"{number} questions, none answered")
        return
    talk.say(f"known: {sum(known.values())} of {len(known)}")
    if again:
        talk.say("read again:")
        for page in again:
            talk.say(f"  {page.question} ({page.topic})")
