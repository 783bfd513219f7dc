"""How every figure looks: sizes, type, colours, on a light or a dark page.

A figure is drawn once for each page: inside `theme(dark)` the functions below give that page's colours. Nothing here touches
pyplot, and matplotlib's settings are as before afterwards.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart by people who lack a kind of cone, the first four best; at least 3 : 1 against their page (tests say both).
_LIGHT = ("#0b4a96", "#d47600", "#3ea685", "#9954c7", "#782100", "#5f6662")
_DARK = ("#58b8f8", "#f69520", "#2f9a6c", "#a764d6", "#f1e335", "#b4bac0")
_PAGE = {  # as in page.css
    False: {"back": "#ffffff", "ink": "#1c2026", "muted": "#5c6570", "grid": "#e3e6ea"},
    True: {"back": "#14171c", "ink": "#e4e7eb", "muted": "#9aa4b0", "grid": "#313842"},
}
_WIDTH = {1: 5.2, 2: 8.4, 3: 10.8}  # inches, by columns; type of 10 points stays readable at half the size
_dark: ContextVar[bool] = ContextVar("dark", default=False)

Format = Literal["svg", "png"]


def BACK() -> str:
    """The page."""
    return _PAGE[_dark.get()]["back"]


def INK() -> str:
    """Text, and lines that belong to no arm."""
    return _PAGE[_dark.get()]["ink"]


def MUTED() -> str:
    """What is not the point: axes, remarks, reference lines."""
    return _PAGE[_dark.get()]["muted"]


def GRID() -> str:
    return _PAGE[_dark.get()]["grid"]


def COLOURS() -> tuple[str, ...]:
    return _DARK if _dark.get() else _LIGHT


def colour(index: int) -> str:
    """The index-th colour of the cycle; what is one thing in two panels is given one index."""
    return COLOURS()[index % len(COLOURS())]


def shades(diverging: bool = False) -> Any:
    """A colour map from the page's background to the first colour; diverging: second colour, background, first."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", [colour(1), BACK(), colour(0)] if diverging else [BACK(), colour(0)])


def contrast(first: Any, second: Any) -> float:
    """How well two colours are told apart by brightness, 1 … 21 (WCAG 2.1, relative luminance)."""
    from matplotlib.colors import to_rgb

    def luminance(shade: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(shade)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dim, bright = sorted((luminance(first), luminance(second)))
    return (bright + 0.05) / (dim + 0.05)


@contextmanager
def theme(dark: bool = False) -> Iterator[None]:
    """Draw for a light or a dark page."""
    from matplotlib import rc_context

    token = _dark.set(dark)
    try:
        with rc_context(_settings()):
            yield
    finally:
        _dark.reset(token)


def figure(columns: int = 1, rows: int = 1, *, height: float = 3.4, width: float | None = None, **more: Any) -> tuple[Figure, Any]:
    """An empty figure and its axes: one Axes, or an array of them, (columns,) or (rows,) or (rows, columns). height: inches of
    a row; width: of the whole (left out: by the columns, at most 3 of which are readable). more: what `Figure.subplots`
    takes, such as sharey=True.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_settings()):
        made = Figure(figsize=(width or _WIDTH.get(columns, 3.4 * columns), height * rows), layout="constrained")
        return made, made.subplots(rows, columns, **more)


def to_bytes(made: Figure, format: Format = "svg", *, dpi: int = 144) -> bytes:
    """The same figure, the same bytes. Text in SVG stays text: it is small, can be searched, selected and read aloud; its
    layout was measured with DejaVu Sans, which is wider than what a browser puts in its place."""
    out = io.BytesIO()
    made.savefig(out, format=format, dpi=dpi, metadata={"Date": None, "Creator": None} if format == "svg" else {"Software": None})
    return out.getvalue()


def _settings() -> Any:  # names of matplotlib's settings → values
    from cycler import cycler

    return {
        "figure.facecolor": BACK(), "savefig.facecolor": BACK(), "axes.facecolor": BACK(), "text.color": INK(),
        "axes.labelcolor": INK(), "axes.titlecolor": INK(), "axes.edgecolor": MUTED(), "xtick.color": MUTED(), "ytick.color": MUTED(),
        "axes.prop_cycle": cycler(color=COLOURS()), "axes.grid": True, "grid.color": GRID(), "grid.linewidth": 0.8, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "lines.linewidth": 1.9, "lines.markersize": 4.5,
        "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"], "font.size": 10.0,
        "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelsize": 10.0,
        "xtick.labelsize": 9.0, "ytick.labelsize": 9.0, "legend.fontsize": 9.0, "legend.frameon": False, "legend.labelcolor": INK(),
        "axes.unicode_minus": True, "mathtext.fontset": "dejavusans", "svg.fonttype": "none", "svg.hashsalt": "polyhead",
    }  # fmt: skip
