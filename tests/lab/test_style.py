"""Figures: the same bytes every time, colours that are told apart, and matplotlib as it was."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from polyhead.lab import style
from polyhead.lab.table import Table, band, interval
from polyhead.report.figures import contrast
from polyhead.tasks.bootstrap import bootstrap

TABLE = Table({arm: {seed: {"a": i + seed / 9, "list": [1.0 + i, 2.0 + seed]} for seed in range(3)} for i, arm in enumerate(("one", "two"))})
# Machado, Oliveira & Fernandes 2009: what people see who lack a kind of cone, in linear RGB
SEEN = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}


def draw(table: Table):
    figure, axes = style.figure(2, 2)
    style.lines(axes[0, 0], table, "list", (1, 2), {"one": "first"})
    style.reference(axes[0, 0], 1.5, "chance")
    style.bars(axes[0, 1], table, "a")
    style.groups(axes[1, 0], table, {"a": "of a"})
    style.heat(axes[1, 1], [[1.0, float("nan")]], ["row"], ["x", "y"])
    return figure


@pytest.mark.parametrize("format", ["svg", "png"])
def test_a_figure_is_the_same_bytes_every_time_and_differs_by_page(format) -> None:
    claim, before = SimpleNamespace(draw=draw), dict(matplotlib.rcParams)
    light, again, dark = (style.render(claim, TABLE, dark=dark, format=format) for dark in (False, False, True))
    assert light == again != dark
    assert dict(matplotlib.rcParams) == before


def test_text_in_svg_is_text_in_the_ink_of_the_page() -> None:
    svg = style.render(SimpleNamespace(draw=draw), TABLE, dark=True).decode()
    assert ">chance</text>" in svg and "#e4e7eb" in svg and "#1c2026" not in svg and "<dc:date>" not in svg


def oklab(linear: np.ndarray) -> np.ndarray:
    """Ottosson 2020: a space in which distances are about what people see."""
    lms = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]])
    last = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]])
    return last @ np.cbrt(lms @ np.clip(linear, 0, 1))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("eyes", SEEN)
def test_colours_are_told_apart_by_everyone(eyes, dark) -> None:
    with style.theme(dark):
        colours, back = style.COLOURS(), style.BACK()
    assert min(contrast(colour, back) for colour in colours) >= 3
    linear = [np.where((c := np.array(to_rgb(colour))) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for colour in colours]
    seen = [oklab(SEEN[eyes] @ colour) for colour in linear]
    distance = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in itertools.combinations(range(len(seen)), 2)}
    assert min(d for (a, b), d in distance.items() if b < 4) >= 0.10 and min(distance.values()) >= 0.07, distance


def test_bands_are_the_bootstrap_point_by_point() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3))
    mean, low, high = band(values)
    for point in range(3):
        one = bootstrap(values[:, point], lambda sums: sums[:, 0] / 5)
        assert (low[point], high[point]) == pytest.approx(one) and mean[point] == pytest.approx(values[:, point].mean())
    assert interval(values[:1, 0]) == (values[0, 0],) * 3
    assert np.isnan(band(np.array([[1.0], [np.nan]]))).all()
