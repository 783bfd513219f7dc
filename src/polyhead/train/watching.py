"""Tensors without numbers: the meta device made to behave as a CPU, and a look at what is alive and what is called.

What is not seen: workspaces inside a kernel, and the allocator's own losses.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")
HEAP = 32 * 2**20  # glibc keeps freed blocks up to this size; larger ones are mapped, and go back to the system at once
Work = Callable[[str, int, int, int, int], None]  # name, FLOPs, queries, bytes, bytes of a number


class Op(NamedTuple):
    """One call of a kernel. kind: "product", "attention", "other"; flops 0 where it is neither; least: the shortest side of a
    product; moved: bytes read and written; wide: bytes of one number it makes."""

    name: str
    kind: str
    flops: int
    least: int
    moved: int
    wide: int = 4


class Flash(torch.autograd.Function):
    """The fused kernel as the backward pass sees it: it keeps its inputs, its output and a number per row."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, work: Work) -> Tensor:
        out, sums = q.new_empty(*q.shape[:-1], v.shape[-1]), q.new_empty(q.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, mask, out, sums)
        ctx.work, ctx.flops = work, 2 * q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] * (q.shape[3] + v.shape[3])
        work("attention forward", ctx.flops, q.shape[2], size(q) + size(k) + size(v) + size(out), q.element_size())
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, _, out, _ = ctx.saved_tensors
        moved = 2 * (size(q) + size(k) + size(v) + size(out))
        ctx.work("attention backward", 5 * ctx.flops // 2, q.shape[2], moved, q.element_size())
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), None, None


class Kernels(TorchFunctionMode):
    """What the meta device lacks: the fused attention kernel, and autocast to bf16. gpu: whose kernel has dropout in it, where a
    CPU takes plain products."""

    narrow = {F.linear, torch.matmul, torch.bmm, torch.mm, torch.baddbmm, torch.addmm, Tensor.matmul, Tensor.__matmul__,
              torch.conv1d, torch.conv2d, F.conv1d, F.conv2d, torch.einsum}  # fmt: skip

    def __init__(self, work: Work, gpu: bool = False) -> None:
        super().__init__()
        self.work, self.gpu = work, gpu
        self.copies: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        if func in self.narrow and torch.is_autocast_enabled("cpu"):
            args, kwargs = self._cast(args), {name: self._cast(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _cast(self, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(self._cast(item) for item in value)
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.bfloat16()
        if id(value) not in self.copies:  # autocast keeps a weight's copy until it ends
            self.copies[id(value)] = value.bfloat16()
        return self.copies[id(value)]

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: float = 0.0, causal: bool = False, **more: Any
    ) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            q, k, v = (self._cast(t) for t in (q, k, v))
        mask = mask.to(q.dtype) if mask is not None and mask.dtype != torch.bool else mask
        if (dropout and not self.gpu) or (mask is not None and mask.requires_grad):  # torch's own choice: plain products
            return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, **more)
        return Flash.apply(q, k, v, mask, self.work)


class Watch(TorchDispatchMode):
    """Bytes alive beside those of `known` (in all, on the heap, mapped), the most there were, and how often what was called. visited: how many rows an
    expert is given of so many, for `nonzero` has no answer without numbers."""

    def __init__(self, known: Iterable[Tensor], visited: Callable[[int], int]) -> None:
        super().__init__()
        self.known = {t.untyped_storage()._cdata for t in known}
        self.alive: dict[int, Any] = {}
        self.live, self.top = [0, 0, 0], [0, 0, 0]  # in all, on the heap, mapped
        self.ops: Counter[Op] = Counter()
        self.visited = visited

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.nonzero.default:
            out = torch.empty(self.visited(args[0].numel()), args[0].dim(), dtype=torch.long, device=META)
        else:
            out = func(*args, **(kwargs or {}))
        if self._born(out) or func._schema.is_mutable:
            self.ops[op(func, args, out)] += 1
        return out

    def called(self, name: str, flops: int, least: int, moved: int, wide: int) -> None:
        self.ops[Op(name, "attention", flops, least, moved, wide)] += 1

    def _born(self, out: Any) -> bool:
        fresh = False
        for t in tensors(out):
            storage = t.untyped_storage()
            key = storage._cdata
            if key in self.known or key in self.alive:
                continue
            fresh, count = True, storage.nbytes()
            self._add(count, count)
            self.alive[key] = weakref.ref(storage, lambda _, key=key, n=count: self._died(key, n))  # type: ignore[misc]
        if fresh:
            self.top = [max(pair) for pair in zip(self.top, self.live, strict=True)]
        return fresh

    def _add(self, n: int, block: int) -> None:
        self.live[0] += n
        self.live[1 if block <= HEAP else 2] += n

    def _died(self, key: int, n: int) -> None:
        del self.alive[key]
        self._add(-n, n)


def size(t: Tensor) -> int:
    """Bytes."""
    return t.numel() * t.element_size()


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)


_PRODUCTS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}


def op(func: Any, args: Any, out: Any) -> Op:
    name = func._schema.name.removeprefix("aten::")
    made = list(tensors(out))
    moved, wide = sum(map(size, tensors(args))) + sum(map(size, made)), made[0].element_size() if made else 4
    if name in _PRODUCTS:
        a, b = (args[i] for i in _PRODUCTS[name])
        return Op(name, "product", 2 * a.numel() * b.shape[-1], min(*a.shape[-2:], b.shape[-1]), moved, wide)
    if name == "convolution":
        return Op(name, "product", 2 * out.numel() * args[1][0].numel(), len(args[1]), moved, wide)
    if name == "convolution_backward":
        return Op(name, "product", 2 * args[0].numel() * args[2][0].numel() * sum(args[-1][:2]), len(args[2]), moved, wide)
    if name in ("embedding", "index", "gather", "index_select"):  # of a table only what is looked up is read
        moved = 2 * sum(map(size, made))
    return Op(name, "other", 0, 0, moved, wide)
