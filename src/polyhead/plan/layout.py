"""How a training step is laid out over devices, and the bytes each of them holds.

    tensor      every matrix in t slices            Shoeybi et al. 2019, arXiv 1909.08053
    context     every row in c pieces               Llama 3 (Dubey et al. 2024, arXiv 2407.21783, §3.3.2)
    pipeline    the layers in p stages              Huang et al. 2019, 1811.06965; Narayanan et al. 2021, 2104.04473
    expert      the experts of a layer in e parts   Lepikhin et al. 2020, 2006.16668
    data        the rows, in d replicas; what a replica holds may be sharded: optimizer state (ZeRO-1), gradients too (ZeRO-2), weights too
                (ZeRO-3, FSDP; Rajbhandari et al. 2020, 1910.02054; Zhao et al. 2023, 2304.11277)

Devices that talk most stand nearest: tensor inside context inside pipeline inside data. Expert parallelism divides the data and context
ranks. Devices = t·c·p·d.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from polyhead.errors import ConfigError

from .pieces import WIDE, Layer, Pieces

Shard = Literal["none", "optimizer", "gradients", "full"]
Recompute = Literal["none", "selective", "full"]
STATE = 12  # bytes of AdamW per parameter: 32-bit weight, mean and square


@dataclass(frozen=True)
class Layout:
    """batch: rows of one update over all devices. length: tokens of a row. microbatch: rows of one pass of one replica. interleave: chunks of
    layers per stage. sequence: norms and dropout split too (Korthikanti et al. 2022, arXiv 2205.05198). fused: attention that keeps no
    scores. recompute: in the backward pass nothing, attention's scores, or whole layers."""

    batch: int
    length: int
    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    microbatch: int = 1
    interleave: int = 1
    shard: Shard = "none"
    recompute: Recompute = "none"
    sequence: bool = True
    fused: bool = True

    @property
    def devices(self) -> int:
        return self.data * self.tensor * self.pipeline * self.context

    @property
    def microbatches(self) -> int:
        """Passes of one replica per update."""
        return self.batch // (self.data * self.microbatch)

    @property
    def bubble(self) -> float:
        """Idle over busy time of a pipeline: (p−1)/(v·m) (Narayanan et al. 2021, §2.2)."""
        return (self.pipeline - 1) / (self.interleave * self.microbatches)

    @property
    def tokens(self) -> float:
        """Of one microbatch on one device, before tensor parallelism."""
        return self.microbatch * self.length / self.context

    def words(self) -> str:
        """As one writes it: "TP 8 · PP 16 · DP 64"."""
        parts = [("TP", self.tensor), ("CP", self.context), ("PP", self.pipeline), ("EP", self.expert), ("DP", self.data)]
        return " · ".join(f"{name} {n}" for name, n in parts if n > 1) or "1 device"


def check(pieces: Pieces, layout: Layout) -> None:
    """ConfigError where a layout cannot be."""
    layers, ranks = len(pieces.layers), layout.data * layout.context
    if layout.batch % (layout.data * layout.microbatch):
        wanted = f"a multiple of data × microbatch, {layout.data} × {layout.microbatch}"
        _refuse("the batch does not divide", wanted, str(layout.batch), "change --batch")
    if layout.pipeline * layout.interleave > layers:
        chunks = f"{layout.pipeline} × {layout.interleave}"
        _refuse("more stages than layers", f"pipeline × interleave of at most {layers}", chunks, "give a smaller --pipeline")
    if layout.length % layout.context:
        _refuse("a row does not divide", f"a length that is a multiple of {layout.context}", str(layout.length), "change --context")
    if layout.expert > 1 and not any(layer.routed for layer in pieces.layers):
        _refuse("this model has no experts", "--expert 1", str(layout.expert), "leave --expert out")
    if ranks % layout.expert:
        _refuse("experts are spread over data and context ranks", f"a divisor of {ranks}", str(layout.expert), "change --expert")


