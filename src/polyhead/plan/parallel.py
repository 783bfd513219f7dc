"""How long a laid-out training step takes: products, memory traffic, what goes over links, and the pipeline's idle time.

Nothing is tuned: rates are cluster.py's. What overlaps is a rule, the same for all: sharded weights and optimizer states are gathered and
reduced under the passes of a microbatch; tensor, context and expert collectives, sends between stages, and the sum of replicated
gradients are waited for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from polyhead.nn import ModelSpec

from .cluster import FUSED, LINK, MEMORY, Accelerator
from .layout import Held, Layout, Share, check, memory, shares, stages
from .pieces import WIDE, Layer, Pieces, cut

_UPDATE = 28  # bytes AdamW reads and writes per parameter: three 32-bit states twice, a 16-bit gradient and weight


class Traffic(NamedTuple):
    """Bytes that leave one device in one update, by what they are for."""

    tensor: float
    context: float
    expert: float
    pipeline: float
    data: float


@dataclass(frozen=True)
class Step:
    """One update, planned. times: seconds by what is waited for; they add up. held: bytes per stage. traffic: bytes out of a device of the
    busiest stage. rates: bytes/s that each kind of traffic gets. flops: of the model, all products in full, forward and backward."""

    layout: Layout
    device: Accelerator
    times: dict[str, float]
    held: list[Held]
    traffic: Traffic
    rates: dict[str, float] = field(default_factory=dict)
    flops: float = 0.0

    @property
    def seconds(self) -> float:
        return sum(self.times.values())

    @property
    def tokens_per_second(self) -> float:
        return self.layout.batch * self.layout.length / self.seconds

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation (Chowdhery et al. 2022, arXiv 2204.02311, appendix B): recomputation does not count."""
        return self.flops / self.seconds / self.layout.devices / self.device.peak

    @property
    def peak(self) -> Held:
        """The fullest device."""
        return max(self.held, key=lambda one: one.total)

    @property
    def fits(self) -> bool:
        return self.peak.total <= self.device.memory


def plan(spec: ModelSpec, layout: Layout, device: Accelerator) -> Step:
    """ConfigError where the layout cannot be."""
    pieces = cut(spec)
    check(pieces, layout)
    return planned(pieces, layout, device, 3.0 * spec.flops(layout.length).total * layout.batch)


def planned(pieces: Pieces, layout: Layout, device: Accelerator, flops: float) -> Step:
    """As plan, of a model cut before, whose update is `flops`."""
    rates = {name: LINK * rate for name, rate in links(layout, device).items()}
    held, each = memory(pieces, layout), _stages(pieces, layout, device, rates)
    slow = max(each, key=lambda stage: stage.pass_seconds)
    times = {name: seconds * layout.microbatches for name, seconds in slow.times.items()}
    times["bubble"] = slow.pass_seconds * (layout.pipeline - 1) / layout.interleave
    data = max(stage.data_bytes for stage in each)
    waited = data / rates["data"]
    if layout.shard != "none":
        hidden = slow.pass_seconds * (layout.microbatches if layout.shard == "full" else 1)
        waited = max(0.0, waited - hidden)
    times["data"] = waited
    times["update"] = max(one.optimizer for one in held) / 12 * _UPDATE / (device.bandwidth * MEMORY)
    tensor, context, expert, pipeline = (slow.bytes[name] * layout.microbatches for name in ("tensor", "context", "expert", "pipeline"))
    sent = Traffic(tensor, context, expert, pipeline, data)
    return Step(layout, device, times, held, sent, rates, flops)


