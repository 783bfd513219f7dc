"""plan size: what a budget buys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import ConfigError, DataError

from .output import aligned, emit, quantity, say

if TYPE_CHECKING:
    from polyhead.plan.scaling import Cloud, Law, Range
    from polyhead.plan.sizing import Shape, Sizing

_MFU = 0.4  # of devices whose layout cannot be planned


@dataclass(frozen=True)
class Budget:
    """What is given to size by: one of flops, tokens, params, or hours on so many devices."""

    flops: float | None = None
    tokens: float | None = None
    params: float | None = None
    hours: float | None = None
    on: str | None = None
    devices: int = 1
    mfu: float | None = None

    def given(self) -> dict[str, float]:
        values = {name: getattr(self, name) for name in ("flops", "tokens", "params", "hours")}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Found:
    """shape: of that size, or why there is none. machine: how hours became FLOPs. laws: what the published ones say of the budget."""

    sizing: Sizing
    cloud: Cloud | None
    shape: Shape | str
    machine: Mapping[str, Any]
    laws: Sequence[Mapping[str, Any]]


def run_size(budget: Budget, law: str, like: str, vocab: int | None, as_json: bool, html: Path | None) -> int:
    """The verb plan size. law: a published law's name, or a file that plan fit --out wrote."""
    found = _find(budget, law, like, vocab)
    if html is not None:
        _write_page(html, found)
    if as_json:
        emit(_facts(found))
    else:
        say("\n".join([*_lines(found), "", *_table(found), "", _chart(found)]))
    return 0


def _find(budget: Budget, law: str, like: str, vocab: int | None) -> Found:
    from polyhead.plan import sizing

    given = budget.given()
    if len(given) != 1:
        raise ConfigError(
            "one budget is sized at a time", expected="one of --flops, --tokens, --params, --hours",
            received=" and ".join(f"--{name}" for name in given) or "none", change="such as --flops 1e21",
        )  # fmt: skip
    known, cloud = read_law(law)
    machine: dict[str, Any] = {}
    if "hours" in given:
        given["flops"], machine = _of_hours(budget, known, like, vocab)
    best = sizing.size(flops=given.get("flops"), tokens=budget.tokens, params=budget.params, law=known, cloud=cloud)
    shaped: Shape | str
    try:
        shaped = sizing.shape(best.best.params, like, vocab=vocab, counts=known.params)
    except ConfigError as error:
        shaped = "; ".join(filter(None, (error.message, error.change)))
    return Found(best, cloud, shaped, machine, _by_law(best.best.flops))


def read_law(name: str) -> tuple[Law, Cloud | None]:
    """A published law, or a fit of one's own from the file of plan fit --out, whose resamples give the interval."""
    import numpy as np

    from polyhead.plan.scaling import WHOLE, Cloud, Law, Surface
    from polyhead.plan.sizing import law_of

    path = Path(name)
    if path.suffix != ".json":
        return law_of(name), None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        surface = Surface(**{key: float(data["constants"][key][0]) for key in ("E", "A", "B", "alpha", "beta")})
        cloud = Cloud(surface, np.array(data["resampled"], dtype=np.float64).reshape(-1, 5))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        wanted = "the file that polyhead plan fit --out wrote"
        raise DataError(f"{path} is no fitted law", expected=wanted, received=str(error)) from None
    origin = f"fitted to {data.get('points', 'some')} points, {path}"
    return Law(path.stem, surface, origin, data.get("params", WHOLE)), cloud


def _of_hours(budget: Budget, law: Law, like: str, vocab: int | None) -> tuple[float, dict[str, Any]]:
    """FLOPs that the devices do in the time, and how that was found. Unless it is given, the share of their peak is that of the
    fastest layout of the model that a first guess gives, slowed as published runs are."""
    from polyhead.plan import published
    from polyhead.plan.cluster import accelerator

    if budget.on is None:
        raise ConfigError("hours are of a device", expected="--on DEVICE", change="such as --hours 24 --on h100-sxm --devices 8")
    device = accelerator(budget.on)
    seconds = (budget.hours or 0) * 3600 * budget.devices
    mfu, how, layout = budget.mfu or _MFU, "given" if budget.mfu else f"taken as {_MFU}", None
    if not budget.mfu and (step := _planned(seconds * device.peak * mfu, budget, law, like, vocab)) is not None:
        mfu, layout = step.mfu / published.SLOWDOWN, step.layout.words()
        how = f"planned, with the slowdown of published runs, {published.SLOWDOWN}"
    facts = {"device": device.name, "devices": budget.devices, "hours": budget.hours, "peak": device.peak, "mfu": mfu}
    return seconds * device.peak * mfu, facts | {"mfu_is": how, "layout": layout}


