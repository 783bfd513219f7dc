"""plan fit: a scaling law of one's own runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import aligned, emit, quantity, say
from .planning_size import told

if TYPE_CHECKING:
    from polyhead.plan.fitting import Fit


def run_fit(
    places: Sequence[str], embeddings: bool, resamples: int, seed: int, at: Sequence[float], out: Path | None, as_json: bool,
    html: Path | None,
) -> int:  # fmt: skip
    """The verb plan fit. at: budgets in FLOPs to forecast; left out: ten and a hundred times the largest measured."""
    from polyhead.checkpoint import write_text
    from polyhead.plan.fitting import fit
    from polyhead.plan.points import gather

    points = gather(places, embeddings=embeddings)
    found = fit(points, resamples=resamples, seed=seed)
    largest = float(points.flops.max())
    facts = _facts(found, list(at) or [10 * largest, 100 * largest], embeddings)
    if out is not None:
        write_text(out, json.dumps(facts | {"resampled": found.rows.tolist()}))
    if html is not None:
        _write_page(html, found, facts)
    if as_json:
        emit(facts)
    else:
        say("\n".join(_lines(found, facts, out)))
    return 0


def _facts(found: Fit, budgets: Sequence[float], embeddings: bool) -> dict[str, Any]:
    from polyhead.plan.scaling import BODY, WHOLE

    points = found.points
    ahead = [{"flops": flops, "decades_beyond": found.beyond(flops)} | found.best(flops) for flops in budgets]
    return {
        "points": len(points.loss), "params": WHOLE if embeddings else BODY, "constants": found.constants(), "miss": found.miss,
        "starts_agree": found.agree, "thin": found.thin, "remarks": list(points.remarks), "largest": float(points.flops.max()),
        "forecasts": ahead,
    }  # fmt: skip


def _lines(found: Fit, facts: Mapping[str, Any], out: Path | None) -> list[str]:
    from polyhead.plan.charts import fit_text

    constants = [(name, "{:.4g} ({:.4g} to {:.4g})".format(*values)) for name, values in facts["constants"].items()]
    ends = f"  middle miss {100 * found.miss:.2f} % of the loss; {found.agree:.0%} of the starts ended here; exponent: of N ∝ C^a"
    warned = [f"  thin: {line}" for line in found.thin] + [f"  note: {line}" for line in found.points.remarks]
    lines = [f"L(N, D) = E + A/N^alpha + B/D^beta of {facts['points']} points; N: {facts['params']}", *aligned(constants), ends, ""]
    lines += [*warned, ""] if warned else []
    lines += [*map(_ahead, facts["forecasts"]), "", fit_text(found)]
    return lines + ([f"\n  wrote {out}; polyhead plan size --flops 1e18 --law {out} sizes by it"] if out else [])


def _ahead(one: Mapping[str, Any]) -> str:
    far = f", {one['decades_beyond']:.1f} decades beyond the data" if one["decades_beyond"] > 0 else ""
    size, tokens = (told(one[name][0], one[name]) for name in ("params", "tokens"))
    return f"  at {one['flops']:.3g} FLOPs{far}: {size} parameters, {tokens} tokens, loss {_loss(one)}"


def _loss(one: Mapping[str, Any]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*one["loss"])


def _write_page(path: Path, found: Fit, facts: Mapping[str, Any]) -> None:
    from polyhead.plan import charts, sheet

    constants = [[name, *(f"{value:.4g}" for value in values)] for name, values in facts["constants"].items()]
    thin = found.thin or ["Nothing: sizes, lengths and points bear five constants."]
    ahead = [
        [f"{one['flops']:.3g}", f"{one['decades_beyond']:.1f}", told(one["params"][0], one["params"]), told(one["tokens"][0], one["tokens"]), _loss(one)]
        for one in facts["forecasts"]
    ]  # fmt: skip
    at = found.points
    points = [
        [name, quantity(n), quantity(d), f"{loss:.4f}", f"{found.surface.loss(n, d):.4f}"]
        for name, n, d, loss in zip(at.names, at.params, at.tokens, at.loss, strict=True)
    ]
    caption = (
        "Left: measured losses by compute, and the frontier with its 95 % band; dashed: the largest measured budget. Middle: what the "
        "fit misses. Right: iso-FLOP curves."
    )
    sheet.write(path, f"A scaling law of {facts['points']} points", [
        ("Constants", sheet.table(["", "fitted", "95 % from", "to"], constants)),
        ("What the data cannot bear", sheet.text("\n".join([*thin, *at.remarks]))),
        ("Figures", sheet.drawn(lambda: charts.fit_figures(found), caption)),
        ("Forecasts", sheet.table(["FLOPs", "decades beyond", "parameters", "tokens", "loss"], ahead)),
        ("Points", sheet.table(["point", "parameters", "tokens", "loss", "fitted"], points)),
    ])  # fmt: skip
