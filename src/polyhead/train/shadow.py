"""A training step on tensors without numbers: what it keeps, what it needs at its peak, and every product it makes.

The model is built on torch's meta device, cut down to one layer of each kind (the first layer apart), and its own forward and
backward pass are run: so every axis value is counted by the code that will train it, quickly and without memory. `shadow` gives
a Segment for what is done before, in and after each kind of layer; memory.py and plan/ put a whole model together from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import _engine_run_backward

from polyhead.nn import ExpertsSpec, ModelSpec, Tokens
from polyhead.nn.head import FROM_IDS
from polyhead.nn.inputs import Frames, Patches
from polyhead.nn.moe import Experts
from polyhead.nn.sharing import NoSharing
from polyhead.nn.stack import Stack, StackSpec

from .loss import at_once, loss_sum
from .trained import TrainedSpec, apply
from .watching import HEAP, META, Kernels, Op, Watch, size


class Tide(NamedTuple):
    """Bytes. change: more (or less) that live after than before; peak: the most above the beginning; grads: of `change`,
    gradients of parameters."""

    change: float
    peak: float
    grads: float


class Pass(NamedTuple):
    """One way through a segment: all bytes, and apart those in blocks that a C library's heap keeps and those that are mapped;
    ops: how often each kernel is called."""

    total: Tide
    heap: Tide
    mapped: Tide
    ops: dict[Op, float]

    def along(self, other: Pass, t: float) -> Pass:
        """Where the line from here (0) through `other` (1) is at t."""
        calls = {op: n for op in {**self.ops, **other.ops} if (n := (1 - t) * self.ops.get(op, 0) + t * other.ops.get(op, 0))}
        pairs = zip((self.total, self.heap, self.mapped), (other.total, other.heap, other.mapped), strict=True)
        total, heap, mapped = (Tide(*((1 - t) * a + t * b for a, b in zip(*pair, strict=True))) for pair in pairs)
        return Pass(total, heap, mapped, calls)


class Segment(NamedTuple):
    """forward: its change is what is kept for the backward pass. back: all 0 where nothing flows back."""

    forward: Pass
    back: Pass

    def along(self, other: Segment, t: float) -> Segment:
        return Segment(self.forward.along(other.forward, t), self.back.along(other.back, t))


Name = tuple[str, str]  # (stack, "before" | "first" | kind of a later layer | "after")
Shadow = dict[Name, Segment]


class Asked(NamedTuple):
    """What is run: rows of `tokens` tokens (and `source` tokens, where an encoder reads for a decoder). share: of the positions
    that are trained. half: products in bf16, by autocast. again: not the first micro-batch, so that gradients exist. gpu: with
    the attention kernel of one."""

    rows: int
    tokens: int
    source: int
    share: float = 1.0
    half: bool = False
    checkpointing: bool = False
    again: bool = False
    gpu: bool = False


_seen: dict[tuple[Any, ...], Shadow] = {}


def shadow(spec: ModelSpec, trained: TrainedSpec, asked: Asked) -> Shadow:
    """The segments of a training step of `spec`."""
    key = (spec.model_dump_json(), trained.model_dump_json(), asked)
    if key not in _seen:
        if len(_seen) > 512:
            _seen.clear()
        _seen[key] = _shadow(spec, trained, asked)
    return _seen[key]


def _shadow(spec: ModelSpec, trained: TrainedSpec, asked: Asked, experts: int | None = None) -> Shadow:
    """Many experts are few experts and a straight line, and so is a decoder whose layers all make keys and values of the
    source before the first one begins: everything is linear in both. experts: how many share the tokens, None = all there are."""
    few = None if experts else _experts(spec)
    if few is not None:
        e, most = few
        one, two = (_shadow(with_experts(spec, n), trained, asked, most) for n in (e, 2 * e))
        return {name: one[name].along(two[name], (most - e) / e) for name in one}
    run = Run(small(spec), trained, asked, experts)
    taken = run.go()
    if spec.encoder is None or spec.decoder is None:
        return taken
    more = Run(small(spec, 1), trained, asked, experts).go()
    t = spec.decoder.layers - len(run.net.top.layers)
    return taken | {name: taken[name].along(more[name], t) for name in (("decoder", "before"), ("decoder", "first"))}


def _experts(spec: ModelSpec) -> tuple[int, int] | None:
    """(few, all) experts of a model that has many, None otherwise."""
    found = [b.ffn for s in spec.stacks.values() for b in s.blocks.values() if isinstance(b.ffn, ExpertsSpec)]
    few = max((max(4, 2 * f.groups, f.top_k) for f in found), default=0)
    most = max((f.experts for f in found), default=0)
    return (few, most) if most > 2 * few else None


def with_experts(spec: ModelSpec, n: int) -> ModelSpec:
    changes = {}
    for name, stack in spec.stacks.items():
        blocks = {}
        for kind, block in stack.blocks.items():
            ffn = block.ffn
            fewer = ffn.model_copy(update={"experts": n}) if isinstance(ffn, ExpertsSpec) else ffn
            blocks[kind] = block.model_copy(update={"ffn": fewer})
        changes[name] = stack.model_copy(update={"blocks": blocks})
    return spec.model_copy(update=changes)


def small(spec: ModelSpec, more: int = 0) -> ModelSpec:
    """The first layer of each stack, one later layer of each kind there is, and `more` of the last kind on top. Poolings that look
    for an id take the first."""
    changes: dict[str, Any] = {}
    for name, stack in spec.stacks.items():
        later = list(dict.fromkeys(stack.kind(i) for i in range(1, stack.layers)))
        layout = (stack.kind(0), *later, *[stack.kind(stack.layers - 1)] * (more if stack is spec.top else 0))
        changes[name] = stack.model_copy(update={"layers": len(layout), "layout": layout, "sharing": NoSharing()})
    name, head = next(iter(spec.heads.items()))
    if any(pool in FROM_IDS for pool in head.pools):
        head = head.model_copy(update={"pool": "first", "eos": None})
    return spec.model_copy(update=changes | {"heads": {name: head}})


class Run:
    """One step, watched. Segments are told apart by hooks: on modules going forward, on tensors coming back."""

    def __init__(self, spec: ModelSpec, trained: TrainedSpec, asked: Asked, experts: int | None = None) -> None:
        self.asked, self.experts, self.visits = asked, experts, 1
        with META:
            self.net = spec.build(seed=None)
        apply(trained, self.net, None)
        self.net.use(checkpoint=asked.checkpointing).train()
        self.learns = [p for p in self.net.parameters() if p.requires_grad]
        for p in self.learns if asked.again else ():
            p.grad = torch.empty_like(p)
        kept = [*self.net.parameters(), *self.net.buffers(), *(p.grad for p in self.learns if p.grad is not None)]
        self.watch = Watch(kept, self._visited)
        self.kernels = Kernels(self.watch.called, asked.gpu)
        self.order: list[Name] = []
        self.forward: dict[Name, Pass] = {}
        self.back: dict[Name, Pass] = {}
        self.reached, self.coming_back = -1, False
        self._begin()

    def _visited(self, slots: int) -> int:
        return -(-slots // self.visits)

    def go(self) -> Shadow:
        hooks = list(self._hooks())
        narrow = torch.autocast("cpu", torch.bfloat16, enabled=self.asked.half)
        with torch.enable_grad(), self.watch, self.kernels:
            with narrow:
                loss = self._loss()
                self._cut((self._top, "after"), loss)
            self.kernels.copies.clear()
            self.coming_back = True
            self._begin()
            _engine_run_backward(  # loss.backward() itself, but for a function mode that would be off inside it, where layers are recomputed
                (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
            )
            if self.reached >= 0:
                self.back[self.order[self.reached]] = self._taken()
        for hook in hooks:
            hook.remove()
        nothing = Pass(Tide(0, 0, 0), Tide(0, 0, 0), Tide(0, 0, 0), {})
        return {name: Segment(self.forward[name], self.back.get(name, nothing)) for name in self.order}

    @property
    def _top(self) -> str:
        return "decoder" if self.net.decoder is not None else "encoder"

    def _hooks(self) -> Iterator[Any]:
        for module in self.net.modules():
            if isinstance(module, Experts):
                yield module.register_forward_pre_hook(lambda m, _: setattr(self, "visits", self.experts or m.spec.experts))
        for place in self.net.spec.stacks:
            stack = getattr(self.net, place)
            assert isinstance(stack, Stack)
            for i, block in enumerate(stack.layers):
                if i == 0:
                    yield block.register_forward_pre_hook(lambda _, args, place=place: self._cut((place, "before"), args[0]))
                yield block.register_forward_hook(lambda _, args, out, place=place, i=i: self._layer(place, i, out[0]))
            if place != self._top:
                yield stack.register_forward_hook(lambda _, args, out, place=place: self._cut((place, "after"), out[0]))

    def _layer(self, place: str, i: int, out: Tensor) -> None:
        if self.coming_back:  # a layer that is recomputed: its copies of weights go with it
            self.kernels.copies.clear()
        else:
            self._cut((place, "first" if i == 0 else self.net.spec.stacks[place].kind(i)), out)

    def _cut(self, name: Name, out: Tensor) -> None:
        """What happened since the last cut was the forward pass of `name`, which made `out`."""
        if self.coming_back:
            return
        self.forward[name] = self._taken()
        self.order.append(name)
        number = len(self.order) - 1
        if out.requires_grad and out.grad_fn is not None and number + 1:
            out.register_hook(lambda _: self._back(number))
        self._begin()

    def _back(self, number: int) -> None:
        """The gradient of what segment `number` made is complete."""
        if number + 1 < len(self.order):
            self.back[self.order[number + 1]] = self._taken()
        self.reached = number
        self._begin()

    def _begin(self) -> None:
        watch = self.watch
        watch.top, self.began, self.grads_then, watch.ops = list(watch.live), list(watch.live), self._grads(), Counter()

    def _taken(self) -> Pass:
        watch, grads = self.watch, self._grads()
        now = zip(watch.live, watch.top, grads, self.began, self.grads_then, strict=True)
        total, heap, mapped = (Tide(live - began, top - began, g - then) for live, top, g, began, then in now)
        return Pass(total, heap, mapped, dict(watch.ops))

    def _grads(self) -> list[int]:
        """Bytes of gradients: in all, on the heap, mapped."""
        sizes = [size(p.grad) for p in self.learns if p.grad is not None]
        heap = sum(n for n in sizes if n <= HEAP)
        return [sum(sizes), heap, sum(sizes) - heap]

    # ------------------------------------------------------------ what is read, and its loss

    def _loss(self) -> Tensor:
        asked, net = self.asked, self.net
        encoder, decoder = net.spec.encoder, net.spec.decoder
        if encoder is not None and decoder is not None:
            source: Tokens | None = stream(encoder, asked.rows, asked.source)
            tokens = stream(decoder, asked.rows, asked.tokens)
        else:
            source, tokens = None, stream(net.spec.top, asked.rows, asked.tokens)
        x, balance = net.hidden(tokens, source)
        loss = self._judged(x, tokens)
        return loss if balance is None else loss + balance

    def _judged(self, x: Tensor, tokens: Tokens) -> Tensor:
        head = next(iter(self.net.spec.heads.values()))
        if head.pools or (head.output or 1) < 2:
            logits = self.net.logits(x, read=tokens)
            if (head.output or 1) < 2:
                return logits.square().sum()
            return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=META), reduction="sum")
        flat = x.reshape(-1, x.shape[-1])
        if self.asked.share < 0.5:  # loss.loss_sum: positions that are not trained are not projected
            kept = torch.zeros(max(1, round(len(flat) * self.asked.share)), dtype=torch.long, device=META)
            flat = flat[kept]
        targets = torch.zeros(len(flat), dtype=torch.long, device=META)
        most = at_once(not self.asked.gpu, head.output or self.net.spec.top.embedding.vocab or 2, flat.shape[-1])
        return loss_sum(flat, self.net.logits, targets, torch.ones(len(flat), device=META), limit_elements=most)


def stream(stack: StackSpec, rows: int, tokens: int) -> Tokens:
    """Rows of `tokens` vectors as the stack reads them: ids, square pictures, frames."""
    read = stack.embedding.input
    if isinstance(read, Patches):
        side = read.image  # of its own size, whatever is asked
        return Tokens(signal=torch.empty(rows, read.channels, side, side, device=META))
    if isinstance(read, Frames):
        return Tokens(signal=torch.empty(rows, read.channels, 2 * tokens, device=META))
    return Tokens(torch.zeros(rows, tokens, dtype=torch.long, device=META))
