"""Is a mean of more numbers steadier?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(trial: Trial) -> Numbers:
    """One arm with one seed → numbers, or lists of numbers, by name. All chance comes from the seed."""
    draw = torch.Generator().manual_seed(trial.seed)
    means = torch.randn(trial.steps(2000, 10000), trial.arm, generator=draw).mean(1)
    return {"spread": means.std().item()}


def rule(table: Table) -> Ruling:
    """The numbers of all arms and seeds → what they say of the statement; `decides` says the same in words."""
    few, many = table.interval("4 numbers", "spread"), table.interval("16 numbers", "spread")
    told = f"The spread of the mean is {few} of 4 numbers and {many} of 16."
    if many.high < few.low:
        return Ruling(Verdict.HOLDS, told)
    return Ruling(Verdict.WRONG if many.low > few.high else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure()
    style.bars(axes, table, "spread")
    axes.set(ylabel="standard deviation of the mean", xlabel="what the mean is of")
    return figure


CLAIM = Claim(
    id="MINE",
    title="Is a mean of more numbers steadier?",
    topic="training",
    kind="trained",
    statement="A mean of more numbers is steadier.",
    notes=(),
    literature="The standard deviation of a mean of n independent numbers is σ/√n.",
    method="Means of 4 and of 16 normal numbers, 2,000 of each (full: 10,000); the spread of those means.",
    decides="Holds if the intervals of the two spreads are apart and that of 16 is lower; wrong if it is higher; else not decided.",
    expected=Verdict.HOLDS,
    arms={"4 numbers": 4, "16 numbers": 16},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"spread": "standard deviations of one number"},
)
