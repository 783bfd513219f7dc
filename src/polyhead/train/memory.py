"""What a training step needs in memory, by part, and the advice when it does not fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from polyhead.errors import OutOfMemory
from polyhead.nn import ModelSpec

from .config import TrainingConfig
from .parallel import ALONE, Ranks
from .shadow import Asked, Name, shadow
from .trained import count, spec_for

PROGRAM = 18 * 2**20  # bytes: kernels' code and buffers, measured on Linux with a model too small to count, torch 2.13
GAPS = 0.35  # of what a heap holds at most, in freed pieces that nothing fits: 0.15–0.55 in most of 13 cases (tests/plan/peaks.py), once 1.0
Way = Literal["total", "heap", "mapped"]


class Moment(NamedTuple):
    """What is alive when a segment of the step needs most, by part. where: (stack, part, layer or None); forward: or coming
    back; logits: all of the head and the loss; workspace: what comes and goes in other segments."""

    where: tuple[str, str, int | None]
    forward: bool
    activations: float
    logits: float
    gradients: float
    workspace: float

    @property
    def total(self) -> float:
        return sum(self[2:])


class StepMemory(NamedTuple):
    """full: each part at its own largest (they do not all live at once). peak: the parts when most is alive, which add up to it.
    course: the step, segment by segment. All in bytes, above what the imported program takes; `program` is what torch loads and
    sets aside in its first step."""

    full: dict[str, int]
    peak: dict[str, int]
    course: tuple[Moment, ...]

    @property
    def total(self) -> int:
        return sum(self.peak.values())


def memory_parts(spec: ModelSpec, config: TrainingConfig, context: int, world: int = 1) -> dict[str, int]:
    """Bytes of each part of a training step on one of `world` ranks, at its own largest: their sum is never less than the peak,
    and every setting that needs less of one needs less of it."""
    return step_memory(spec, config, context, world).full


def step_memory(
    spec: ModelSpec, config: TrainingConfig, context: int, world: int = 1, source: int | None = None, gpu: bool = False
) -> StepMemory:
    """What a step of batch / (accumulate · world) rows of `context` tokens needs (an encoder before a decoder reads `source`
    tokens, None: as many). Weights, gradients, optimizer state and averages are exact; what is kept for the backward pass is
    counted by running the step without numbers (shadow.py). gpu: without what a program takes on a CPU."""
    params, learnt = spec_for(config.trained, spec).params().total, count(config.trained, spec)
    # AdamW keeps two moments, Muon its momentum and the gradients side by side as it orthogonalises them
    held = {"weights": 4 * params, "optimizer": 8 * learnt}
    held |= {"average": 4 * learnt} if config.ema else {}
    held |= {"best": 4 * learnt} if config.best else {}
    held |= {} if gpu else {"program": PROGRAM}
    micro = asked(spec, config, context, world, source, gpu)
    course = tuple(_course(spec, config, micro))
    parts = ("gradients", "activations", "logits", "workspace")
    full = held | {part: round(max(getattr(moment, part) for moment in course)) for part in parts}
    most = max(course, key=lambda moment: moment.total)
    lost = {} if gpu else {"allocator": _lost(spec, config, micro)}
    peak = {part: round(getattr(most, part)) for part in parts}
    update = {"gradients": 4 * learnt, "activations": 0, "logits": 0, "workspace": _muon_workspace(spec, config)}
    if sum(update.values()) >= most.total:
        peak = update
    return StepMemory(full | {"gradients": 4 * learnt} | lost, held | peak | lost, course)


def _lost(spec: ModelSpec, config: TrainingConfig, asked: Asked) -> int:
    """Bytes of freed blocks that a C library's heap still has when most is needed (glibc's malloc): it does not shrink, so its
    own highest and the highest of what is mapped stand side by side, though they are not reached at one time; and there are gaps."""
    heap, mapped, total = (max(m.total for m in _course(spec, config, asked, way)) for way in ("heap", "mapped", "total"))
    return round(max(0.0, heap + mapped - total) + GAPS * heap)


def asked(
    spec: ModelSpec, config: TrainingConfig, context: int, world: int = 1, source: int | None = None, gpu: bool = False
) -> Asked:
    """The micro-batch of one rank."""
    rows = -(-config.batch // (config.accumulate * world))
    rate = getattr(config.objective, "rate", 0.15)
    share = rate if config.objective.kind == "masked" or next(iter(spec.heads.values())).task == "mlm" else 1.0
    return Asked(
        rows, context, source or context, share, config.precision == "bf16", config.checkpointing, config.accumulate > 1,
        gpu,
    )  # fmt: skip


def _course(spec: ModelSpec, config: TrainingConfig, asked: Asked, way: Way = "total") -> Iterator[Moment]:
    """Forward through all segments, then back: what was kept goes, gradients come. way: which bytes."""
    taken, head = shadow(spec, config.trained, asked), ("decoder" if spec.decoder is not None else "encoder", "after")
    kept = logits = pending = 0.0
    places = list(segments(spec))
    gradients = 0.0
    if asked.again:  # those of the first micro-batch are there
        once = shadow(spec, config.trained, asked._replace(again=False))
        gradients = sum(getattr(once[p.key].back, way).grads for p in places if not p.again)

    def moment(place: Place, forward: bool, peak: float) -> Moment:
        if place.key == head:
            return Moment(place.where, forward, kept, logits + peak, gradients, pending)
        return Moment(place.where, forward, kept, logits, gradients, pending + peak)

    for place in places:
        step = getattr(taken[place.key].forward, way)
        yield moment(place, True, step.peak)
        kept, logits = (kept, logits + step.change) if place.key == head else (kept + step.change, logits)
    for place in reversed(places):
        step, went = getattr(taken[place.key].back, way), getattr(taken[place.key].forward, way).change
        yield moment(place, False, step.peak)
        pending += step.change - step.grads + went  # gradients of x on their way down
        gradients += 0.0 if place.again else step.grads  # weights that later layers share have theirs already
        kept, logits = (kept, logits - went) if place.key == head else (kept - went, logits)


class Place(NamedTuple):
    """A segment in the whole model. key: in the shadow; where: (stack, part, layer or None); again: a later layer has the same
    weights."""

    key: Name
    where: tuple[str, str, int | None]
    again: bool = False


def segments(spec: ModelSpec) -> Iterator[Place]:
    """Everything a forward pass goes through, in order."""
    for place, stack in spec.stacks.items():
        yield Place((place, "before"), (place, "embedding", None))
        order = stack.order()
        for i in range(stack.layers):
            kind = "first" if i == 0 else stack.kind(i)
            yield Place((place, kind), (place, stack.kind(i), i), order[i] in order[i + 1 :])
        yield Place((place, "after"), (place, "head" if stack is spec.top else "norm", None))


def _muon_workspace(spec: ModelSpec, config: TrainingConfig) -> int:
    """Bytes of the matrices that one share of `muon.orthogonalise` has beside the gradients; on a CPU a few matrices."""
    if config.optimizer.kind != "muon":
        return 0
    return max(32 * min(max(2**16, stack.width**2), 12 * stack.layers * stack.width**2) for stack in spec.stacks.values())


def show_bytes(n: float) -> str:
    """1536 → "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(n) < 1024 or unit == "TiB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError


