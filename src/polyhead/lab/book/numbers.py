"""The numbers of a claim as a table for reading: a row per arm, a column per number, each a mean with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..table import Table, band

_SHOWN = 6  # points of a list that are written out
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Cell(NamedTuple):
    """mean and spread as text; seeds: the value of every seed. Of a list: some of its points, and how many there are."""

    mean: str
    spread: str
    seeds: tuple[str, ...]


class Grid(NamedTuple):
    """names and units of the columns; rows: arm and its cells. seeds: theirs, in the order of a cell's."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    seeds: tuple[int, ...]


def grid(table: Table, units: Mapping[str, str]) -> Grid:
    """Every number of every arm; an arm without a number has an empty cell."""
    names = tuple(dict.fromkeys(name for seeds in table.arms.values() for numbers in seeds.values() for name in numbers))
    rows = tuple((arm, tuple(_cell(table, arm, name) for name in names)) for arm in table.arms)
    return Grid(tuple(name.replace("_", " ") for name in names), tuple(units.get(name, "") for name in names), rows, tuple(table.seeds))


def _cell(table: Table, arm: str, name: str) -> Cell:
    found: list[Any] = [numbers.get(name) for numbers in table.arms[arm].values()]
    if any(value is None for value in found):
        return Cell("–", "", ())
    if not all(isinstance(value, int | float) for value in found):
        return _curve(found)
    mean, low, high = (float(value) for value in band(table.values(arm, name)))
    spread = "" if low == high else f"{number(low)} to {number(high)}"
    return Cell(number(mean), spread, tuple(number(value) for value in found))


def _curve(found: list[Any]) -> Cell:
    """A list: its first and last points, the means over seeds where all lists are of one length."""
    lists = [value for value in found if isinstance(value, list)]
    flat = [value for value in lists if all(isinstance(item, int | float) for item in value)]
    if len(flat) != len(found) or len({len(value) for value in flat}) != 1:
        return Cell("lists, in the results' file", "", ())
    means = [sum(points) / len(points) for points in zip(*flat, strict=True)]
    return Cell(_points(means), f"{len(means)} points", tuple(_points(value) for value in flat))


def _points(values: list[float]) -> str:
    if len(values) <= _SHOWN:
        return ", ".join(number(value) for value in values)
    return ", ".join(number(value) for value in values[:3]) + ", … , " + ", ".join(number(value) for value in values[-2:])


def number(value: float) -> str:
    """Three digits; whole numbers as they are, in thousands; the very small and large by their power of ten."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value).replace("inf", "∞")
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    text = f"{value:.3g}"
    if "e" in text:
        digits, power = text.split("e")
        return f"{digits}·10{str(int(power)).translate(_RAISED)}".replace("-", "−")
    return text.replace("-", "−")
