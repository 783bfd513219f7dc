"""What a decoder does to write one more token: every kernel of a step, counted on tensors without numbers, and its roofline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from polyhead.generate.engine import language_head
from polyhead.nn import ExpertsSpec, LearnedSpec, ModelSpec, Tokens, Transformer
from polyhead.nn.block import Block
from polyhead.nn.ffn import Gated, Plain
from polyhead.nn.moe import Experts
from polyhead.nn.stack import Stack
from polyhead.report.counting import allocation
from polyhead.train.memory import segments
from polyhead.train.shadow import small, stream
from polyhead.train.watching import META, Kernels, Op, Watch

from .device import Device

Ops = dict[Op, float]
Kinds = dict[tuple[str, str], Ops]


class Decode(NamedTuple):
    """One step of `rows` rows that hold `context` tokens each. weights, cache: bytes that must be read; flops: of products
    and attention; seconds: as planned; by_bandwidth, by_compute: what the roofline allows at best."""

    rows: int
    context: int
    weights: int
    cache: int
    flops: float
    seconds: float
    by_bandwidth: float
    by_compute: float

    @property
    def tokens_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def limit(self) -> float:
        """Tokens/s at full bandwidth or full peak, whichever is reached first."""
        return self.rows / max(self.by_bandwidth, self.by_compute)

    @property
    def bound(self) -> str:
        return "bandwidth" if self.by_bandwidth >= self.by_compute else "compute"


def decode(spec: ModelSpec, on: Device, dtype: str, rows: int, context: int) -> Decode:
    """The step that follows `context` − 1 tokens in each row."""
    wide = 2 if dtype in ("bf16", "fp16") else 4
    ops = step_ops(spec, rows, context, wide == 2, on.kind == "cpu")
    work = sum(n * on.seconds(op, packed=on.kind == "cpu") for op, n in ops.items())
    kernel, layer = on.write
    calls = kernel * sum(ops.values()) + layer * spec.top.layers
    seconds = work + calls if on.kind == "cpu" else max(work, calls)
    flops = sum(n * op.flops for op, n in ops.items())
    weights, cache = wide * at_work(spec, rows), cache_read(spec, rows, context, 4 if on.kind == "cpu" else wide)
    by_bandwidth, by_compute = (weights + cache) / on.bandwidth, flops / on.reach(dtype)
    return Decode(rows, context, weights, cache, flops, seconds, by_bandwidth, by_compute)


def at_work(spec: ModelSpec, rows: int) -> int:
    """Parameters that a step reads: of the decoder and the head; of token and position tables only rows; of E experts those
    that `rows` tokens visit, E·(1 − (1 − k/E)^rows) on average."""
    stack = spec.top
    counts = {name: n for name, n in spec.params().parts.items() if not name.startswith("encoder.")}
    total = float(sum(counts.values()))
    table = (stack.embedding.vocab or 0) * stack.embedding.table_width(stack.width)
    head = next(iter(spec.heads.values()))
    total -= table if not head.tied else 0
    position = stack.embedding.position
    total -= position.params(stack.width, 1, stack.width) if isinstance(position, LearnedSpec) else 0
    for layer in stack.owners().values():
        ffn = stack.blocks[stack.kind(layer)].ffn
        if isinstance(ffn, ExpertsSpec):
            idle = (1 - ffn.top_k / ffn.experts) ** rows
            total -= idle * ffn.experts * 3 * stack.width * ffn.inner
    return max(0, round(total))


def cache_read(spec: ModelSpec, rows: int, context: int, item: int) -> int:
    """Bytes of the cache that one step looks at: a ring's when its window is full, and the source's."""
    taken = allocation(spec, rows, context, item, source=context if spec.encoder is not None else 0)
    return taken["entries"] + taken["memory"]


# ---------------------------------------------------------------- every kernel of a step


def step_ops(spec: ModelSpec, rows: int, context: int, half: bool, cpu: bool) -> Ops:
    """How often a step of the engine calls each kernel; weights fused as it fuses them."""
    kinds = _kinds(spec.model_dump_json(), rows, context, half, cpu)
    total: Counter[Op] = Counter()
    for place in segments(spec):
        for op, n in kinds.get(place.key, {}).items():
            total[op] += n  # type: ignore[assignment]
    return dict(total)


@lru_cache(256)
def _kinds(spec_json: str, rows: int, context: int, half: bool, cpu: bool) -> Kinds:
    spec = small(ModelSpec.model_validate_json(spec_json))
    with META:
        net = spec.build(seed=None).to(torch.bfloat16 if half else torch.float32).eval()
    for module in list(net.modules()):
        if isinstance(module, Block):
            module.attention.heads.fuse()
        elif isinstance(module, Plain | Gated):
            module.fuse()
    return _watched(net, rows, context, cpu)


@torch.no_grad()
def _watched(net: Transformer, rows: int, context: int, cpu: bool) -> Kinds:
    visits = [1]
    watch = Watch([*net.parameters(), *net.buffers()], lambda slots: -(-slots // visits[0]))
    kinds: Kinds = {}
    hooks = list(_hooks(net, watch, kinds, visits))
    kernels = Kernels(watch.called)
    cache = net.new_cache(rows, context)
    for store in cache.stores if cpu else ():  # the engine's choice: half precision is slow to read there
        store.slots = [t.float() for t in store.slots]
    with watch, kernels:
        source = stream(net.spec.encoder, rows, context) if net.spec.encoder is not None else None
        net.hidden(Tokens(torch.zeros(rows, context - 1, dtype=torch.long, device=META)), source, cache)
        kinds.clear()
        watch.ops = Counter()
        x, _ = net.hidden(Tokens(torch.zeros(rows, 1, dtype=torch.long, device=META)), None, cache)
        net.logits(x[:, -1], language_head(net.spec, True))
    kinds["decoder", "after"] = dict(watch.ops)  # type: ignore[assignment]
    for hook in hooks:
        hook.remove()
    return kinds


def _hooks(net: Transformer, watch: Watch, kinds: Kinds, visits: list[int]) -> Iterator[Any]:
    def cut(name: tuple[str, str]) -> None:
        kinds[name], watch.ops = dict(watch.ops), Counter()  # type: ignore[assignment]

    for module in net.modules():
        if isinstance(module, Experts):
            yield module.register_forward_pre_hook(lambda m, _: visits.__setitem__(0, m.spec.experts))
    stack = net.top
    assert isinstance(stack, Stack)
    yield stack.layers[0].register_forward_pre_hook(lambda *_: cut(("decoder", "before")))
    for i, block in enumerate(stack.layers):
        name = ("decoder", "first" if i == 0 else stack.spec.kind(i))
        yield block.register_forward_hook(lambda *_, name=name: cut(name))
