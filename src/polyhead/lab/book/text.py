"""The small Markdown of the book's texts: paragraphs, **bold**, *emphasis*, `code`, lists, tables and code blocks; nothing else.

HTML in a text is text. A claim's name, such as C10, is a link where the book has that claim.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from html import escape
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

_RULES = ("backticks", "emphasis", "escape", "fence", "list", "newline", "table")
NAMED = re.compile(r"\bC\d\d\b")
_CODE = re.compile(r"(```.*?```|`[^`]*`)", re.S)


class Span(NamedTuple):
    """A run of one look: "", "strong", "em" or "code"."""

    text: str
    look: str = ""


class Paragraph(NamedTuple):
    """mark: what stands before it, "•" or "1." for an item of a list. depth: how far it is set in."""

    spans: tuple[Span, ...]
    mark: str = ""
    depth: int = 0


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("zero").enable(list(_RULES))


def html(text: str, claims: Collection[str] = ()) -> str:
    """Blocks of HTML. claims: those that a name in the text links to."""
    return _linked(_parser().render(text), claims)


def html_line(text: str, claims: Collection[str] = ()) -> str:
    """HTML of a text without blocks, for a cell or a heading."""
    return _linked(_parser().renderInline(text), claims)


def markdown(text: str, link: str = "", claims: Collection[str] = ()) -> str:
    """The text as Markdown that shows nothing but what it says: "<" is a character. link: of a claim, with {id} or {low}, its
    name in small letters, in it."""
    parts = _CODE.split(text.strip())
    for i in range(0, len(parts), 2):
        parts[i] = parts[i].replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")
        if link:
            parts[i] = NAMED.sub(lambda m: f"[{m[0]}]({link.format(id=m[0], low=m[0].lower())})" if m[0] in claims else m[0], parts[i])
    return "".join(parts)


def plain(text: str) -> str:
    """The words alone, in one line."""
    return " ".join("".join(span.text for span in paragraph.spans) for paragraph in paragraphs(text))


def paragraphs(text: str) -> list[Paragraph]:
    """The text as runs of one look; each cell of a table is a paragraph."""
    out: list[Paragraph] = []
    marks: list[str] = []
    counts: list[int] = []
    fresh = ""
    for token in _parser().parse(text):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            marks.append("•" if token.type.startswith("bullet") else "1.")
            counts.append(0)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            marks.pop()
            counts.pop()
        elif token.type == "list_item_open":
            counts[-1] += 1
            fresh = "•" if marks[-1] == "•" else f"{counts[-1]}."
        elif token.type == "fence":
            out += [Paragraph((Span(line, "code"),), depth=len(marks)) for line in token.content.rstrip().split("\n")]
        elif token.type == "inline":
            out.append(Paragraph(tuple(_spans(token.children or [])), fresh, len(marks)))
            fresh = ""
    return out


def _spans(tokens: Iterable[Token]) -> Iterable[Span]:
    looks: list[str] = []
    for token in tokens:
        if token.type in ("strong_open", "em_open"):
            looks.append(token.type.removesuffix("_open"))
        elif token.type in ("strong_close", "em_close"):
            looks.pop()
        elif token.type == "code_inline":
            yield Span(token.content, "code")
        elif token.type in ("softbreak", "hardbreak"):
            yield Span(" ", looks[-1] if looks else "")
        elif token.content:
            yield Span(token.content, looks[-1] if looks else "")


def _linked(made: str, claims: Collection[str]) -> str:
    """Names of claims between tags become links to them."""
    link = lambda m: f'<a href="#{m[0]}">{m[0]}</a>' if m[0] in claims else m[0]  # noqa: E731
    return re.sub(r">[^<]*", lambda m: NAMED.sub(link, m[0]), ">" + made)[1:] if claims else made


def attribute(text: str) -> str:
    """Plain words, safe inside an attribute's quotes."""
    return escape(plain(text), quote=True)