def links(layout: Layout, device: Accelerator) -> dict[str, float]:
    """bytes/s out of a device for each kind of group, by how its members stand. A ring over several nodes crosses between them once per
    node, over the links of all its members there; what every member sends to every other has its own link alone."""
    inner = {"tensor": 1, "context": layout.tensor, "pipeline": layout.tensor * layout.context}
    inner["data"] = inner["pipeline"] * layout.pipeline
    sizes = {"tensor": layout.tensor, "context": layout.context, "pipeline": layout.pipeline, "data": layout.data}
    out = {}
    for name, stride in inner.items():
        here = max(1, device.node // stride)
        out[name] = device.fast if sizes[name] <= here else min(device.fast, device.slow * here)
    if layout.pipeline > 1 and inner["data"] > device.node:
        out["pipeline"] = device.slow
    out["expert"] = device.fast if layout.expert * layout.tensor <= device.node else device.slow
    return out


def ring(members: int, size: float) -> float:
    """Bytes out of each member of an all-reduce of `size` bytes: 2(n−1)/n of it; half of that for a gather or a scatter."""
    return 2 * (members - 1) / members * size


def _stages(pieces: Pieces, layout: Layout, device: Accelerator, rates: dict[str, float]) -> list[_Stage]:
    """The stages that differ: in their layers, or in what stands at the ends."""
    found: dict[tuple[object, ...], _Stage] = {}
    for stage, (which, share) in enumerate(zip(stages(pieces, layout), shares(pieces, layout), strict=True)):
        kinds, last = Counter(pieces.layers[i] for i in which), stage == layout.pipeline - 1
        key = (frozenset(kinds.items()), last, share)
        if key not in found:
            found[key] = _Stage(pieces, layout, device, rates, kinds, last, share)
    return list(found.values())


class _Stage:
    """One microbatch, forward and backward, on a device of a stage with these layers."""

    def __init__(
        self, pieces: Pieces, layout: Layout, device: Accelerator, rates: dict[str, float], kinds: Counter[Layer], last: bool, share: Share
    ) -> None:
        self.pieces, self.layout, self.device = pieces, layout, device
        self.bytes = dict.fromkeys(("tensor", "context", "expert", "pipeline"), 0.0)
        products = elementwise = 0.0
        for layer, times in kinds.items():
            products += times * self._products(layer)
            elementwise += times * self._elementwise(layer)
            self._collect(layer, times)
        if last:
            rate = device.peak * device.matmul
            products += 3 * pieces.head_flops * layout.tokens / layout.tensor / rate
            elementwise += 3 * layout.tokens * pieces.vocab * (4 + WIDE) / layout.tensor / (device.bandwidth * MEMORY)
        if layout.pipeline > 1:
            # each tensor rank sends its slice (Narayanan et al. 2021, §4.1)
            self.bytes["pipeline"] = 2 * layout.interleave * layout.tokens * WIDE * pieces.width / layout.tensor
        self.times = {"products": products, "elementwise": elementwise} | {name: sent / rates[name] for name, sent in self.bytes.items()}
        self.pass_seconds = sum(self.times.values())
        self.data_bytes = self._data(share)

    @property
    def _passes(self) -> int:
        """Forward, backward as two, and forward again where layers are recomputed."""
        return 4 if self.layout.recompute == "full" else 3

    def _products(self, layer: Layer) -> float:
        layout = self.layout
        rate = self.device.peak * self.device.matmul
        linear = self._passes * layer.flops * layout.tokens / layout.tensor / rate
        weights = self._passes * WIDE * (layer.params + layer.routed / layout.expert) / layout.tensor / (self.device.bandwidth * MEMORY)
        pairs = layer.pairs(layout.length, seen=layout.fused) * layout.microbatch / layout.context / layout.tensor
        passes = 3.5 + (layout.recompute == "full") if layout.fused else self._passes + (layout.recompute == "selective")
        scores = passes * pairs * layer.pair_flops / rate / (FUSED if layout.fused else 1)
        return max(linear, weights) + scores

    def _elementwise(self, layer: Layer) -> float:
        layout = self.layout
        split = layout.tensor if layout.sequence else 1
        moved = self._passes * layout.tokens * (layer.stream_moved / split + layer.split_moved / layout.tensor)
        if not layout.fused:
            passes = self._passes + (layout.recompute == "selective")
            moved += passes * layout.tokens * layout.length * layer.score_moved / layout.tensor
        return moved / (self.device.bandwidth * MEMORY)

    def _collect(self, layer: Layer, layers: int) -> None:
        """Adds the bytes that leave this device for so many of this layer: forward, backward, and forward again."""
        layout, times = self.layout, self._passes - 1
        self.bytes["tensor"] += layers * times * layer.joins * ring(layout.tensor, layout.tokens * WIDE * self.pieces.width)
        gathered = ring(layout.context, layout.microbatch * layout.length * WIDE * layer.kv / layout.tensor) / 2
        self.bytes["context"] += layers * (times + 1) * gathered  # the gradients of keys and values are scattered besides
        away = (layout.expert - 1) / layout.expert
        self.bytes["expert"] += layers * 2 * times * away * layout.tokens * layer.sent / (layout.tensor if layout.sequence else 1)

    def _data(self, share: Share) -> float:
        """Bytes out of this device for gradients, and for weights where those are sharded: gathered forward and backward, per microbatch."""
        ranks = self.layout.data * self.layout.context
        dense, routed = share
        reduced = ring(ranks, WIDE * dense) + ring(max(1, ranks // self.layout.expert), WIDE * routed)
        return reduced * (1.5 * self.layout.microbatches if self.layout.shard == "full" else 1)
