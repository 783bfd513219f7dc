"""The largest batch and the longest context that fit into so many bytes, by what the planner counts."""

from __future__ import annotations

from collections.abc import Callable

from polyhead.nn import LearnedSpec, ModelSpec
from polyhead.report.counting import allocation
from polyhead.train import TrainingConfig
from polyhead.train.memory import step_memory

from .device import Device

MOST = 2**22  # of rows, and of tokens: what fits at this size is not asked further


def largest(needs: Callable[[int], float], room: float, most: int = MOST, loose: float = 0.0) -> int:
    """The largest n up to `most` whose needs stay within `room`, where they rise with n; 0 if those of 1 do not. loose: up to this
    share less than the largest. Asks by the straight line through what it knows, and by halves in turn."""
    low, below = 1, needs(1)
    if below > room:
        return 0
    high, above, slope = most + 1, float("inf"), below
    while high > most and low < most:  # upwards, until it is too much
        n = min(most, max(2 * low, round(low + 1.02 * (room - below) / slope) if slope > 0 else most))
        found = needs(n)
        if found > room:
            high, above = n, found
        else:
            slope, low, below = (found - below) / (n - low), n, found
    halve = False
    while high - low > 1 + int(loose * low) and high <= most:
        line = low + (high - low) * (room - below) / (above - below)
        n = (low + high) // 2 if halve else min(max(round(line), low + 1), high - 1)
        found, halve = needs(n), not halve
        low, below, high, above = (n, found, high, above) if found <= room else (low, below, n, found)
    return low


def training_bytes(spec: ModelSpec, config: TrainingConfig, context: int, on: Device, source: int | None = None) -> int:
    """The peak of a step on `on`."""
    return step_memory(spec, config, context, source=source, gpu=on.kind == "gpu").total


def largest_batch(spec: ModelSpec, config: TrainingConfig, context: int, on: Device) -> int:
    """Rows of one micro-batch."""

    def needs(rows: int) -> int:
        return training_bytes(spec, config.model_copy(update={"batch": rows * config.accumulate}), context, on)

    return largest(needs, on.memory, 2**14)


def longest_context(spec: ModelSpec, config: TrainingConfig, on: Device) -> int:
    """Tokens of a row when a micro-batch is one row; a table of learned positions ends it."""
    most = table(spec)
    if most is not None and spec.top.embedding.vocab is None:
        return most  # pictures and sound come as long as they are
    one = config.model_copy(update={"batch": config.accumulate})
    return largest(lambda tokens: training_bytes(spec, one, tokens, on), on.memory, most or MOST, 0.005)


def table(spec: ModelSpec) -> int | None:
    """Rows of the shortest table of learned positions, None where there is none."""
    positions = [stack.embedding.position for stack in spec.stacks.values()]
    return min((p.length for p in positions if isinstance(p, LearnedSpec)), default=None)


def decoding_bytes(spec: ModelSpec, rows: int, context: int, wide: int, on: Device, source: int = 0) -> dict[str, int]:
    """Weights (twice on a CPU, whose kernels want them packed), cache and logits."""
    params = wide * spec.params().total
    cache = allocation(spec, rows, context, 4 if on.kind == "cpu" else wide, source=source)
    logits = 4 * rows * (next(iter(spec.heads.values())).output or 0)
    return {"weights": params, "packed weights": params if on.kind == "cpu" else 0, "cache": sum(cache.values()), "logits": logits}


def most_rows(spec: ModelSpec, context: int, wide: int, on: Device) -> int:
    source = context if spec.encoder is not None else 0
    return largest(lambda rows: sum(decoding_bytes(spec, rows, context, wide, on, source).values()), on.memory)


def most_context(spec: ModelSpec, wide: int, on: Device) -> int:
    """Tokens that one row may hold."""
    both = spec.encoder is not None
    return largest(lambda n: sum(decoding_bytes(spec, 1, n, wide, on, n if both else 0).values()), on.memory, table(spec) or MOST)
