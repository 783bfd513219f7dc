"""train --dry-run: everything up to one real step, in a temporary folder; says what the run would be. train --show begins
in the same way."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from polyhead.report.page import duration

from .output import aligned, emit, is_terminal, note, quantity, say
from .progress import size_of_step

if TYPE_CHECKING:
    from polyhead.train import RunConfig
    from polyhead.train.prepare import Prepared
    from polyhead.train.run import Run
    from polyhead.train.start import Start

_TIMED = 3  # steps that are timed after one to warm up


class Ready(NamedTuple):
    """A run that could begin: its data prepared, its steps counted. begun: the model it would go on from; why: the reason for
    its objective."""

    run: Run
    begun: Start | None
    prepared: Prepared
    why: str


def ready(config: RunConfig, folder: Path) -> Ready:
    """Everything before the model is built, in `folder`."""
    from polyhead.train import Ranks
    from polyhead.train.parallel import pick_device
    from polyhead.train.prepare import prepare
    from polyhead.train.run import Run
    from polyhead.train.settings import chosen
    from polyhead.train.start import Start, is_model

    ranks = Ranks(device=pick_device(config.training.device))
    tell = (lambda name, fields: note(f"{fields['text']} …")) if is_terminal(sys.stderr) else (lambda *_: None)
    config, why = chosen(config)
    run = Run(config, folder, ranks, tell)
    run.set_threads(None)
    begun = Start(config.model) if is_model(config.model) else None
    prepared = prepare(run.config, folder, ranks, tell, begun)
    run.count_steps(prepared, None)
    return Ready(run, begun, prepared, why)


def rehearse(config: RunConfig, as_json: bool) -> int:
    """Prepare the data, build the model, make a few steps, and tell; nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="polyhead-", ignore_cleanup_errors=True) as scratch:
        found = measure(config, Path(scratch))
    if as_json:
        emit(found)
    else:
        say("\n".join(_told(config, found)))
    return 0


def measure(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Counts, memory and time of the run that `config` describes."""
    from polyhead.train import Trainer
    from polyhead.train.loop import batches
    from polyhead.train.memory import explain_memory, step_memory
    from polyhead.train.trained import apply, count

    before = peak_memory()
    run, begun, prepared, _ = ready(config, folder)
    ranks, training, spec = run.ranks, run.training, prepared.spec
    compiled, why = run.compiles(spec, prepared, None)
    with explain_memory(spec, training):
        net = spec.build(config.seed)
        if begun is not None:
            begun.give(net)
        apply(training.trained, net, config.seed)
        trainer = Trainer(net, training, seed=config.seed, ranks=ranks, compiled=compiled)
        stream = batches(prepared.train, training, config.seed, ranks, 0)
        times, tokens, first = [], 0, 0.0
        for step, micros in zip(range(min(1 + _TIMED, training.steps)), stream, strict=False):
            start = time.perf_counter()
            done = trainer.step(micros, step)
            times.append(time.perf_counter() - start)
            tokens, first = tokens + done.tokens, done.loss if step == 0 else first
    timed = sorted(times[1:] or times)
    per_step = timed[len(timed) // 2]
    seen = tokens / len(times) * training.steps
    return {
        "parameters": spec.params().total, "learns": count(training.trained, spec), "parts": spec.params().parts,
        "objective": training.objective.kind, "unit": training.objective.reads, "loss_per_token": training.objective.tokens, "step": size_of_step(training, prepared.context),
        "data": prepared.sizes, "notes": prepared.notes, "vocabulary": None if prepared.tokenizer is None else prepared.tokenizer.vocab_size,
        "steps": training.steps, "batch": training.batch, "context": prepared.context, "tokens": round(seen),
        "epochs": training.batch * training.steps / prepared.sizes["train_samples"],
        "flops": 3 * spec.flops(prepared.context).total / prepared.context * seen, "first_loss": first,
        "path": {"device": str(ranks.device), "precision": training.precision, "compiled": compiled, "why": why},
        "memory": step_memory(spec, training, prepared.context).peak, "peak_bytes": peak_memory(), "peak_bytes_before": before,
        "seconds_per_step": per_step, "seconds_first_step": times[0], "tokens_per_s": tokens / len(times) / per_step,
        "eta_seconds": times[0] + per_step * (training.steps - 1),
    }  # fmt: skip


def _told(config: RunConfig, found: dict[str, Any]) -> list[str]:
    from polyhead.train.memory import show_bytes

    path, memory, unit = found["path"], found["memory"], found["unit"]
    per_token = " nats per token" if found["loss_per_token"] else ""
    way = f"{path['device']} {path['precision']} {'compiled' if path['compiled'] else 'eager'}, because {path['why']}"
    learn = "" if found["learns"] == found["parameters"] else f", {found['learns']:,} of them learn"
    rows = [
        ("model", f"{config.model}, {found['parameters']:,} parameters{learn}, {found['objective']}" + (f", vocabulary {found['vocabulary']:,}" if found["vocabulary"] else "")),
        ("data", f"{found['data']['train_tokens']:,} {unit} to train on, {found['data']['validation_tokens']:,} held out"),
        ("plan", f"{found['steps']:,} steps of {found['step']}: {found['tokens']:,} {unit}, {found['epochs']:.2g} times over the data, "
                 f"{found['flops']:.2g} FLOPs"),
        ("path", way),
        ("first loss", f"{found['first_loss']:.3f}{per_token}"),
        ("time", f"{found['seconds_per_step'] * 1000:,.0f} ms per step (the first {found['seconds_first_step']:.2f} s), "
                 f"{quantity(found['tokens_per_s'])} {unit}/s: about {duration(found['eta_seconds'])} "
                 "without evaluations and samples"),
        ("memory", show_bytes(sum(memory.values())) + " for a step by count: "
                   + ", ".join(f"{name} {show_bytes(size)}" for name, size in memory.items())),
    ]  # fmt: skip
    if found["peak_bytes"]:
        more = found["peak_bytes"] - found["peak_bytes_before"]
        rows.append(("", f"measured peak of this process {show_bytes(found['peak_bytes'])}, {show_bytes(more)} of it since the start"))
    rows += [("note", text) for text in found["notes"]]
    return ["dry run: nothing was written", *aligned(rows)]


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
