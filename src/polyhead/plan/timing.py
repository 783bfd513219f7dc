"""The time of a training step: the roofline of every kernel it calls, and the update."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import torch

from polyhead.nn import ModelSpec
from polyhead.train import MuonSpec, TrainingConfig
from polyhead.train.memory import asked, segments
from polyhead.train.muon import _segments as cuts
from polyhead.train.optim import param_groups
from polyhead.train.shadow import shadow
from polyhead.train.trained import apply, count
from polyhead.train.watching import Op

from .device import Device


class StepTime(NamedTuple):
    """Seconds of one update by part: "forward", "backward", "update", "calls" (what kernels cost beside their work). flops: of
    all products and attention; moved: bytes read and written; tokens: read."""

    parts: dict[str, float]
    flops: float
    moved: float
    tokens: int

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def step_ops(
    spec: ModelSpec, config: TrainingConfig, context: int, source: int | None = None, gpu: bool = False
) -> tuple[dict[Op, float], dict[Op, float]]:
    """How often one micro-batch calls each kernel, forward and back."""
    taken = shadow(spec, config.trained, asked(spec, config, context, source=source, gpu=gpu))
    forward: Counter[Op] = Counter()
    back: Counter[Op] = Counter()
    for place in segments(spec):
        for total, way in ((forward, taken[place.key].forward), (back, taken[place.key].back)):
            for op, n in way.ops.items():
                total[op] += n  # type: ignore[assignment]
    return dict(forward), dict(back)


def training(spec: ModelSpec, config: TrainingConfig, context: int, on: Device, source: int | None = None) -> StepTime:
    """One update of config.batch rows of `context` tokens on `on`. Eager, as shadow.py sees it; the loader is not waited for."""
    forward, back = step_ops(spec, config, context, source, on.kind == "gpu")
    times = {
        "forward": config.accumulate * sum(n * on.seconds(op) for op, n in forward.items()),
        "backward": config.accumulate * sum(n * on.seconds(op) for op, n in back.items()),
        "update": update(spec, config, on),
    }
    calls = config.accumulate * on.call * sum([*forward.values(), *back.values()])
    times["calls"] = calls if on.kind == "cpu" else max(0.0, calls - times["forward"] - times["backward"])
    ops = [*forward.items(), *back.items()]
    flops, moved = (config.accumulate * sum(n * getattr(op, what) for op, n in ops) for what in ("flops", "moved"))
    both = spec.encoder is not None and spec.decoder is not None
    tokens = config.batch * (context + (source or context) * both)
    return StepTime(times, flops, moved, tokens)


def update(spec: ModelSpec, config: TrainingConfig, on: Device) -> float:
    """Seconds of clipping and of the optimizer: 28 bytes a parameter with AdamW, Muon's products beside."""
    learnt = count(config.trained, spec)
    rate = on.bandwidth * on.share.memory if on.rates is None else on.rates.update
    seconds = 28 * learnt / rate + 4 * learnt / (on.bandwidth * on.share.memory if on.rates is None else on.rates.stream)
    if isinstance(config.optimizer, MuonSpec):
        shapes = _matrices(spec.model_dump_json(), config.model_dump_json())
        seconds += sum(on.seconds(Op("orthogonalise", "product", flops, short, 0)) for flops, short in shapes)
    return seconds


@lru_cache(64)
def _matrices(spec_json: str, config_json: str) -> tuple[tuple[int, int], ...]:
    """(FLOPs, short side) of each matrix Muon makes orthogonal: muon._segments counts the products."""
    spec, config = ModelSpec.model_validate_json(spec_json), TrainingConfig.model_validate_json(config_json)
    assert isinstance(config.optimizer, MuonSpec)
    with torch.device("meta"):
        net = spec.build(seed=None)
    apply(config.trained, net, None)
    out = []
    for group in param_groups(net, config.optimizer):
        for p in group.params if group.method == "muon" else ():
            short, long = sorted(p.shape[-2:])
            steps = config.optimizer.steps
            products = 4 * steps + len(cuts(steps, long / short, False)) * (2 * long / short - 3)
            out.append((round(products * 2 * short**3) * (p.numel() // (short * long)), short))
    return tuple(out)
