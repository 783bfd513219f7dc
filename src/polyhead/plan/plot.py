"""A small chart of characters, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_MARKS = "●×+◆▲■"


class Curve(NamedTuple):
    """points (x, y); line: joined up, drawn thin, below what is marked."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = False


def plot(curves: Sequence[Curve], x_label: str, y_label: str, *, width: int = 64, height: int = 15, log_x: bool = True, log_y: bool = False) -> str:
    """Curves over one pair of axes; a line under it says which mark is which."""
    points = [p for curve in curves for p in curve.points if all(map(math.isfinite, p))]
    if not points:
        return ""
    xs, ys = _Scale([x for x, _ in points], width, log_x), _Scale([y for _, y in points], height, log_y)
    cells = [[" "] * width for _ in range(height)]
    marked = [c for c in curves if not c.line]
    for curve in sorted(curves, key=lambda c: not c.line):
        mark = "·" if curve.line else _MARKS[marked.index(curve) % len(_MARKS)]
        for x, y in _along(curve, xs, ys) if curve.line else curve.points:
            if math.isfinite(x) and math.isfinite(y):
                cells[height - 1 - ys.at(y)][xs.at(x)] = mark
    labels = {0: number(ys.high), height // 2: number(ys.value((height - 1) / 2)), height - 1: number(ys.low)}
    wide = max(map(len, labels.values()))
    rows = [f"  {labels.get(i, ''):>{wide}} {'┤' if i in labels else '│'}{''.join(row).rstrip()}" for i, row in enumerate(cells)]
    low, high = number(xs.low), number(xs.high)
    rows += [f"  {'':>{wide}} └{'─' * width}", f"  {'':>{wide}}  {low}{x_label:^{max(0, width - len(low) - len(high))}}{high}"]
    names = [f"{_MARKS[i % len(_MARKS)]} {curve.name}" for i, curve in enumerate(marked)]
    lines = list(dict.fromkeys(curve.name for curve in curves if curve.line and curve.name))
    legend = "   ".join([*names, *(f"· {name}" for name in lines)])
    return "\n".join([f"  {y_label}", *rows, *([f"  {legend}"] if legend else [])])


class _Scale:
    def __init__(self, values: Sequence[float], cells: int, log: bool) -> None:
        self.low, self.high, self.cells, self.log = min(values), max(values), cells, log

    def _of(self, value: float) -> float:
        return math.log(value) if self.log else value

    def at(self, value: float) -> int:
        span = self._of(self.high) - self._of(self.low)
        share = (self._of(value) - self._of(self.low)) / span if span else 0.5
        return min(self.cells - 1, max(0, round(share * (self.cells - 1))))

    def value(self, cell: float) -> float:
        share = cell / max(1, self.cells - 1)
        found = self._of(self.low) + share * (self._of(self.high) - self._of(self.low))
        return math.exp(found) if self.log else found


def _along(curve: Curve, xs: _Scale, ys: _Scale) -> list[tuple[float, float]]:
    """The curve's points, and for every column between two of them the point on their straight line."""
    out = list(curve.points)
    for (x0, y0), (x1, y1) in zip(curve.points, curve.points[1:], strict=False):
        first, last = sorted((xs.at(x0), xs.at(x1)))
        for cell in range(first + 1, last):
            x = xs.value(cell)
            share = (xs._of(x) - xs._of(x0)) / (xs._of(x1) - xs._of(x0))
            out.append((x, y0 + share * (y1 - y0)))
    return out


def number(value: float) -> str:
    """Short, for an axis: 1.5e9 → "1.5G"."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size <= abs(value) < 1e15:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
