"""A model's whole plan as one JSON object: what it has, what it computes, what it needs, how long it takes, what fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from polyhead.errors import ConfigError
from polyhead.nn import ModelSpec
from polyhead.report.counting import active, allocation, cache_bytes, rows, windowed
from polyhead.train import TrainingConfig
from polyhead.train.memory import step_memory

from . import counting, room, timing, writing
from .device import DTYPES, Device, device
from .devices import DEVICES

BATCHES = (1, 4, 16, 64, 256)


@dataclass(frozen=True)
class Asked:
    """None: the model's own context, a batch of 1, the device's widest sensible dtype. on: a device's name or file."""

    tokens: int | None = None
    batch: int = 1
    on: str = "this"
    dtype: str | None = None
    optimizer: str = "adamw"
    checkpointing: bool = False
    train: bool = True
    decode: bool = True


def plan(spec: ModelSpec, asked: Asked = Asked()) -> dict[str, Any]:  # noqa: B008 -- frozen
    """Everything there is to know beforehand, numbers only."""
    on, tokens = device(asked.on), length(spec, asked.tokens)
    dtype = asked.dtype or ("fp32" if on.kind == "cpu" else "bf16")
    if dtype not in DTYPES:
        raise ConfigError("unknown dtype", expected=" or ".join(DTYPES), received=dtype, change="--dtype bf16")
    on.dtype(dtype)
    asked = replace(asked, tokens=tokens, dtype=dtype)
    found: dict[str, Any] = {"tokens": tokens, "batch": asked.batch, "device": _device(on, dtype), "dtype": dtype}
    found |= {"parameters": parameters(spec), "flops": flops(spec, tokens), "cache": cache(spec, asked, on)}
    if asked.train:
        found["training"] = trained(spec, asked, on)
    if asked.decode and spec.decoder is not None and _writes(spec):
        found["decoding"] = decoded(spec, asked, on)
    return found


def length(spec: ModelSpec, tokens: int | None) -> int:
    """Tokens of a row; what reads pictures or sound has as many as it has."""
    first = next(iter(spec.stacks.values()))
    own = room.table(spec) if first.embedding.vocab is None else spec.context
    if tokens is None:
        return own or spec.context
    most = room.table(spec)
    if most is not None and (tokens > most or (first.embedding.vocab is None and tokens != most)):
        exactly = "" if first.embedding.vocab is not None else "exactly "
        raise ConfigError(
            "the row does not fit the table of learned positions", expected=f"{exactly or 'at most '}{most} tokens",
            received=str(tokens), change=f"--tokens {most}",
        )  # fmt: skip
    return tokens


def _writes(spec: ModelSpec) -> bool:
    from polyhead.generate.engine import language_head

    try:
        language_head(spec, True)
    except ConfigError:
        return False
    return True


def _device(on: Device, dtype: str) -> dict[str, Any]:
    return {
        "name": on.name, "kind": on.kind, "peak": on.reach(dtype), "bandwidth": on.bandwidth, "memory": on.memory,
        "measured": on.rates is not None, "share": None if on.rates else on.share.model_dump(), "source": on.source,
    }  # fmt: skip


def parameters(spec: ModelSpec) -> dict[str, Any]:
    return {
        "total": spec.params().total, "active": active(spec), "table": [row._asdict() for row in rows(spec)],
        "twelve": [row._asdict() for row in counting.twelve(spec)],
    }  # fmt: skip


def flops(spec: ModelSpec, tokens: int) -> dict[str, Any]:
    """Of one row of `tokens` tokens."""
    forward, back = spec.flops(tokens), counting.backward(spec, tokens)
    lengths = sorted({tokens, *(n for n in (128, 512, 2048, 8192, 32768, 131072) if n <= max(4 * spec.context, tokens))})
    return {
        "forward": forward.parts, "backward": back.parts, "per_token": {"forward": forward.total / tokens, "backward": back.total / tokens},
        "thumb_per_token": counting.thumb_flops(spec, tokens) / tokens,
        "share_of_scores": {str(n): counting.share_of_scores(spec, n) for n in lengths},
        "savings": [saving._asdict() for saving in counting.savings(spec, tokens)],
    }  # fmt: skip


