"""plan size, plan fit, plan parallel: what a budget buys, a law of your own runs, and a step over many devices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import ConfigError, DataError

from .output import aligned, emit, quantity, say

if TYPE_CHECKING:
    from polyhead.plan.fitting import Fit
    from polyhead.plan.parallel import Step
    from polyhead.plan.scaling import Cloud, Law, Range
    from polyhead.plan.sizing import Shape, Sizing

_MFU = 0.4  # of a device whose layout cannot be planned


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


def run_size(budget: Budget, law: str, like: str, vocab: int | None, as_json: bool, html: Path | None) -> int:
    """The verb plan size. law: a published law's name, or a file that plan fit --out wrote."""
    from polyhead.plan import sizing

    given = {name: value for name in ("flops", "tokens", "params", "hours") if (value := getattr(budget, name)) is not None}
    if len(given) != 1:
        raise ConfigError("one budget is sized at a time", expected="one of --flops, --tokens, --params, --hours",
                          received=" and ".join(f"--{name}" for name in given) or "none", change="such as --flops 1e21")  # fmt: skip
    known, cloud = read_law(law)
    machine: dict[str, Any] = {}
    if budget.hours is not None:
        flops, machine = _of_hours(budget, known, like, vocab)
        found = sizing.size(flops=flops, law=known, cloud=cloud)
    else:
        found = sizing.size(flops=budget.flops, tokens=budget.tokens, params=budget.params, law=known, cloud=cloud)
    try:
        shaped, why = sizing.shape(found.best.params, like, vocab=vocab, counts=known.params), ""
    except ConfigError as error:
        shaped, why = None, error.message + (f"; {error.change}" if error.change else "")
    others = _others(found)
    if html is not None:
        _size_page(html, found, cloud, others, shaped, why, machine)
    if as_json:
        emit(_size_facts(found, shaped, why, machine, others))
    else:
        say("\n".join(_size_lines(found, cloud, shaped, why, machine, others)))
    return 0


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
        raise DataError(f"{path} is no fitted law", expected="the file that polyhead plan fit --out wrote", received=str(error)) from None
    return Law(path.stem, surface, f"fitted to {data.get('points', 'some')} points, {path}", data.get("params", WHOLE)), cloud


