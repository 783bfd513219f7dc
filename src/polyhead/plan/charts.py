"""The figures of scaling and of layouts; each is drawn inside figures.theme, light or dark, by sheet.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polyhead.report.figures import BACK, INK, MUTED, colour, figure

from .cluster import Accelerator
from .parallel import Step
from .plot import Curve, plot
from .published import Compared
from .scaling import LAWS, Best, Cloud, Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .fitting import Fit


def budgets(flops: float, decades: int = 1) -> np.ndarray:
    """This budget, and some a factor of ten apart below and above it."""
    return flops * 10.0 ** np.arange(-decades, decades + 1)


def isoflop(surface: Surface, flops: float, span: float = 1.0, points: int = 33) -> list[tuple[float, float]]:
    """(N, loss) at one budget, over `span` decades of size on either side of the best."""
    best = surface.best(flops).params
    sizes = best * 10 ** np.linspace(-span, span, points)
    return [(float(n), surface.loss(n, flops / 6 / n)) for n in sizes]


def isoflop_text(surface: Surface, flops: float) -> str:
    """Iso-FLOP curves for a terminal, their minima marked."""
    each = [float(c) for c in budgets(flops)]
    lines = [Curve("loss at one budget, sizes traded for tokens", isoflop(surface, c, 0.8), line=True) for c in each]
    lows = [Curve(f"best at {c:.0e} FLOPs", [(surface.best(c).params, surface.loss(*surface.best(c)))]) for c in each]
    return plot([*lines, *lows], "parameters", "loss, nats per token")


def sizes_figure(best: Best, cloud: Cloud, name: str) -> Figure:
    """Left: iso-FLOP curves about the budget; right: where the published laws would spend budgets."""
    made, (left, right) = figure(2)
    _isoflops(left, cloud.surface, [float(c) for c in budgets(best.flops)])
    left.plot(best.params, cloud.surface.loss(*best), "D", color=INK(), markersize=6, label="asked", zorder=4)
    left.margins(x=0.12)
    left.legend(loc="upper right")
    left.set_title("One budget, many sizes")
    flops = np.logspace(np.log10(best.flops) - 3, np.log10(best.flops) + 2, 40)
    for i, (key, law) in enumerate((key, law) for key, law in LAWS.items() if key != "chinchilla-3-printed"):
        right.plot(flops, [law.frontier.best(float(c)).params for c in flops], label=key, color=colour(i), linewidth=2.4 if key == name else 1.5)
    right.plot(best.flops, best.params, "D", color=INK(), markersize=6, zorder=4)
    right.set(xscale="log", yscale="log", xlabel="training compute, FLOPs", ylabel="best size, parameters")
    right.set_title("What each law advises")
    right.legend()
    return made


def _isoflops(axes: Any, surface: Surface, each: Sequence[float]) -> None:
    for i, flops in enumerate(each):
        curve = np.array(isoflop(surface, flops))
        axes.plot(curve[:, 0], curve[:, 1], color=colour(i), label=f"{flops:.0e} FLOPs")
        best = surface.best(flops)
        axes.plot(best.params, surface.loss(*best), "o", color=colour(i))
    axes.set(xscale="log", xlabel="parameters", ylabel="loss, nats per token")


def fit_text(fit: Fit) -> str:
    """The measured points and the frontier for a terminal."""
    points = fit.points
    flops = np.logspace(np.log10(points.flops.min()), np.log10(points.flops.max()) + 1, 30)
    frontier = [(float(c), fit.surface.loss(*fit.surface.best(float(c)))) for c in flops]
    measured = list(zip(points.flops.tolist(), points.loss.tolist(), strict=True))
    return plot([Curve("frontier of the fit", frontier, line=True), Curve("measured", measured)], "training compute, FLOPs", "loss, nats per token")


def fit_figures(fit: Fit) -> Figure:
    """Measured losses over compute with the frontier and its band; measured against fitted; iso-FLOP curves."""
    made, axes = figure(3)
    points = fit.points
    _frontier(axes[0], fit)
    own = np.array([fit.surface.loss(n, d) for n, d in zip(points.params, points.tokens, strict=True)])
    axes[1].axhline(0, color=MUTED(), linewidth=1)
    axes[1].scatter(points.params, 100 * (points.loss / own - 1), c=[colour(0)], s=22)
    axes[1].set(xscale="log", xlabel="parameters", ylabel="measured over fitted loss, %")
    axes[1].set_title("What the fit misses")
    low, high = np.log10(points.flops.min()), np.log10(points.flops.max())
    _isoflops(axes[2], fit.surface, [float(c) for c in np.logspace(low, high + 1, 4)])
    axes[2].set_title("Iso-FLOP curves of the fit")
    axes[2].legend()
    return made


def _frontier(axes: Any, fit: Fit) -> None:
    points = fit.points
    flops = np.logspace(np.log10(points.flops.min()), np.log10(points.flops.max()) + 1.5, 40)
    ranges = np.array([fit.best(float(c))["loss"] for c in flops])
    shade = axes.scatter(points.flops, points.loss, c=np.log10(points.params), cmap="cool", s=22, zorder=3)
    axes.figure.colorbar(shade, ax=axes, label="log₁₀ parameters")
    axes.plot(flops, ranges[:, 0], color=colour(1), label="best at each budget")
    axes.fill_between(flops, ranges[:, 1], ranges[:, 2], color=colour(1), alpha=0.22, linewidth=0, label="95 %")
    axes.axvline(points.flops.max(), color=MUTED(), linestyle="--", linewidth=1.2)
    axes.set(xscale="log", xlabel="training compute, FLOPs", ylabel="loss, nats per token")
    axes.set_title("Measured losses and the frontier")
    axes.legend()


TIMES = {"products": "matrix products", "elementwise": "elementwise kernels", "tensor": "tensor parallel", "context": "context parallel",
         "expert": "expert parallel", "pipeline": "between stages", "bubble": "pipeline bubble", "data": "gradients, weights", "update": "optimizer"}  # fmt: skip


def layout_figure(steps: Sequence[Step], device: Accelerator) -> Figure:
    """Where the time of a step goes, and what fills a device, for the fastest layouts."""
    made, (left, right) = figure(2, height=1.9 + 0.5 * len(steps), sharey=True)
    names = [step.layout.words() for step in steps]
    _stack(left, names, [{TIMES[name]: t for name, t in step.times.items()} for step in steps])
    left.set(xlabel="seconds of one step, at the devices' rates")
    left.set_title("Time")
    _stack(right, names, [{name: held / 1e9 for name, held in step.peak._asdict().items()} for step in steps])
    right.axvline(device.memory / 1e9, color=MUTED(), linestyle="--", linewidth=1.2)
    right.set(xlabel="GB on the fullest device; dashed: what it has")
    right.set_title("Memory")
    left.invert_yaxis()
    made.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=8)
    made.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=8)
    return made


def _stack(axes: Any, names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> None:
    whole = max(sum(row.values()) for row in rows)
    parts = [part for part in rows[0] if max(row[part] for row in rows) > 0.004 * whole]
    start = np.zeros(len(names))
    for i, part in enumerate(parts):
        values = np.array([row[part] for row in rows])
        hatch = "///" if i >= 6 else None  # more parts than colours
        axes.barh(range(len(names)), values, 0.6, left=start, color=colour(i), label=part, edgecolor=BACK(), linewidth=0.6, hatch=hatch)
        start += values
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y", visible=False)


def published_figure(found: Sequence[Compared]) -> Figure:
    """How far planned speeds are from reported ones, run by run."""
    shown = [one for one in found if one.at_rates < 1.5]
    made, axes = figure(1, height=0.6 + 0.25 * len(shown), width=7.6)
    axes.axvspan(-20, 20, color=MUTED(), alpha=0.15, linewidth=0)
    axes.axvline(0, color=MUTED(), linewidth=1)
    rows = range(len(shown))
    axes.plot([100 * one.at_rates for one in shown], rows, "o", color=colour(1), label="at the devices' rates")
    axes.plot([100 * one.expected for one in shown], rows, "D", color=colour(0), label="and as much slower as runs of other sources")
    axes.set_yticks(rows, [one.run.name for one in shown])
    axes.invert_yaxis()
    axes.set(xlabel="planned over reported speed, %; shaded: within 20 %")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return made
