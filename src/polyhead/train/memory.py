"""What a training step needs in memory, by part, and the advice when it does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from polyhead.errors import OutOfMemory
from polyhead.nn import ExpertsSpec, GatedSpec, ModelSpec
from polyhead.nn.stack import StackSpec

from .config import TrainingConfig


def memory_parts(spec: ModelSpec, config: TrainingConfig, context: int) -> dict[str, int]:
    """Bytes of weights, gradients, optimizer state, kept activations and logits of one training step.

    Activations are what the backward pass of each layer keeps (Korthikanti et al. 2022, arXiv 2205.05198 §4.1, without
    the score matrix, which the fused kernel does not keep); an estimate, where the others are exact.
    """
    params, rows = spec.params().total, -(-config.batch // config.accumulate)
    wide = 2 if config.precision == "bf16" else 4
    tokens = rows * context
    kept = sum(_activations(stack, tokens, wide, config.checkpointing) for stack in spec.stacks.values())
    head = next(iter(spec.heads.values()))
    logits = min(tokens * (head.output or 0), 2**26) * 4 * 3
    moments = 8 if config.optimizer.kind == "adamw" else 4
    parts = {"weights": 4 * params, "gradients": 4 * params, "optimizer": moments * params}
    parts |= {"activations": kept, "logits": logits}
    return parts | ({"average": 4 * params} if config.ema else {})


def _activations(stack: StackSpec, tokens: int, wide: int, checkpointing: bool) -> int:
    total = 0
    for layer in range(stack.layers):
        block = stack.blocks[stack.kind(layer)]
        heads, ffn = block.attention.heads, block.ffn
        projected = (2 * heads.heads + 2 * heads.kv) * heads.dim(stack.width)
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


def smallest_change(parts: dict[str, int], config: TrainingConfig) -> str:
    """The least intrusive change that lowers the biggest part that can be lowered."""
    per_micro = config.batch // config.accumulate
    if parts["activations"] + parts["logits"] > parts["weights"] + parts["gradients"] + parts["optimizer"]:
        if per_micro > 1:
            fits = next(n for n in range(config.accumulate + 1, config.batch + 1) if config.batch % n == 0)
            return f"training.accumulate={fits} (same update, micro-batches of {config.batch // fits})"
        if not config.checkpointing:
            return "training.checkpointing=true (keeps one tensor per layer, about a third slower)"
        return "a shorter training.context"
    return "a smaller model: fewer layers or a smaller width; its weights and optimizer state alone are the biggest part"


@contextmanager
def explain_memory(spec: ModelSpec, config: TrainingConfig) -> Iterator[None]:
    """Turn running out of memory into an error that names the biggest parts and the smallest change that helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        parts = memory_parts(spec, config, config.context or spec.context)
        biggest = sorted(parts.items(), key=lambda item: -item[1])[:3]
        raise OutOfMemory(
            "out of memory in a training step; the weights are those of the last finished step",
            expected="; ".join(f"{name} {show_bytes(size)}" for name, size in biggest) + " (the biggest parts)",
            received=str(error).splitlines()[0][:200],
            change=smallest_change(parts, config) + "; --resume goes on from the last checkpoint",
        ) from error


def ran_out(error: Any) -> bool:
    text = str(error).lower()
    known = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate", "alloc_cpu")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(k in text for k in known)
