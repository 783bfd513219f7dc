"""C54: what GELU is, how smooth, and what dropout has to do with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.table import Numbers, Table
from polyhead.nn.ffn import ACTIVATIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE, STEP = 4.0, 1e-3  # the inputs looked at: −4 to 4
SHOWN, DRAWN = 81, 21  # points of the curves; points where a random gate is tried


def exact(x: torch.Tensor) -> torch.Tensor:
    """x·Φ(x) by the error function."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def measure(trial: Trial) -> Numbers:
    """trial.arm: the name of an activation."""
    act = ACTIVATIONS[trial.arm]
    x = torch.arange(-WIDE, WIDE + STEP / 2, STEP, dtype=torch.float64)
    y = act(x)
    slopes = y.diff() / STEP
    draws = trial.pick(200_000, 2_000_000)
    where = torch.linspace(-WIDE, WIDE, DRAWN, dtype=torch.float64)
    generator = torch.Generator().manual_seed(trial.seed)
    normal = torch.randn(draws, generator=generator, dtype=torch.float64)
    kept = torch.stack([(normal < point).double().mean() for point in where])  # a gate open with probability Φ(point)
    error = where.abs() * (kept * (1 - kept)).clamp(min=1 / draws).sqrt() / math.sqrt(draws)
    missed = (where * kept - act(where)).abs()
    return {
        "far_from_x_phi": float((y - exact(x)).abs().max()),
        "largest_change_of_slope": float(slopes.diff().abs().max()),
        "lowest": float(y.min()),
        "lowest_at": float(x[y.argmin()]),
        "far_from_gate": float(missed.max()),
        "far_from_gate_in_errors": float((missed / error.clamp(min=1e-12)).max()),
        "curve": act(torch.linspace(-WIDE, WIDE, SHOWN, dtype=torch.float64)).tolist(),
        "gate": (where * kept).tolist(),
    }


def rule(table: Table) -> Ruling:
    far, jump = table.mean("GELU", "far_from_x_phi"), table.mean("GELU", "largest_change_of_slope")
    relu, gate = table.mean("ReLU", "largest_change_of_slope"), float(table.values("GELU", "far_from_gate_in_errors").max())
    lowest, at = table.mean("GELU", "lowest"), table.mean("GELU", "lowest_at")
    tanh = table.mean("tanh form", "far_from_x_phi")
    numbers = (
        f"GELU is x·Φ(x) within {far:.1e}, the tanh form within {tanh:.1e}. The mean of x times a random gate that is open with "
        f"probability Φ(x) is at most {gate:.1f} standard errors away. Its slope changes by {jump:.4f} in a step of {STEP}, "
        f"ReLU's by {relu:.2f}; it is not monotone: its minimum is {lowest:.3f} at {at:.3f}."
    )
    if far > 1e-6 or gate > 5:
        return Ruling(Verdict.WRONG, numbers)
    if relu < 0.5:
        return Ruling(Verdict.OPEN, "The corner of ReLU was not seen, so smoothness was not compared. " + numbers)
    return Ruling(Verdict.HOLDS if jump < 0.01 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(columns=2)
    x = torch.linspace(-WIDE, WIDE, SHOWN)
    for arm in ("GELU", "ReLU"):
        style.lines(left, table, "curve", x.tolist(), {arm: arm})
    dots = torch.linspace(-WIDE, WIDE, DRAWN).tolist()
    left.scatter(dots, table.curve("GELU", "gate"), s=16, color=style.INK(), zorder=3, label="mean of x · random gate")
    left.set(xlabel="input x", ylabel="output", title="GELU is the mean of a random gate", xlim=(-4, 2.2), ylim=(-0.3, 2.2))
    style.legend(left)
    gelu = table.curve("GELU", "curve")
    for arm in ("tanh form", "quick form"):
        off = (table.values(arm, "curve") - gelu) * 1e3
        style.line(right, x.tolist(), off, arm, list(table.arms).index(arm))
    right.set(xlabel="input x", ylabel="difference to x·Φ(x), in 0.001", title="The approximations")
    style.legend(right)
    return fig


CLAIM = Claim(
    id="C54", title="What is GELU, and what has it to do with dropout?", topic="feed-forward", kind="exact",
    statement="GELU is x·Φ(x): smoother than ReLU, with a probabilistic, dropout-like interpretation.",
    notes=("002 Q19",),
    literature=(
        "Hendrycks & Gimpel 2016 (arXiv 1606.08415) define GELU as the expected value of x times a Bernoulli gate with "
        "probability Φ(x), “combining properties from dropout, zoneout, and ReLUs”, and give the tanh form and x·σ(1.702x) "
        "as approximations."
    ),
    method=(
        "One axis, the activation function, in double precision from −4 to 4: distance to x·Φ(x), the largest change of slope "
        "between steps of 0.001, and the distance to the mean of x times a gate that is open when a normal number falls below "
        "x (200 000 draws)."
    ),
    decides=(
        "Wrong if GELU is farther than 1e-6 from x·Φ(x), or the random gate's mean farther than 5 standard errors from GELU. "
        "Else it holds if its slope changes by less than 0.01 in a step where ReLU's changes by more than 0.5; with a "
        "condition if not; not decided if ReLU's corner is not seen."
    ),
    expected=Verdict.HOLDS,
    arms={"GELU": "gelu", "ReLU": "relu", "tanh form": "gelu_tanh", "quick form": "quick_gelu"},
    measure=measure, rule=rule, draw=draw,
    units={"lowest": "output", "lowest_at": "input", "far_from_gate_in_errors": "standard errors"},
    limits=(
        "In use nothing is random: GELU is the mean, the same at training and inference. That it trains better than ReLU is "
        "another claim."
    ),
)  # fmt: skip