def cache(spec: ModelSpec, asked: Asked, on: Device) -> dict[str, Any] | None:
    """What a decoder keeps of earlier tokens; also what other heads would."""
    if spec.decoder is None:
        return None
    item, tokens = (4 if on.kind == "cpu" else DTYPES[asked.dtype or "fp32"]), asked.tokens or spec.context
    kinds = sorted({counting.grouped(block.attention.heads) for block in spec.decoder.blocks.values()})
    return {
        "heads": kinds, "bytes_per_token": cache_bytes(spec, item), "item": item, "windowed": windowed(spec),
        "allocated": allocation(spec, asked.batch, tokens, item, source=tokens if spec.encoder is not None else 0),
    }  # fmt: skip


def config_of(asked: Asked) -> TrainingConfig:
    optimizer = {"kind": asked.optimizer}
    precision = "fp32" if asked.dtype == "fp32" else "bf16"
    try:
        return TrainingConfig(batch=asked.batch, precision=precision, checkpointing=asked.checkpointing, optimizer=optimizer)  # type: ignore[arg-type]
    except ValueError:
        raise ConfigError("unknown optimizer", expected="adamw or muon", received=asked.optimizer, change="--optimizer adamw") from None


def trained(spec: ModelSpec, asked: Asked, on: Device) -> dict[str, Any]:
    config, tokens = config_of(asked), asked.tokens or spec.context
    gpu = on.kind == "gpu"
    memory = step_memory(spec, config, tokens, gpu=gpu)
    other = step_memory(spec, config.model_copy(update={"checkpointing": not asked.checkpointing}), tokens, gpu=gpu)
    time = timing.training(spec, config, tokens, on)
    needed = memory.total
    kept, again = (memory, other) if not asked.checkpointing else (other, memory)
    return {
        "memory": memory.peak, "needed": needed, "fits": needed <= on.memory,
        "activations": {"kept": kept.full["activations"], "recomputed": again.full["activations"]}, "logits": memory.full["logits"],
        "course": [[*m.where, m.forward, round(m.total)] for m in memory.course],
        "time": time.parts, "seconds": time.seconds, "tokens_per_s": time.tokens_per_second, "flops": time.flops, "moved": time.moved,
        "mfu": counted(spec, asked, tokens) / time.seconds / on.reach(asked.dtype or "fp32"),
        "largest_batch": room.largest_batch(spec, config, tokens, on), "longest_context": room.longest_context(spec, config, on),
        "would_fit": [] if needed <= on.memory else would_fit(spec, config, tokens),
    }  # fmt: skip


def counted(spec: ModelSpec, asked: Asked, tokens: int) -> int:
    """FLOPs of a step as the model needs them, recomputation left out."""
    return spec.flops(tokens, asked.batch).total + counting.backward(spec, tokens, asked.batch).total


def would_fit(spec: ModelSpec, config: TrainingConfig, tokens: int) -> list[str]:
    """Devices of the list, least memory first, that one step fits into."""
    needed = step_memory(spec, config, tokens, gpu=True).total
    return [name for name, d in sorted(DEVICES.items(), key=lambda item: item[1].memory) if needed <= d.memory]


def decoded(spec: ModelSpec, asked: Asked, on: Device) -> dict[str, Any]:
    wide, tokens, dtype = DTYPES[asked.dtype or "fp32"], asked.tokens or spec.context, asked.dtype or "fp32"
    source = tokens if spec.encoder is not None else 0
    memory = room.decoding_bytes(spec, asked.batch, tokens, wide, on, source)
    most = room.most_rows(spec, tokens, wide, on)
    batches = sorted({asked.batch, *(n for n in BATCHES if n <= max(1, most))})
    steps = [writing.decode(spec, on, dtype, n, tokens) for n in batches]
    return {
        "memory": memory, "needed": sum(memory.values()), "fits": sum(memory.values()) <= on.memory, "most_rows": most,
        "most_context": room.most_context(spec, wide, on),
        "steps": [step._asdict() | {"tokens_per_s": step.tokens_per_second, "limit_tokens_per_s": step.limit, "bound": step.bound} for step in steps],
    }  # fmt: skip
