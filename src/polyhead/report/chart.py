"""A line chart as inline SVG: labelled axes, units, a legend; colours come from the page's CSS, light or dark."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 14, 14, 44


Place = Callable[[float, float], tuple[float, float]]  # data → pixels


class Series(NamedTuple):
    """One line. look: a CSS class of the page: "train", "raw", "valid" or "rate"."""

    name: str
    points: list[tuple[float, float]]
    look: str
    dots: bool = False


def line_chart(
    series: Sequence[Series], x_label: str, y_label: str, *, width: int = 760, height: int = 320, zero: bool = False, whole: bool = False
) -> str:
    """An <svg> element. Unless `whole`, the highest values of a run's first steps are cut off, so that the rest can be told
    apart. zero: the axis begins at 0."""
    points = [p for line in series for p in line.points]
    if not points:
        return ""
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = _range([y for _, y in points], zero, whole or zero)
    x_high = x_high if x_high > x_low else x_low + 1
    plot_w, plot_h = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (x - x_low) / (x_high - x_low) * plot_w, _TOP + (y_high - y) / (y_high - y_low) * plot_h

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(y_label)} by {escape(x_label)}">']
    clip = f"clip{zlib.crc32(y_label.encode())}"  # unique in the page, the same every time
    parts.append(f'<clipPath id="{clip}"><rect x="{_LEFT}" y="{_TOP}" width="{plot_w}" height="{plot_h}"/></clipPath>')
    parts += _axes(at, ticks(x_low, x_high, 8), ticks(y_low, y_high, 6), (x_low, x_high), (y_low, y_high))
    parts.append(f'<text class="label" x="{_LEFT + plot_w / 2:.0f}" y="{height - 8}" text-anchor="middle">{escape(x_label)}</text>')
    middle = _TOP + plot_h / 2
    parts.append(f'<text class="label" transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    parts.append(f'<g clip-path="url(#{clip})">')
    for line in series:
        path = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in line.points)
        parts.append(f'<polyline class="line {line.look}" points="{path}"/>')
        if line.dots:
            parts += ['<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3.2"/>'.format(line.look, *at(x, y)) for x, y in line.points]
    parts.append("</g>")
    return "\n".join([*parts, *_legend(series, width), "</svg>"])


def _range(values: list[float], zero: bool, whole: bool) -> tuple[float, float]:
    ordered = sorted(v for v in values if math.isfinite(v))
    low = 0.0 if zero else ordered[0]
    high = ordered[-1] if whole else ordered[min(len(ordered) - 1, int(0.97 * len(ordered)))]
    room = (high - low or abs(high) or 1.0) * 0.06
    return (low if zero else low - room), high + room


def _axes(at: Place, xs: list[float], ys: list[float], x: tuple[float, float], y: tuple[float, float]) -> list[str]:
    out = []
    for value in ys:
        (x1, y1), (x2, _) = at(x[0], value), at(x[1], value)
        out.append(f'<line class="grid" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y1:.1f}"/>')
        out.append(f'<text class="tick" x="{x1 - 7:.1f}" y="{y1 + 4:.1f}" text-anchor="end">{value:g}</text>')
    _, bottom = at(x[0], y[0])
    for value in xs:
        place, _ = at(value, y[0])
        out.append(f'<line class="axis" x1="{place:.1f}" x2="{place:.1f}" y1="{bottom:.1f}" y2="{bottom + 4:.1f}"/>')
        out.append(f'<text class="tick" x="{place:.1f}" y="{bottom + 17:.1f}" text-anchor="middle">{value:,.10g}</text>')
    (left, _), (right, _) = at(x[0], y[0]), at(x[1], y[0])
    return [*out, f'<line class="axis" x1="{left:.1f}" x2="{right:.1f}" y1="{bottom:.1f}" y2="{bottom:.1f}"/>']


def _legend(series: Sequence[Series], width: int) -> list[str]:
    out: list[str] = []
    named = [line for line in series if line.name]
    if len(named) < 2:
        return out
    for i, line in enumerate(named):
        y = _TOP + 14 + 18 * i
        out.append(f'<line class="line {line.look}" x1="{width - 158}" x2="{width - 134}" y1="{y}" y2="{y}"/>')
        out.append(f'<text class="tick" x="{width - 127}" y="{y + 4}">{escape(line.name)}</text>')
    return out


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from low to high."""
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def smooth(points: Sequence[tuple[float, float]], span: int) -> list[tuple[float, float]]:
    """Each point's mean over up to `span` points around it; shorter windows at the ends, so that nothing is shifted."""
    out = []
    for i in range(len(points)):
        reach = min(span // 2, i, len(points) - 1 - i)
        near = [y for _, y in points[i - reach : i + reach + 1]]
        out.append((points[i][0], sum(near) / len(near)))
    return out
