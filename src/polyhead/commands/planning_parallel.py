"""plan parallel: a step over many devices, and published runs beside their plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import ConfigError

from .output import aligned, emit, quantity, say

if TYPE_CHECKING:
    from polyhead.plan.parallel import Step
    from polyhead.plan.published import Compared

_SHARED = {
    "none": "replicated", "optimizer": "optimizer sharded (ZeRO-1)", "gradients": "gradients sharded (ZeRO-2)", "full": "all sharded (FSDP)",
}  # fmt: skip


def run_parallel(
    model: str | None, devices: int | None, on: str, batch: int | None, length: int | None, fixed: Mapping[str, Any],
    tokens: float | None, as_json: bool, html: Path | None,
) -> int:  # fmt: skip
    """The verb plan parallel; without a model, published runs beside their plans. fixed: fields of Layout that are given."""
    if model is None:
        return _published(as_json, html)
    from polyhead.plan.choosing import choose
    from polyhead.plan.cluster import accelerator

    from .showing import resolve

    spec, device = resolve(model), accelerator(on)
    if devices is None:
        example = f"polyhead plan parallel {model} --devices 64 --on {on}"
        raise ConfigError("over how many devices?", expected="--devices N", change=example)
    long = length or min(getattr(spec, "context", 4096), 8192)
    rows = batch or devices * max(1, round(2**22 / long / devices))
    steps = unlike(choose(spec, devices, device, rows, long, fixed))  # type: ignore[arg-type]
    if html is not None:
        _write_page(html, model, steps, tokens)
    if as_json:
        layouts = [step_facts(step, tokens) for step in steps[:8]]
        emit({"model": model, "device": asdict(device), "fits": steps[0].fits, "layouts": layouts})
    else:
        say("\n".join(_lines(model, steps, tokens)))
    return 0


def unlike(steps: Sequence[Step]) -> list[Step]:
    """The fastest of those that differ in microbatch and chunks alone."""
    first: dict[tuple[str, str, str], Step] = {}
    for step in steps:
        first.setdefault((step.layout.words(), step.layout.shard, step.layout.recompute), step)
    return list(first.values())


def step_facts(step: Step, tokens: float | None = None) -> dict[str, Any]:
    """A planned step as JSON data; tokens: of a whole training."""
    from polyhead.plan.published import RANGE, SLOWDOWN

    layout, speed = step.layout, step.tokens_per_second / SLOWDOWN
    counted = {"devices": layout.devices, "microbatches": layout.microbatches, "words": layout.words()}
    facts: dict[str, Any] = {
        "layout": asdict(layout) | counted, "seconds": step.seconds * SLOWDOWN, "seconds_range": [step.seconds * ratio for ratio in RANGE],
        "seconds_at_rates": step.seconds, "times_at_rates": step.times, "mfu": step.mfu / SLOWDOWN, "tokens_per_second": speed,
        "bubble": layout.bubble, "memory": [one._asdict() for one in step.held], "memory_most": step.peak.total, "fits": step.fits,
        "bytes_per_device": step.traffic._asdict(), "link_bytes_per_second": step.rates,
    }  # fmt: skip
    return facts | ({"days": tokens / speed / 86400} if tokens else {})


def _lines(model: str, steps: Sequence[Step], tokens: float | None) -> list[str]:
    from polyhead.plan.published import RANGE, SLOWDOWN

    best, layout = steps[0], steps[0].layout
    chosen = "the fastest of those that fit" if len(steps) > 1 else "as given" if best.fits else "DOES NOT FIT; of those tried it needs least"
    lines = [f"{model} on {layout.devices} × {best.device.name}: {layout.words()} ({chosen})", *aligned(list(_rows(best, tokens))), ""]
    lines += _times(best)
    lines.append(
        f"  A step is expected to take {SLOWDOWN} times what the rates give: published runs took {RANGE[0]} to {RANGE[1]} times "
        "theirs (polyhead plan parallel)."
    )
    if others := steps[1:6]:
        lines += ["", f"  {'other layouts: what is sharded, recomputed':<56}{'seconds':>9}{'GB':>7}"]
        for step in others:
            words = f"{step.layout.words()}: {step.layout.shard}, {step.layout.recompute}"
            lines.append(f"  {words:<56}{step.seconds * SLOWDOWN:>9.3g}{step.peak.total / 1e9:>7.1f}")
    return lines


def _rows(step: Step, tokens: float | None) -> Iterator[tuple[str, str]]:
    layout, held, facts = step.layout, step.peak, step_facts(step, tokens)
    passes = f"{layout.microbatches} microbatches of {layout.microbatch}"
    yield "batch", f"{layout.batch:,} rows of {layout.length:,} tokens; {passes}; {_SHARED[layout.shard]}; recompute {layout.recompute}"
    parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in held._asdict().items() if size)
    yield "memory", f"{held.total / 1e9:.1f} of {step.device.memory / 1e9:.0f} GB: {parts}"
    low, high = facts["seconds_range"]
    speed = quantity(facts["tokens_per_second"])
    yield "step", f"{facts['seconds']:.3g} s ({low:.3g} to {high:.3g}), MFU {facts['mfu']:.0%}, {speed} tokens/s"
    if tokens:
        yield "training", f"{facts['days']:.3g} days for {quantity(tokens)} tokens"
    if layout.pipeline > 1:
        formula = f"({layout.pipeline} − 1) / ({layout.interleave} × {layout.microbatches})"
        yield "bubble", f"{layout.bubble:.1%} of busy time: {formula}"


def _times(step: Step) -> Iterator[str]:
    from polyhead.plan.charts import TIMES

    yield f"  {'at the rates':<22}{'seconds':>9}{'share':>8}{'bytes out of a device':>24}{'at':>12}"
    sent = step.traffic._asdict()
    for name, seconds in step.times.items():
        size = sent.get(name, 0)
        if seconds or size:
            link = f"{quantity(size) + 'B':>24}{quantity(step.rates[name]) + 'B/s':>12}" if size else ""
            yield f"  {TIMES[name]:<22}{seconds:>9.3g}{seconds / step.seconds:>8.1%}{link}"


def _write_page(path: Path, model: str, steps: Sequence[Step], tokens: float | None) -> None:
    from polyhead.plan import charts, sheet

    shown = steps[:6]
    device = shown[0].device
    caption = "The fastest layouts that fit: what a step waits for, and what the fullest device holds."
    sheet.write(path, f"{model} on {shown[0].layout.devices} × {device.name}", [
        ("Layout", sheet.text("\n".join(_lines(model, steps, tokens)))),
        ("Time and memory", sheet.drawn(lambda: charts.layout_figure(shown, device), caption)),
    ])  # fmt: skip


def _published(as_json: bool, html: Path | None) -> int:
    from polyhead.plan.published import compare

    found = compare()
    if html is not None:
        _write_published(html, found)
    if as_json:
        emit([_compared(one) for one in found])
        return 0
    head = ("published run", "layout", "reported", "planned", "error", "at rates")
    for row in [head, *map(_cells, found)]:
        say("  {:<44}{:<28}{:>9}{:>9}{:>8}{:>10}".format(*row))
    say("  tokens/s of one device. At rates: by the devices' figures alone. Planned: slowed as the runs of the other sources are; no run's own")
    say("  source is in its plan.")
    return 0


def _compared(one: Compared) -> dict[str, Any]:
    run = one.run
    return {
        "run": run.name, "layout": run.layout.words(), "device": run.device, "said": run.said, "where": run.where, "open": run.open,
        "reported": one.reported, "planned_at_rates": one.reported * (1 + one.at_rates), "planned": one.reported * (1 + one.expected),
        "error_at_rates": one.at_rates, "error": one.expected,
    }  # fmt: skip


def _cells(one: Compared) -> tuple[str, ...]:
    planned = f"{one.reported * (1 + one.expected):.1f}"
    return one.run.name, one.run.layout.words(), f"{one.reported:.1f}", planned, f"{one.expected:+.0%}", f"{one.at_rates:+.0%}"


def _write_published(path: Path, found: Sequence[Compared]) -> None:
    from polyhead.plan import charts, sheet

    head = ["run", "layout", "tokens/s per device", "planned", "error", "at rates", "as printed", "where", "left open"]
    rows = [[*_cells(one), one.run.said, one.run.where, one.run.open] for one in found]
    caption = "Planned over reported speed; ZeRO-3 without model parallelism on 1536 GPUs lies far to the right and is in the table alone."
    sheet.write(path, "Published runs beside their plans", [
        ("Errors", sheet.drawn(lambda: charts.published_figure(found), caption)), ("Runs", sheet.table(head, rows)),
    ])  # fmt: skip
