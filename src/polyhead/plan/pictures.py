"""A plan's figures: where parameters and FLOPs are, what a step holds from beginning to end, what decoding reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyhead.report.figures import INK, MUTED, colour, figure

from . import sheet
from .telling import quantity, report, span

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(path: Any, found: dict[str, Any], name: str) -> None:
    """The figures, tables and text as one page. Raises DiskError."""
    sections = [("Parameters and FLOPs", sheet.drawn(lambda: parts(found), "Parameters and forward FLOPs by part."))]
    if len(found["flops"]["share_of_scores"]) > 1:
        told = "Scores, queries times keys and weights times values, as a share of all forward FLOPs, every pair counted."
        sections.append(("Attention against length", sheet.drawn(lambda: scores(found), told)))
    if "training" in found:
        told = "What is alive while a training step runs: forward through the layers, then back. A dashed line, where it comes near, is the device's memory."
        sections.append(("Memory of a training step", sheet.drawn(lambda: course(found), told)))
    if "decoding" in found:
        told = "Tokens per second by batch: planned, and the limits of bandwidth and of the peak."
        sections.append(("Writing", sheet.drawn(lambda: roofline(found), told)))
    sections.append(("In words", sheet.text(report(found, name))))
    sheet.write(path, f"Plan of {name}", sections)


def parts(found: dict[str, Any]) -> Figure:
    made, (left, right) = figure(2, height=3.0)
    rows = [(row["name"], row["total"]) for row in found["parameters"]["table"] if not row["depth"]]
    _bars(left, rows, "parameters", 0)
    _bars(right, list(found["flops"]["forward"].items()), "forward FLOPs of a row", 1)
    return made


def _bars(axes: Any, rows: list[tuple[str, float]], label: str, index: int) -> None:
    rows = [row for row in rows if row[1] > 0][::-1]
    axes.barh([name for name, _ in rows], [n for _, n in rows], color=colour(index))
    axes.set_xlabel(label)
    axes.xaxis.set_major_formatter(lambda x, _: quantity(x))
    axes.grid(False, axis="y")
    total = sum(n for _, n in rows)
    for i, (_, n) in enumerate(rows):
        axes.annotate(f"{n / total:.1%}", (n, i), xytext=(4, 0), textcoords="offset points", va="center", color=INK(), fontsize=9)
    axes.margins(x=0.16)


def scores(found: dict[str, Any]) -> Figure:
    made, axes = figure(1, width=8.4)
    points = [(int(n), 100 * share) for n, share in found["flops"]["share_of_scores"].items()]
    axes.plot(*zip(*points, strict=True), marker="o")
    axes.axvline(found["tokens"], color=MUTED(), linestyle="--", linewidth=1)
    axes.annotate("planned", (found["tokens"], 0), xytext=(4, 4), textcoords="offset points", color=MUTED(), fontsize=9)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.set(xlabel="tokens of a row", ylabel="scores, % of forward FLOPs", ylim=(0, None))
    return made


def course(found: dict[str, Any]) -> Figure:
    made, axes = figure(1, width=8.4)
    moments, training = found["training"]["course"], found["training"]
    fixed = sum(n for name, n in training["memory"].items() if name not in ("gradients", "activations", "logits", "workspace"))
    unit, word = (2**30, "GiB") if training["needed"] >= 2**30 else (2**20, "MiB")
    x = range(len(moments))
    forward = sum(1 for moment in moments if moment[3])
    axes.fill_between(x, [fixed / unit] * len(moments), color=colour(0), alpha=0.85, linewidth=0, label="weights, optimizer and what stays")
    tops = [(fixed + moment[4]) / unit for moment in moments]
    axes.fill_between(x, [fixed / unit] * len(moments), tops, color=colour(1), alpha=0.85, linewidth=0, label="activations, logits, gradients")
    axes.axvline(forward - 0.5, color=MUTED(), linewidth=1)
    axes.annotate("forward", (forward - 0.5, 1.0), xycoords=("data", "axes fraction"), xytext=(-6, -4), textcoords="offset points", ha="right", va="top", fontsize=9)
    axes.annotate("back", (forward - 0.5, 1.0), xycoords=("data", "axes fraction"), xytext=(6, -4), textcoords="offset points", va="top", fontsize=9)
    memory = found["device"]["memory"] / unit
    if memory < 2.5 * max(tops):
        axes.axhline(memory, color=INK(), linestyle="--", linewidth=1)
    axes.set(xlabel="embedding, layers, head; and back", ylabel=f"memory, {word}", xticks=[], ylim=(0, 1.15 * max(tops)), xlim=(0, len(moments) - 1))
    made.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return made


def roofline(found: dict[str, Any]) -> Figure:
    made, axes = figure(1, width=8.4)
    steps = found["decoding"]["steps"]
    rows = [step["rows"] for step in steps]
    axes.plot(rows, [step["rows"] / step["by_bandwidth"] for step in steps], color=MUTED(), linestyle="--", label="limit of bandwidth")
    axes.plot(rows, [step["rows"] / step["by_compute"] for step in steps], color=MUTED(), linestyle=":", label="limit of the peak")
    axes.plot(rows, [step["tokens_per_s"] for step in steps], marker="o", label=f"planned ({span(steps[0]['seconds'])} a step at batch {rows[0]})")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.yaxis.set_major_formatter(lambda y, _: quantity(y))
    axes.set(xlabel="rows written at a time", ylabel="tokens per second")
    axes.legend()
    return made