def _of_hours(budget: Budget, law: Law, like: str, vocab: int | None) -> tuple[float, dict[str, Any]]:
    """FLOPs that the devices do in the time, and how that was found: a first guess of the share of their peak, then that of the fastest
    layout of the model that this guess gives, slowed as published runs are."""
    from polyhead.plan import choosing, published, sizing
    from polyhead.plan.cluster import accelerator

    if budget.on is None:
        raise ConfigError("hours are of a device", expected="--on DEVICE", change="such as --hours 24 --on h100-sxm --devices 8")
    device = accelerator(budget.on)
    seconds = (budget.hours or 0) * 3600 * budget.devices
    mfu, how, layout = budget.mfu or _MFU, "given" if budget.mfu else f"taken as {_MFU}", None
    if not budget.mfu:
        try:
            best = sizing.size(flops=seconds * device.peak * mfu, law=law).best
            spec = sizing.shape(best.params, like, vocab=vocab, counts=law.params).spec
            length = min(spec.context, 4096)
            step = choosing.choose(spec, budget.devices, device, budget.devices * max(1, 2**21 // length // budget.devices), length)[0]
            if step.fits:
                mfu, layout = step.mfu / published.SLOWDOWN, step.layout.words()
                how = f"planned, with the slowdown of published runs, {published.SLOWDOWN}"
        except ConfigError:
            pass
    facts = {"device": device.name, "devices": budget.devices, "hours": budget.hours, "peak": device.peak, "mfu": mfu, "mfu_is": how, "layout": layout}
    return seconds * device.peak * mfu, facts


def _others(found: Sizing) -> list[dict[str, Any]]:
    """What every published law says of this budget."""
    from polyhead.plan.scaling import LAWS, REFIT

    out = []
    for law in LAWS.values():
        best = law.frontier.best(found.best.flops)
        out.append({"law": law.name, "params": best.params, "tokens": best.tokens, "tokens_per_parameter": best.ratio, "exponent": law.frontier.exponent,
                    "loss_by_refit": REFIT.loss(*best), "counts": law.params})  # fmt: skip
    return out


def _size_facts(found: Sizing, shaped: Shape | None, why: str, machine: Mapping[str, Any], others: Sequence[Any]) -> dict[str, Any]:
    best = found.best
    shape = {"like": shaped.preset, "params": shaped.params, "changes": shaped.changes} if shaped else {"none": why}
    return {
        "law": found.law.name, "source": found.law.source, "counts": found.law.params, "note": found.law.note, "flops": best.flops,
        "params": best.params, "tokens": best.tokens, "tokens_per_parameter": best.ratio, "loss": found.loss, "around": found.around,
        "shape": shape, "machine": dict(machine), "laws": list(others),
    }  # fmt: skip


def _size_lines(found: Sizing, cloud: Cloud | None, shaped: Shape | None, why: str, machine: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    from polyhead.plan.charts import isoflop_text
    from polyhead.plan.scaling import REFIT

    best, around = found.best, found.around or {}
    rows = [("compute", f"{best.flops:.3g} FLOPs" + (f": {machine['hours']:g} h of {machine['devices']} × {machine['device']} at MFU {machine['mfu']:.2f} ({machine['mfu_is']})" if machine else "")),
            ("parameters", _told(best.params, around.get("params")) + f", {found.law.params}"), ("tokens", _told(best.tokens, around.get("tokens"))),
            ("per parameter", f"{best.ratio:.3g} tokens"), ("loss", f"{found.loss[0]:.3f} nats per token ({found.loss[1]:.3f} to {found.loss[2]:.3f})")]  # fmt: skip
    rows.append(("shape", _shape_words(shaped) if shaped else why))
    told = [f"{found.law.name}: {found.law.source}", *aligned(rows), f"  {found.law.note}" if found.law.note else "",
            "  The loss is of the law's own text and tokenizer; intervals (95 %) are of its constants alone.", ""]  # fmt: skip
    head = f"  {'this budget by':<22}{'parameters':>11}{'tokens':>9}{'tokens/parameter':>18}{'loss by refit':>15}"
    lines = [f"  {one['law']:<22}{quantity(one['params']):>11}{quantity(one['tokens']):>9}{one['tokens_per_parameter']:>18.3g}{one['loss_by_refit']:>15.3f}" for one in others]
    surface = cloud.surface if cloud is not None else REFIT
    return [*(line for line in told if line or line == ""), head, *lines, "", isoflop_text(surface, best.flops)]


def _told(value: float, around: Range | None) -> str:
    return quantity(value) + (f" ({quantity(around[1])} to {quantity(around[2])})" if around else "")


def _shape_words(shaped: Shape) -> str:
    changes = " ".join(f"{'model.' if '.' in key else ''}{key}={value}" for key, value in shaped.changes.items())
    return f"{shaped.preset} with {changes}: {shaped.params:,}"


def _size_page(path: Path, found: Sizing, cloud: Cloud | None, others: Sequence[Mapping[str, Any]], shaped: Shape | None, why: str, machine: Mapping[str, Any]) -> None:
    from polyhead.plan import charts, sheet
    from polyhead.plan.scaling import refit_cloud

    own = cloud if cloud is not None else refit_cloud()
    rows = [[one["law"], quantity(one["params"]), quantity(one["tokens"]), f"{one['tokens_per_parameter']:.3g}", f"{one['loss_by_refit']:.3f}", one["counts"]] for one in others]
    sheet.write(path, f"A budget of {found.best.flops:.3g} FLOPs", [
        ("What it buys", sheet.text("\n".join(_size_lines(found, cloud, shaped, why, machine, [])[:9]))),
        ("Sizes and laws", sheet.drawn(lambda: charts.sizes_figure(found.best, own, found.law.name), "Left: at a fixed budget a larger model sees fewer tokens; the minimum is the best size. Right: the sizes that published laws advise.")),
        ("By every law", sheet.table(["law", "parameters", "tokens", "tokens per parameter", "loss by refit", "counts"], rows)),
    ])  # fmt: skip


def run_fit(places: Sequence[str], embeddings: bool, resamples: int, seed: int, at: Sequence[float], out: Path | None, as_json: bool, html: Path | None) -> int:
    """The verb plan fit. at: budgets in FLOPs to forecast; left out: ten and a hundred times the largest measured."""
    from polyhead.plan.fitting import fit
    from polyhead.plan.points import gather

    points = gather(places, embeddings=embeddings)
    found = fit(points, resamples=resamples, seed=seed)
    budgets = list(at) or [float(points.flops.max()) * factor for factor in (10, 100)]
    facts = _fit_facts(found, budgets, embeddings)
    if out is not None:
        from polyhead.checkpoint import write_text

        write_text(out, json.dumps(facts | {"resampled": found.rows.tolist()}))
    if html is not None:
        _fit_page(html, found, facts)
    if as_json:
        emit(facts)
    else:
        say("\n".join(_fit_lines(found, facts, out)))
    return 0


def _fit_facts(found: Fit, budgets: Sequence[float], embeddings: bool) -> dict[str, Any]:
    from polyhead.plan.scaling import BODY, WHOLE

    points = found.points
    return {
        "points": len(points.loss), "params": WHOLE if embeddings else BODY, "constants": found.constants(), "miss": found.miss, "starts_agree": found.agree,
        "thin": found.thin, "remarks": list(points.remarks), "largest": float(points.flops.max()),
        "forecasts": [{"flops": c, "decades_beyond": found.beyond(c)} | found.best(c) for c in budgets],
    }  # fmt: skip


def _fit_lines(found: Fit, facts: Mapping[str, Any], out: Path | None) -> list[str]:
    from polyhead.plan.charts import fit_text

    told = [f"L(N, D) = E + A/N^alpha + B/D^beta of {facts['points']} points; N: {facts['params']}"]
    told += aligned([(name, f"{value:.4g} ({low:.4g} to {high:.4g})") for name, (value, low, high) in facts["constants"].items()])
    told += [f"  middle miss {100 * found.miss:.2f} % of the loss; {found.agree:.0%} of the starts ended here; exponent: of N ∝ C^a", ""]
    told += [f"  thin: {line}" for line in found.thin] + [f"  note: {line}" for line in found.points.remarks]
    told += [""] if found.thin or found.points.remarks else []
    for one in facts["forecasts"]:
        far = f", {one['decades_beyond']:.1f} decades beyond the data" if one["decades_beyond"] > 0 else ""
        told.append(f"  at {one['flops']:.3g} FLOPs{far}: {_told(one['params'][0], one['params'])} parameters, {_told(one['tokens'][0], one['tokens'])} tokens, "
                    f"loss {one['loss'][0]:.3f} ({one['loss'][1]:.3f} to {one['loss'][2]:.3f})")  # fmt: skip
    told += ["", fit_text(found)]
    return told + ([f"\n  wrote {out}; polyhead plan size --flops 1e18 --law {out} sizes by it"] if out else [])


def _fit_page(path: Path, found: Fit, facts: Mapping[str, Any]) -> None:
    from polyhead.plan import charts, sheet

    rows = [[name, f"{value:.4g}", f"{low:.4g}", f"{high:.4g}"] for name, (value, low, high) in facts["constants"].items()]
    thin = "\n".join(found.thin) or "Nothing: sizes, lengths and points bear five constants."
    ahead = [[f"{one['flops']:.3g}", f"{one['decades_beyond']:.1f}", *(_told(one[key][0], one[key]) for key in ("params", "tokens")),
              "{:.3f} ({:.3f} to {:.3f})".format(*one["loss"])] for one in facts["forecasts"]]  # fmt: skip
    points = [[name, quantity(n), quantity(d), f"{loss:.4f}", f"{found.surface.loss(n, d):.4f}"]
              for name, n, d, loss in zip(found.points.names, found.points.params, found.points.tokens, found.points.loss, strict=True)]  # fmt: skip
    sheet.write(path, f"A scaling law of {facts['points']} points", [
        ("Constants", sheet.table(["", "fitted", "95 % from", "to"], rows)),
        ("What the data cannot bear", sheet.text("\n".join([thin, *found.points.remarks]))),
        ("Figures", sheet.drawn(lambda: charts.fit_figures(found), "Left: measured losses by compute, and the frontier with its 95 % band; dashed: the largest measured budget. Middle: residuals. Right: iso-FLOP curves.")),
        ("Forecasts", sheet.table(["FLOPs", "decades beyond", "parameters", "tokens", "loss"], ahead)),
        ("Points", sheet.table(["point", "parameters", "tokens", "loss", "fitted"], points)),
    ])  # fmt: skip


def run_parallel(model: str | None, devices: int | None, on: str, batch: int | None, length: int | None, fixed: Mapping[str, Any], tokens: float | None, as_json: bool, html: Path | None) -> int:
    """The verb plan parallel; without a model, published runs beside their plans."""
    if model is None:
        return _published(as_json, html)
    from polyhead.plan.choosing import choose
    from polyhead.plan.cluster import accelerator

    from .showing import resolve

    spec, device = resolve(model), accelerator(on)
    if devices is None:
        raise ConfigError("over how many devices?", expected="--devices N", change=f"polyhead plan parallel {model} --devices 64 --on {on}")
    long = length or min(getattr(spec, "context", 4096), 8192)
    rows = batch or devices * max(1, round(2**22 / long / devices))
    steps = choose(spec, devices, device, rows, long, fixed)  # type: ignore[arg-type]
    if html is not None:
        _layout_page(html, model, steps, tokens)
    if as_json:
        emit({"model": model, "device": asdict(device), "fits": steps[0].fits, "layouts": [step_facts(step, tokens) for step in unlike(steps)[:8]]})
    else:
        say("\n".join(_layout_lines(model, steps, tokens)))
    return 0


def step_facts(step: Step, tokens: float | None = None) -> dict[str, Any]:
    from polyhead.plan.published import RANGE, SLOWDOWN

    whole = step.seconds * SLOWDOWN
    facts: dict[str, Any] = {
        "layout": asdict(step.layout) | {"devices": step.layout.devices, "microbatches": step.layout.microbatches, "words": step.layout.words()},
        "seconds": whole, "seconds_range": [step.seconds * ratio for ratio in RANGE], "seconds_at_rates": step.seconds, "mfu": step.mfu / SLOWDOWN,
        "tokens_per_second": step.tokens_per_second / SLOWDOWN, "times_at_rates": step.times, "bubble": step.layout.bubble,
        "memory": [one._asdict() for one in step.held], "memory_most": step.peak.total, "fits": step.fits,
        "bytes_per_device": step.traffic._asdict(), "link_bytes_per_second": step.rates,
    }  # fmt: skip
    return facts | ({"days": tokens / facts["tokens_per_second"] / 86400} if tokens else {})


def _layout_lines(model: str, steps: Sequence[Step], tokens: float | None) -> list[str]:
    from polyhead.plan.charts import TIMES
    from polyhead.plan.published import RANGE, SLOWDOWN

    best, layout, device = steps[0], steps[0].layout, steps[0].device
    held, facts = best.peak, step_facts(best, tokens)
    chosen = "the fastest of those that fit" if best.fits and len(steps) > 1 else "as given" if best.fits else "DOES NOT FIT; of those tried it needs least"
    told = [f"{model} on {layout.devices} × {device.name}: {layout.words()} ({chosen})"]
    state = {"none": "replicated", "optimizer": "optimizer sharded (ZeRO-1)", "gradients": "gradients sharded (ZeRO-2)", "full": "all sharded (FSDP)"}[layout.shard]
    rows = [("batch", f"{layout.batch:,} rows of {layout.length:,} tokens; {layout.microbatches} microbatches of {layout.microbatch}; {state}; recompute {layout.recompute}"),
            ("memory", f"{held.total / 1e9:.1f} of {device.memory / 1e9:.0f} GB: " + ", ".join(f"{name} {size / 1e9:.1f}" for name, size in held._asdict().items() if size)),
            ("step", f"{facts['seconds']:.3g} s ({facts['seconds_range'][0]:.3g} to {facts['seconds_range'][1]:.3g}), MFU {facts['mfu']:.0%}, {quantity(facts['tokens_per_second'])} tokens/s")]  # fmt: skip
    rows += [("training", f"{facts['days']:.3g} days for {quantity(tokens)} tokens")] if tokens else []
    rows += [("bubble", f"{layout.bubble:.1%} of busy time: ({layout.pipeline} − 1) / ({layout.interleave} × {layout.microbatches})")] if layout.pipeline > 1 else []
    told += aligned(rows)
    told += ["", f"  {'at the rates':<22}{'seconds':>9}{'share':>8}{'bytes out of a device':>24}{'at':>12}"]
    sent = best.traffic._asdict()
    for name, seconds in best.times.items():
        if seconds or sent.get(name):
            link = f"{quantity(sent[name]) + 'B':>24}{quantity(best.rates[name]) + 'B/s':>12}" if sent.get(name) else ""
            told.append(f"  {TIMES[name]:<22}{seconds:>9.3g}{seconds / best.seconds:>8.1%}{link}")
    told += [f"  A step is expected to take {SLOWDOWN} times what the rates give: published runs took {RANGE[0]} to {RANGE[1]} times theirs (polyhead plan parallel)."]
    if others := unlike(steps)[1:6]:
        told += ["", f"  {'other layouts: what is sharded, recomputed':<56}{'seconds':>9}{'GB':>7}"]
        told += [f"  {step.layout.words() + f': {step.layout.shard}, {step.layout.recompute}':<56}{step.seconds * SLOWDOWN:>9.3g}{step.peak.total / 1e9:>7.1f}" for step in others]
    return told


def unlike(steps: Sequence[Step]) -> list[Step]:
    """The fastest of those that differ in microbatch and chunks alone."""
    first: dict[tuple[str, str, str], Step] = {}
    for step in steps:
        first.setdefault((step.layout.words(), step.layout.shard, step.layout.recompute), step)
    return list(first.values())


def _layout_page(path: Path, model: str, steps: Sequence[Step], tokens: float | None) -> None:
    from polyhead.plan import charts, sheet

    shown = unlike(steps)[:6]
    sheet.write(path, f"{model} on {shown[0].layout.devices} × {shown[0].device.name}", [
        ("Layout", sheet.text("\n".join(_layout_lines(model, steps, tokens)))),
        ("Time and memory", sheet.drawn(lambda: charts.layout_figure(shown, shown[0].device), "The fastest layouts that fit: what a step waits for, and what the fullest device holds.")),
    ])  # fmt: skip


def _published(as_json: bool, html: Path | None) -> int:
    from polyhead.plan.published import compare

    found = compare()
    if as_json:
        emit([{"run": one.run.name, "layout": one.run.layout.words(), "device": one.run.device, "said": one.run.said, "where": one.run.where, "open": one.run.open,
               "reported": one.reported, "planned_at_rates": one.reported * (1 + one.at_rates), "planned": one.reported * (1 + one.expected),
               "error_at_rates": one.at_rates, "error": one.expected} for one in found])  # fmt: skip
    else:
        say(f"  {'published run':<44}{'layout':<28}{'reported':>9}{'planned':>9}{'error':>8}{'at rates':>10}")
        for one in found:
            say(f"  {one.run.name:<44}{one.run.layout.words():<28}{one.reported:>9.1f}{one.reported * (1 + one.expected):>9.1f}{one.expected:>+8.0%}{one.at_rates:>+10.0%}")
        say("  tokens/s of one device. At rates: by the devices' figures alone. Planned: slowed as the runs of the other sources are; no run's own source is in its plan.")
    if html is not None:
        from polyhead.plan import charts, sheet

        rows = [[one.run.name, one.run.layout.words(), one.run.said, f"{one.reported:.1f}", f"{one.reported * (1 + one.expected):.1f}", f"{one.expected:+.0%}", f"{one.at_rates:+.0%}", one.run.where, one.run.open] for one in found]
        sheet.write(html, "Published runs beside their plans", [
            ("Errors", sheet.drawn(lambda: charts.published_figure(found), "Planned over reported speed; ZeRO-3 without model parallelism lies far to the right and is in the table alone.")),
            ("Runs", sheet.table(["run", "layout", "as printed", "tokens/s per device", "planned", "error", "at rates", "where", "left open"], rows)),
        ])  # fmt: skip
    return 0
