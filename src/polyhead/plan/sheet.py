"""A plan as one self-contained page: figures for light and dark, tables, plain text."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from polyhead.checkpoint import write_text
from polyhead.report.figures import theme, to_bytes
from polyhead.report.page import document

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MORE = "img { width: 100%; height: auto; }\nfigure { margin: 0; }\nfigcaption { color: var(--dim); font-size: 14px; }\n.wide { overflow-x: auto; }\n"
_MORE += "td { padding: 2px 24px 2px 0; vertical-align: top; }\npre { white-space: pre-wrap; }\n"


def drawn(draw: Callable[[], Figure], caption: str) -> str:
    """A figure, drawn once for a light page and once for a dark one."""
    pictures = []
    for dark in (False, True):
        with theme(dark):
            pictures.append("data:image/svg+xml;base64," + base64.b64encode(to_bytes(draw())).decode())
    light, night = pictures
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{night}">'
    return f'<figure><picture>{source}<img src="{light}" alt="{escape(caption)}"></picture><figcaption>{escape(caption)}</figcaption></figure>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>\n{body}</table></div>'


def text(told: str) -> str:
    return f"<pre>{escape(told)}</pre>"


def write(path: str | Path, title: str, sections: Sequence[tuple[str, str]]) -> None:
    """sections: (heading, HTML). Raises DiskError."""
    body = "\n".join(f"<section><h2>{escape(name)}</h2>\n{html}\n</section>" for name, html in sections)
    write_text(Path(path), document(title, f"<header><h1>{escape(title)}</h1></header>\n{body}", _MORE))
