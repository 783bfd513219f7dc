"""Formulas as outlines: matplotlib's mathtext lays them out, a page draws them. No script and no font is needed to read them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from typing import NamedTuple

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from polyhead.errors import DataError

_EM = 100.0  # units of a layout to the em
_FACE = FontProperties(family="serif", size=_EM, math_fontfamily="stix")


class Glyph(NamedTuple):
    """id: of its outline. x, y: its origin in em, y downwards from the baseline. size: of its font in em."""

    id: str
    x: float
    y: float
    size: float


class Bar(NamedTuple):
    """A filled rectangle, such as a fraction's line: left, top, width and height in em, y downwards from the baseline."""

    x: float
    y: float
    width: float
    height: float


class Formula(NamedTuple):
    """A formula laid out. Sizes in em; depth is what hangs below the baseline."""

    tex: str
    width: float
    height: float
    depth: float
    glyphs: tuple[Glyph, ...]
    bars: tuple[Bar, ...]


class Move(NamedTuple):
    """One step of an outline: "M", "L", "Q", "C" or "Z" with its points (x, y) in em, y downwards."""

    op: str
    points: tuple[tuple[float, float], ...]


_outlines: dict[str, tuple[Move, ...]] = {}


@cache
def lay(tex: str) -> Formula:
    """TeX (what mathtext knows of it, without dollar signs) → where its glyphs go; fractions at full size, as in a line of
    their own. Raises DataError where it cannot be read."""
    shown = "$" + tex.replace(r"\frac", r"\dfrac") + "$"
    try:
        glyphs, shapes, rects = text_to_path.get_glyphs_mathtext(_FACE, shown)
        width, height, depth = text_to_path.mathtext_parser.parse(shown, 72, _FACE)[:3]
    except ValueError as error:
        raise DataError(
            "a formula cannot be drawn", expected="TeX that matplotlib's mathtext reads", received=tex, change=str(error).splitlines()[-1]
        ) from error
    for name, (points, codes) in shapes.items():
        _outlines.setdefault(f"f{name}", tuple(_moves(points, codes)))
    placed = tuple(Glyph(f"f{name}", float(x) / _EM, -float(y) / _EM, float(size)) for name, x, y, size in glyphs)
    bars = tuple(_bar([(float(x), float(y)) for x, y in corners[:4]]) for corners, _ in rects)
    return Formula(tex, float(width) / _EM, float(height) / _EM, float(depth) / _EM, placed, bars)


def outline(glyph: str) -> tuple[Move, ...]:
    """The outline of a glyph of any formula laid out before, at a size of 1 em."""
    return _outlines[glyph]


def svg(formula: Formula, size: float = 1.0) -> str:
    """An <svg> in em that sits on the text's baseline, in the text's colour; its glyphs are symbols() of the page."""
    pad = 0.04
    top, left = formula.height - formula.depth + pad, -pad
    width, height = formula.width + 2 * pad, formula.height + 2 * pad
    parts = [_use(glyph) for glyph in formula.glyphs]
    parts += [f'<path d="M{b.x * _EM:.1f} {b.y * _EM:.1f}h{b.width * _EM:.1f}v{b.height * _EM:.1f}h{-b.width * _EM:.1f}z"/>' for b in formula.bars]
    return (
        f'<svg class="tex" role="img" aria-label="{escape(formula.tex)}" viewBox="{left * _EM:.0f} {-top * _EM:.0f} {width * _EM:.0f} {height * _EM:.0f}" '
        f'style="width:{width * size:.2f}em;height:{height * size:.2f}em;vertical-align:{-(formula.depth + pad) * size:.2f}em">{"".join(parts)}</svg>'
    )


def symbols(formulas: Iterable[Formula]) -> str:
    """The outlines of all glyphs that the formulas use, as <path> with ids."""
    names = sorted({glyph.id for formula in formulas for glyph in formula.glyphs})
    return "".join(f'<path id="{name}" d="{_path(outline(name))}"/>' for name in names)


def _use(glyph: Glyph) -> str:
    x, y = f"{glyph.x * _EM:.1f}", f"{glyph.y * _EM:.1f}"
    place = f'x="{x}" y="{y}"' if abs(glyph.size - 1) < 1e-3 else f'transform="translate({x} {y})scale({glyph.size:.3g})"'
    return f'<use href="#{glyph.id}" {place}/>'


def _path(moves: tuple[Move, ...]) -> str:
    return "".join(move.op + " ".join(f"{x * _EM:.1f} {y * _EM:.1f}" for x, y in move.points) for move in moves)


def _moves(points: Iterable[tuple[float, float]], codes: Iterable[int]) -> Iterable[Move]:
    """matplotlib's vertices and codes → steps. A curve has one code per point it needs."""
    length = {1: 1, 2: 1, 3: 2, 4: 3, 79: 0}
    rows = [(float(x) / _EM, -float(y) / _EM) for x, y in points]
    kinds, i = [int(code) for code in codes], 0
    while i < len(kinds):
        count = length[kinds[i]]
        yield Move({1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}[kinds[i]], tuple(rows[i : i + count]))
        i += max(1, count)


def _bar(corners: list[tuple[float, float]]) -> Bar:
    xs, ys = [x / _EM for x, _ in corners], [-y / _EM for _, y in corners]
    return Bar(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