def _refuse(what: str, expected: str, received: str, change: str) -> None:
    raise ConfigError(what, expected=expected, received=received, change=change)


def stages(pieces: Pieces, layout: Layout) -> list[range]:
    """Which layers each stage has. What does not divide goes to the middle: the ends have the embedding and the head (as Llama 3 does)."""
    each, over = divmod(len(pieces.layers), layout.pipeline)
    order = [*range(1, layout.pipeline - 1), 0, layout.pipeline - 1]
    sizes = [each + (stage in order[:over]) for stage in range(layout.pipeline)]
    starts = [sum(sizes[:i]) for i in range(layout.pipeline)]
    return [range(start, start + n) for start, n in zip(starts, sizes, strict=True)]


class Held(NamedTuple):
    """Bytes on one device of a stage."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return sum(self)


class Share(NamedTuple):
    """Parameters on one device of a stage before data parallelism shards them: those every replica has, and its part of the experts."""

    dense: float
    routed: float


def shares(pieces: Pieces, layout: Layout) -> list[Share]:
    """Per stage. A table that both ends use is held by both once they are on different stages."""
    out = []
    for stage, which in enumerate(stages(pieces, layout)):
        dense = sum(pieces.layers[i].params for i in which)
        dense += pieces.first if stage == 0 else 0
        if stage == layout.pipeline - 1:
            dense += pieces.last + (pieces.shared if layout.pipeline > 1 else 0)
        routed = sum(pieces.layers[i].routed for i in which)
        out.append(Share(dense / layout.tensor, routed / layout.tensor / layout.expert))
    return out


def memory(pieces: Pieces, layout: Layout) -> list[Held]:
    """Per stage, on one of its devices; matrices and vectors alike are taken to split evenly."""
    ranks = layout.data * layout.context
    out = []
    for stage, (which, (dense, routed)) in enumerate(zip(stages(pieces, layout), shares(pieces, layout), strict=True)):
        whole = dense + routed
        part = dense / ranks + routed / (ranks / layout.expert)
        held = {name: part if layout.shard in sharded else whole for name, sharded in
                (("weights", ("full",)), ("gradients", ("gradients", "full")), ("optimizer", ("optimizer", "gradients", "full")))}  # fmt: skip
        logits = layout.tokens * pieces.vocab / layout.tensor * (4 + WIDE) if stage == layout.pipeline - 1 else 0.0
        kept = _activations(pieces, layout, stage, which)
        out.append(Held(WIDE * held["weights"], WIDE * held["gradients"], STATE * held["optimizer"], kept, logits))
    return out


def _activations(pieces: Pieces, layout: Layout, stage: int, which: range) -> float:
    """What the microbatches under way keep: p − stage of them, more when chunks interleave (Korthikanti et al. 2022, §4.2.3)."""
    under_way = min(layout.microbatches, layout.pipeline - stage)
    more = 1 + (layout.pipeline - 1) / (layout.pipeline * layout.interleave) if layout.interleave > 1 and stage == 0 else 1.0
    kinds = Counter(pieces.layers[i] for i in which)
    each = sum(n * kept(pieces, layout, layer) for layer, n in kinds.items())
    working = max(kept(pieces, layout, layer, whole=True) for layer in kinds) if layout.recompute == "full" else 0.0
    return each * under_way * more + working


def kept(pieces: Pieces, layout: Layout, layer: Layer, whole: bool = False) -> float:
    """Bytes that one layer keeps of one microbatch on one device (Korthikanti et al. 2022, eq. 2 and 4). whole: nothing recomputed."""
    split = layout.tensor if layout.sequence else 1
    if layout.recompute == "full" and not whole:
        return layout.tokens * WIDE * pieces.width / split
    scores = 0.0
    if not layout.fused and (whole or layout.recompute == "none"):
        scores = layout.tokens * layout.length * layer.score_kept / layout.tensor
    return layout.tokens * (layer.stream / split + layer.split / layout.tensor) + scores
