"""What a training step needs in memory, by part, and the advice when it does not fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from polyhead.errors import OutOfMemory
from polyhead.nn import ExpertsSpec, GatedSpec, ModelSpec
from polyhead.nn.stack import StackSpec

from .config import TrainingConfig
from .parallel import ALONE, Ranks
from .trained import count, spec_for


def memory_parts(spec: ModelSpec, config: TrainingConfig, context: int, world: int = 1) -> dict[str, int]:
    """Bytes of weights, gradients, optimizer state, kept activations and logits of one training step on one of `world`
    ranks.

    Activations are what the backward pass of each layer keeps (Korthikanti et al. 2022, arXiv 2205.05198 §4.1, without
    the score matrix, which the fused kernel does not keep); an estimate, where the others are exact.
    """
    params, learnt = spec_for(config.trained, spec).params().total, count(config.trained, spec)
    rows = -(-config.batch // (config.accumulate * world))
    wide = 2 if config.precision == "bf16" else 4
    tokens = rows * context
    kept = sum(_activations(stack, tokens, wide, config.checkpointing) for stack in spec.stacks.values())
    head = next(iter(spec.heads.values()))
    logits = min(tokens * (head.output or 0), 2**26) * 4 * 3
    # of what learns; AdamW keeps two moments, Muon its momentum and the gradients side by side as it orthogonalises them
    parts = {"weights": 4 * params, "gradients": 4 * learnt, "optimizer": 8 * learnt}
    parts |= {"activations": kept, "logits": logits}
    parts |= {"average": 4 * learnt} if config.ema else {}
    return parts | ({"best": 4 * learnt} if config.best else {})


def _activations(stack: StackSpec, tokens: int, wide: int, checkpointing: bool) -> int:
    total = 0
    for layer in range(stack.layers):
        block = stack.blocks[stack.kind(layer)]
        projected, ffn = block.attention.activations(stack.width), block.ffn
        if isinstance(ffn, ExpertsSpec):
            hidden = 3 * ffn.inner * ffn.top_k + 3 * ffn.shared
        else:
            hidden = (3 if isinstance(ffn, GatedSpec) else 2) * ffn.hidden(stack.width)
        full = 6 * stack.width + projected + hidden
        total += tokens * wide * (stack.width if checkpointing else full)
    return total


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