def _planned(flops: float, budget: Budget, law: Law, like: str, vocab: int | None) -> Any:
    """The fastest step of a model of this budget on the devices; None where none fits or no such model is."""
    from polyhead.plan import choosing, sizing
    from polyhead.plan.cluster import accelerator

    try:
        best = sizing.size(flops=flops, law=law).best
        spec = sizing.shape(best.params, like, vocab=vocab, counts=law.params).spec
        length = min(spec.context, 4096)
        rows = budget.devices * max(1, 2**21 // length // budget.devices)
        step = choosing.choose(spec, budget.devices, accelerator(budget.on or ""), rows, length)[0]
    except ConfigError:
        return None
    return step if step.fits else None


def _by_law(flops: float) -> list[dict[str, Any]]:
    from polyhead.plan.scaling import LAWS, REFIT

    out = []
    for law in LAWS.values():
        best = law.frontier.best(flops)
        row = {"law": law.name, "params": best.params, "tokens": best.tokens, "tokens_per_parameter": best.ratio}
        out.append(row | {"exponent": law.frontier.exponent, "loss_by_refit": REFIT.loss(*best), "counts": law.params})
    return out


def _facts(found: Found) -> dict[str, Any]:
    best, law, shaped = found.sizing.best, found.sizing.law, found.shape
    shape = {"none": shaped} if isinstance(shaped, str) else {"like": shaped.preset, "params": shaped.params, "changes": shaped.changes}
    return {
        "law": law.name, "source": law.source, "counts": law.params, "note": law.note, "flops": best.flops, "params": best.params,
        "tokens": best.tokens, "tokens_per_parameter": best.ratio, "loss": found.sizing.loss, "around": found.sizing.around,
        "shape": shape, "machine": dict(found.machine), "laws": list(found.laws),
    }  # fmt: skip


def _lines(found: Found) -> list[str]:
    best, law, around = found.sizing.best, found.sizing.law, found.sizing.around or {}
    loss, low, high = found.sizing.loss
    rows = [
        ("compute", f"{best.flops:.3g} FLOPs{_machine(found.machine)}"),
        ("parameters", f"{told(best.params, around.get('params'))}, {law.params}"),
        ("tokens", told(best.tokens, around.get("tokens"))),
        ("per parameter", f"{best.ratio:.3g} tokens"),
        ("loss", f"{loss:.3f} nats per token ({low:.3f} to {high:.3f})"),
        ("shape", found.shape if isinstance(found.shape, str) else _shape(found.shape)),
    ]
    note = [f"  {law.note}"] if law.note else []
    caution = "  The loss is of the law's own text and tokenizer; intervals (95 %) are of its constants alone."
    return [f"{law.name}: {law.source}", *aligned(rows), *note, caution]


def _machine(machine: Mapping[str, Any]) -> str:
    if not machine:
        return ""
    return ": {hours:g} h of {devices} × {device} at MFU {mfu:.2f} ({mfu_is})".format(**machine)


def told(value: float, around: Range | None) -> str:
    """1500, (1500, 1400, 1700) → "1.5k (1.4k to 1.7k)"."""
    return quantity(value) + (f" ({quantity(around[1])} to {quantity(around[2])})" if around else "")


def _shape(shaped: Shape) -> str:
    changes = " ".join(f"{'model.' if '.' in key else ''}{key}={value}" for key, value in shaped.changes.items())
    return f"{shaped.preset} with {changes}: {shaped.params:,}"


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    per, loss = f"{one['tokens_per_parameter']:.3g}", f"{one['loss_by_refit']:.3f}"
    return one["law"], quantity(one["params"]), quantity(one["tokens"]), per, loss


def _table(found: Found) -> list[str]:
    rows = [("this budget by", "parameters", "tokens", "tokens/parameter", "loss by refit"), *map(_cells, found.laws)]
    return ["  {:<22}{:>11}{:>9}{:>18}{:>15}".format(*row) for row in rows]


def _chart(found: Found) -> str:
    from polyhead.plan.charts import isoflop_text
    from polyhead.plan.scaling import REFIT

    return isoflop_text(found.cloud.surface if found.cloud is not None else REFIT, found.sizing.best.flops)


def _write_page(path: Path, found: Found) -> None:
    from polyhead.plan import charts, sheet
    from polyhead.plan.scaling import refit_cloud

    best, own = found.sizing.best, found.cloud if found.cloud is not None else refit_cloud()
    caption = (
        "Left: at a fixed budget a larger model sees fewer tokens; the minimum is the best size. "
        "Right: the sizes that published laws advise."
    )
    head = ["law", "parameters", "tokens", "tokens per parameter", "loss by refit", "counts"]
    sheet.write(path, f"A budget of {best.flops:.3g} FLOPs", [
        ("What it buys", sheet.text("\n".join(_lines(found)))),
        ("Sizes and laws", sheet.drawn(lambda: charts.sizes_figure(best, own, found.sizing.law.name), caption)),
        ("By every law", sheet.table(head, [[*_cells(one), one["counts"]] for one in found.laws])),
    ])  # fmt: skip
