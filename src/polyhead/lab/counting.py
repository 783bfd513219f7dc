"""What a piece of code costs, measured while it runs: floating-point operations, the longest chain of operations that wait
for each other, bytes alive at once, processor time."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

Run = Callable[[], Any]
PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1, "convolution": 2}  # which argument tells how many terms are summed
SUMS = {"_softmax", "native_layer_norm", "sum", "mean", "var_mean", "amax", "logsumexp"}
FREE = {
    "view", "_unsafe_view", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze", "select", "slice", "split",
    "unsafe_split", "split_with_sizes", "unbind", "stack", "cat", "alias", "detach", "clone", "copy_", "empty", "zeros", "ones",
    "full", "arange", "lift_fresh",
}  # fmt: skip


def flops(run: Run) -> int:
    """Floating-point operations of the products in run(), a multiply-add counted as 2. torch counts none inside of fused
    attention on a CPU: choose the reference backend."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def span(run: Run) -> int:
    """Steps of the longest chain of operations that wait for each other: the time that run() takes with as many processors
    as it can use (the depth of Blelloch 1996, CACM 39(3)). Run it without gradients."""
    with torch.no_grad(), _Span() as mode:
        run()
    return mode.deepest


def steps(name: str, args: Any) -> int:
    """Steps of one operation: 1 for what works number by number, 1 + ⌈log₂ n⌉ for products that sum n terms (a tree of
    additions), 2 + 2 ⌈log₂ n⌉ for a softmax or norm over n, none for views and copies."""
    if name in PRODUCTS:
        source = args[PRODUCTS[name] if name != "convolution" else 1]
        return 1 + _levels(source[0].numel() if name == "convolution" else source.shape[-1])
    if name in SUMS:
        return 2 + 2 * _levels(args[0].shape[-1])
    return 0 if name in FREE else 1


def _levels(n: int) -> int:
    return math.ceil(math.log2(max(n, 1)))


class _Span(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.depth, self.deepest = WeakIdKeyDictionary(), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        before = [self.depth.get(t, 0) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        depth = max(before, default=0) + steps(func._opname, args)
        self.deepest = max(self.deepest, depth)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.depth[tensor] = depth
        return out


def peak_bytes(run: Run) -> int:
    """The most bytes that tensors made inside of run() held at once, its result included. What a fused kernel keeps for
    itself is not seen. Run it without gradients."""
    with torch.no_grad(), _Alive() as mode:
        run()
    return mode.most


class _Alive(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.owners: dict[int, int] = {}  # address of a storage → tensors that hold it
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor, given)
        return out

    def _hold(self, tensor: Tensor, given: set[int]) -> None:
        storage = tensor.untyped_storage()
        where, size = storage.data_ptr(), storage.nbytes()
        if where in given and where not in self.owners:
            return  # a view of what was there before
        self.owners[where] = self.owners.get(where, 0) + 1
        if self.owners[where] == 1:
            self.now += size
            self.most = max(self.most, self.now)
        weakref.finalize(tensor, self._drop, where, size)

    def _drop(self, where: int, size: int) -> None:
        self.owners[where] -= 1
        if self.owners[where] == 0:
            del self.owners[where]
            self.now -= size


def milliseconds(run: Run, *, repeat: int = 5, seconds: float = 0.3) -> float:
    """Processor time of the quickest of at least `repeat` runs, and of as many as fill `seconds`, after one that does not
    count. With one thread that is how long run() takes when nothing else wants the core; waiting is not counted."""
    run()
    found: list[float] = []
    while len(found) < repeat or sum(found) < seconds:
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return 1e3 * min(found)


def slope(x: Any, y: Any) -> float:
    """The exponent p of y ∝ xᵖ, by least squares on logarithms."""
    x, y = ([math.log(float(value)) for value in values] for values in (x, y))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)
