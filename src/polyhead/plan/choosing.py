"""Which layout is fastest among those that fit: all of them tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from polyhead.errors import ConfigError
from polyhead.nn import ModelSpec

from .cluster import Accelerator
from .layout import Layout, check
from .parallel import Step, planned
from .pieces import Pieces, cut

ROOM = 0.92  # of a device's memory: what the allocator, NCCL and the program itself leave


def choose(
    spec: ModelSpec, devices: int, device: Accelerator, batch: int, length: int, fixed: Mapping[str, Any] | None = None
) -> list[Step]:
    """Layouts that use all devices and fit, the fastest first; fixed: fields of Layout that are given. ConfigError where none can be; where
    none fits, the one that needs least comes alone, so that it can be said by how much."""
    pieces, flops = cut(spec), 3.0 * spec.flops(length).total * batch
    found: list[Step] = []
    reasons: list[ConfigError] = []
    for layout in _layouts(pieces, devices, device, batch, length, fixed or {}):
        try:
            check(pieces, layout)
        except ConfigError as error:
            reasons.append(error)
            continue
        found.append(planned(pieces, layout, device, flops))
    if not found:
        if reasons:
            raise reasons[0]
        given = ", ".join(f"{name} {value}" for name, value in (fixed or {}).items())
        raise ConfigError(f"{devices} devices cannot be laid out so", expected=f"factors whose product divides {devices}", received=given or "nothing given",
                          change="give other factors, or leave some out")  # fmt: skip
    fitting = sorted((step for step in found if step.peak.total <= ROOM * device.memory), key=lambda step: step.seconds)
    return fitting or [min(found, key=lambda step: step.peak.total)]


def _layouts(pieces: Pieces, devices: int, device: Accelerator, batch: int, length: int, fixed: Mapping[str, Any]) -> Iterator[Layout]:
    layers = len(pieces.layers)
    experts = any(layer.routed for layer in pieces.layers)
    powers = [2**i for i in range(20)]
    choices: dict[str, list[Any]] = {
        "tensor": [n for n in powers if n <= min(8, device.node)],
        "context": [n for n in powers if length // n >= 8192 or n == 1],
        "pipeline": [n for n in range(1, layers + 1) if devices % n == 0 and layers / n >= 1],
        "expert": [n for n in powers if n <= 64] if experts else [1],
        "shard": ["none", "optimizer", "full"],
        "recompute": ["none", "full"],
        "microbatch": [1, 2, 4],
    }
    names = list(choices)
    for values in product(*([fixed[name]] if name in fixed else choices[name] for name in names)):
        picked = dict(zip(names, values, strict=True))
        inner = picked["tensor"] * picked["context"] * picked["pipeline"]
        if devices % inner or ("data" in fixed and devices // inner != fixed["data"]):
            continue
        if picked["shard"] == "full" and picked["pipeline"] > 1 and "shard" not in fixed:
            continue  # weights would be gathered for every microbatch
        chunks = {1, layers // picked["pipeline"]} if picked["pipeline"] > 1 else {1}
        for interleave in [fixed["interleave"]] if "interleave" in fixed else sorted(chunks):
            rest = {"sequence": fixed.get("sequence", True), "fused": fixed.get("fused", True)}
            layout = Layout(batch, length, data=devices // inner, interleave=interleave, **picked, **rest)
            if batch % (layout.data * layout.microbatch) == 0 or "microbatch" in fixed:
                yield layout
