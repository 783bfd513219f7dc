"""The book as one HTML file: nothing to fetch, light and dark, searched by a script of its own and readable without it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ..claim import Verdict
from . import formula, svg, text, words
from .content import Book
from .numbers import grid

_HERE = Path(__file__).parent
_LOOK = _HERE.parents[1] / "report" / "page.css"  # the look of a run's report


def html(book: Book) -> str:
    """The whole file. The same book, the same bytes."""
    drawings = {told.claim.id: svg.pair(*book.drawn(told), told.claim.id) for told in book.claims if told.finding}
    formulas = {page.id: formula.lay(page.formula) for page in book.pages if page.formula}
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= _filters(book)
    template = environment.get_template("book.html.jinja")
    return template.render(
        book=book, drawings=drawings, words=words, marks=words.MARKS, verdicts=list(Verdict), css=Markup(_css(drawings)), grid=grid, zip=zip,
        script=Markup((_HERE / "book.js").read_text(encoding="utf-8")), glyphs=Markup(formula.symbols(formulas.values())),
        formulas={id: Markup(formula.svg(laid, 1.15)) for id, laid in formulas.items()},
    )  # fmt: skip


def _filters(book: Book) -> dict[str, Callable[..., Any]]:
    ids = frozenset(book.by_id)
    return {
        "md": lambda said: Markup(text.html(said, ids)),
        "line": lambda said: Markup(text.html_line(said, ids)),
        "code": lambda source: Markup(_code(source)),
        "body": lambda drawing: Markup(drawing.body),
        "anchor": lambda words: re.sub(r"[^a-z0-9]+", "-", words.lower()),
    }


def _code(source: str) -> str:
    """Python with what book.css colours in spans: keywords, strings and comments."""
    marked = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
    return re.sub(r'<span class="(?!k|s|c)\w+">([^<]*)</span>', r"\1", marked)


def _css(drawings: dict[str, svg.Drawing]) -> str:
    """page.css, book.css, and both palettes once more for who chooses one."""
    sheet = _LOOK.read_text(encoding="utf-8") + (_HERE / "book.css").read_text(encoding="utf-8")
    colours = sorted({pair for drawing in drawings.values() for pair in drawing.colours})
    light, dark = ("".join(f"{svg.variable_name(*pair)}:{pair[i]};" for pair in colours) for i in (0, 1))
    sheet += f":root {{\n{light}\n}}\n@media (prefers-color-scheme: dark) {{\n  :root {{\n{dark}\n  }}\n}}\n"
    dark_blocks = re.findall(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{([^}]*)\}\s*\}", sheet)
    light_blocks = re.findall(r"^:root \{([^}]*)\}", sheet, re.M)
    chosen = {"light": light_blocks, "dark": dark_blocks}
    return sheet + "".join(
        f':root[data-theme="{name}"] {{{"".join(blocks).replace("color-scheme: light dark", "")} color-scheme: {name}; }}\n'
        for name, blocks in chosen.items()
    )

