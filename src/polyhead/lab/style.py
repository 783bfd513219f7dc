"""The drawings that claims share, in the look of report/figures.py: lines with bands, bars with whiskers and seeds, tables in
colour. A claim draws with these and with the axes' own methods; its arms keep their colour from panel to panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polyhead.report.figures import (
    BACK,
    COLOURS,
    GRID,
    INK,
    MUTED,
    Format,
    colour,
    contrast,
    figure,
    shades,
    theme,
    to_bytes,
)

from .table import Table, band

if TYPE_CHECKING:
    from .claim import Claim

__all__ = [
    "BACK", "COLOURS", "GRID", "INK", "MUTED", "bars", "colour", "figure", "groups", "heat", "legend", "line", "lines",
    "reference", "render", "shades", "theme",
]  # fmt: skip


def render(claim: Claim, table: Table, *, dark: bool = False, format: Format = "svg") -> bytes:
    """The claim's figure for a light or a dark page; the same numbers, the same bytes."""
    with theme(dark):
        return to_bytes(claim.draw(table), format)


def lines(axes: Any, table: Table, name: str, x: Sequence[float], arms: Mapping[str, str] | None = None, **look: Any) -> None:
    """One line per arm: the mean over seeds of the list `name` at the points x, in a band of its 95 % interval. arms: arm →
    its name in the legend (left out: all arms, by their own names); colours follow the order of the table's arms."""
    order = list(table.arms)
    for arm, label in (arms or {arm: arm for arm in order}).items():
        line(axes, x, table.values(arm, name), label, order.index(arm), **look)


def line(axes: Any, x: Sequence[float], values: np.ndarray, label: str | None = None, index: int = 0, **look: Any) -> None:
    """values (seeds, points): their mean over seeds as a line, and a band of the 95 % interval of that mean. index: of the
    colour. x may go on where a measurement was cut short. Points few enough to be told apart are marked."""
    look = {"color": colour(index), "marker": "o" if len(x) <= 16 else None, **look}
    mean, low, high = band(np.asarray(values, dtype=np.float64))
    places = list(x)[: len(mean)]
    axes.plot(places, mean, label=label, **look)
    axes.fill_between(places, low, high, color=look["color"], alpha=0.22, linewidth=0)


def bars(axes: Any, table: Table, name: str, arms: Mapping[str, str] | None = None, *, format: str | None = "{:.3g}") -> None:
    """One bar per arm: the mean of the number `name`, a whisker for its 95 % interval, a dot per seed. format: of the number
    written above; None writes none."""
    chosen, order = arms or {arm: arm for arm in table.arms}, list(table.arms)
    for place, arm in enumerate(chosen):
        _bar(axes, place, 0.62, table.values(arm, name), colour(order.index(arm)), format)
    axes.set_xticks(range(len(chosen)), list(chosen.values()))
    axes.grid(axis="x", visible=False)


def groups(
    axes: Any, table: Table, names: Mapping[str, str], arms: Mapping[str, str] | None = None, *, format: str | None = "{:.3g}"
) -> None:
    """Groups of bars: a group per number (name → what is written below it), in it a bar per arm (arm → its name in the
    legend)."""
    chosen, order = arms or {arm: arm for arm in table.arms}, list(table.arms)
    wide = 0.8 / len(chosen)
    for which, (arm, label) in enumerate(chosen.items()):
        for place, name in enumerate(names):
            at = place + (which - (len(chosen) - 1) / 2) * wide
            _bar(axes, at, 0.9 * wide, table.values(arm, name), colour(order.index(arm)), format, None if place else label)
    axes.set_xticks(range(len(names)), list(names.values()))
    axes.grid(axis="x", visible=False)
    legend(axes)


def _bar(axes: Any, at: float, width: float, values: np.ndarray, shade: str, format: str | None, label: str | None = None) -> None:
    mean, low, high = (float(number) for number in band(values))
    axes.bar(at, mean, width, color=shade, alpha=0.75, label=label)
    if len(values) > 1:
        axes.vlines(at, low, high, color=INK(), linewidth=1.6)
        spread = (np.arange(len(values)) - (len(values) - 1) / 2) * width * 0.16
        axes.scatter(at + spread, values, s=13, color=BACK(), edgecolors=INK(), linewidths=0.8, zorder=3)
    if format is not None:
        top = max(high, float(values.max())) if mean >= 0 else min(low, float(values.min()))
        axes.annotate(format.format(mean), (at, top), (0, 5 if mean >= 0 else -5), textcoords="offset points", ha="center",
                      va="bottom" if mean >= 0 else "top", fontsize=8.5, color=INK())  # fmt: skip
        axes.margins(y=0.12)


def heat(
    axes: Any, numbers: Any, rows: Sequence[str], columns: Sequence[str], *, format: str = "{:.2f}",
    low: float | None = None, high: float | None = None, diverging: bool = False,
) -> None:  # fmt: skip
    """A table (rows, columns) in colour with its numbers written in. low, high: the numbers that get the palest and the
    strongest colour; diverging: the palest is 0, and negative numbers have a colour of their own."""
    values = np.asarray(numbers, dtype=np.float64)
    known = values[np.isfinite(values)]
    high = high if high is not None else float(np.abs(known).max() if diverging else known.max())
    low = -high if diverging else low if low is not None else float(known.min())
    image = axes.imshow(values, cmap=shades(diverging), vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = format.format(value) if np.isfinite(value) else "–"
        ink = max(INK(), BACK(), key=lambda ink: contrast(ink, image.to_rgba(value)))
        axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=ink)
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(visible=False)


def reference(axes: Any, value: float, text: str = "", *, vertical: bool = False, start: bool = False) -> None:
    """A dashed line at a value that things are compared with (chance, a floor, the trained length), and its name at the
    line's end, right or top; start: at the other end."""
    draw, end = axes.axvline if vertical else axes.axhline, 0.0 if start else 1.0
    draw(value, color=MUTED(), linestyle="--", linewidth=1.2, zorder=1.5)
    if vertical:
        at, where, shift = (value, end), axes.get_xaxis_transform(), (3, 3 if start else -3)
        place: dict[str, Any] = {"ha": "left", "va": "bottom" if start else "top", "rotation": 90}
    else:
        at, where, shift = (end, value), axes.get_yaxis_transform(), (4 if start else 0, 2)
        place = {"ha": "left" if start else "right", "va": "bottom"}
    axes.annotate(text, at, shift, xycoords=where, textcoords="offset points", fontsize=8.5, color=MUTED(), **place)


def legend(axes: Any, **place: Any) -> None:
    """Names of what is drawn, without a frame; place: as `Axes.legend` takes it."""
    axes.legend(**place)