def smallest_change(spec: ModelSpec, config: TrainingConfig, context: int, ranks: Ranks = ALONE) -> str:
    """The least intrusive setting by which, by count, a step needs less than now and than the machine has."""
    now, room = sum(memory_parts(spec, config, context, ranks.world).values()), memory_of(ranks.device)
    for field, value, words in _changes(config, context, ranks.world):
        new = config.model_copy(update=field)
        needed = sum(memory_parts(spec, new, new.context or context, ranks.world).values())
        if needed < min(now, room):
            return f"{value} ({words}; about {show_bytes(needed)} instead of {show_bytes(now)})"
    return "a smaller model: fewer layers or a smaller width; its weights and optimizer state alone are the biggest part"


def _changes(config: TrainingConfig, context: int, world: int) -> Iterator[tuple[dict[str, Any], str, str]]:
    """(fields, as typed, what it does), the least intrusive first."""
    parts = [n for n in range(config.accumulate + 1, config.batch + 1) if config.batch % (n * world) == 0]
    for n in parts:
        words = f"the same update, in micro-batches of {config.batch // (n * world)}"
        yield {"accumulate": n}, f"training.accumulate={n}", words
    most = parts[-1] if parts else config.accumulate
    typed = f"training.accumulate={most} " if parts else ""
    if not config.checkpointing:
        words = "keeps one tensor per layer, about a third slower"
        yield {"accumulate": most, "checkpointing": True}, f"{typed}training.checkpointing=true", words
    for shorter in (context // 2, context // 4):
        fields = {"accumulate": most, "checkpointing": True, "context": shorter}
        yield fields, f"{typed}training.checkpointing=true training.context={shorter}", "shorter samples"


def memory_of(device: torch.device) -> int:
    """Bytes of memory the device has, or this container may use; very many where that is not known."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    sizes = [2**62]
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # "max" where there is no limit
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(sizes)


@contextmanager
def explain_memory(spec: ModelSpec, config: TrainingConfig, ranks: Ranks = ALONE) -> Iterator[None]:
    """Turn running out of memory into an error that names the biggest parts and the smallest change that helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        context = config.context or spec.context
        parts = memory_parts(spec, config, context, ranks.world)
        biggest = sorted(parts.items(), key=lambda item: -item[1])[:3]
        raise OutOfMemory(
            "out of memory while training; no checkpoint was touched",
            expected="; ".join(f"{name} {show_bytes(size)}" for name, size in biggest) + " (the biggest parts)",
            received=(str(error).strip() or type(error).__name__).splitlines()[0][:200],
            change=smallest_change(spec, config, context, ranks),
        ) from error


def ran_out(error: Any) -> bool:
    text = str(error).lower()
    known = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate", "alloc_cpu")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(k in text for k in known)
