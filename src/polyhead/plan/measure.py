"""This machine, measured: matrix products by their shortest side, attention, traffic, and what a call costs. About ten seconds, once; the
result is kept in a file of the user's cache folder and taken again when torch, the processor or the threads change."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.families import override
from polyhead.generate.pack import PackedLinear, can_pack, prepare
from polyhead.nn import Batch, ModelSpec, Tokens
from polyhead.train import Trainer, TrainingConfig
from polyhead.train.memory import memory_of
from polyhead.train.shadow import Asked, shadow

from .device import Device, Rates, Steps
from .writing import step_ops

SIDES = (1, 4, 16, 64, 256, 1024)
WIDE = 2048  # the other sides of measured products
FORMAT = 2


def this_machine(again: bool = False) -> Device:
    """The CPU polyhead would train on here, from the file or freshly measured."""
    path, facts = cache_file(), machine_facts()
    known = None if again else remembered()
    if known is not None:
        return known
    found = measure()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"facts": facts, "device": found.model_dump(mode="json")}), encoding="utf-8")
    except OSError:
        pass  # nowhere to keep it: the next time measures again
    return found


def remembered() -> Device | None:
    """What was measured before, None if this is another machine or nothing can be read."""
    try:
        kept = json.loads(cache_file().read_text(encoding="utf-8"))
        return Device.model_validate(kept["device"]) if kept["facts"] == machine_facts() else None
    except (ValueError, KeyError, TypeError, OSError):
        return None


def cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    return Path(base) / "polyhead" / "machine.json"


def machine_facts() -> dict[str, Any]:
    return {
        "format": FORMAT, "torch": torch.__version__, "cpu": _cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
    }  # fmt: skip


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def clock() -> float:
    """Seconds; on one thread only those the processor gave us, for what other programs take is no property of the machine."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def best(work: Callable[[], Any], least: int = 3, seconds: float = 0.15) -> float:
    """Seconds of the fastest of several runs."""
    work()
    found, began, runs = float("inf"), time.perf_counter(), 0
    while runs < least or (time.perf_counter() - began < seconds and runs < 200):
        start = clock()
        work()
        found, runs = min(found, clock() - start), runs + 1
    return found


@torch.no_grad()
def measure() -> Device:
    product = {name: products(dtype, False) for name, dtype in _DTYPES.items()}
    packed = {name: products(dtype, True) for name, dtype in _DTYPES.items()}
    attention = {name: attentions(dtype) for name, dtype in _DTYPES.items()}
    rates = Rates(
        product=product, packed=packed, attention=attention, plain=tuple((n, plain(n)) for n in (2**16, 2**20, 2**24, 2**27)),
        special=special(), random=randoms(), stream=stream(), update=update(), call=call(), write=write(),
    )  # fmt: skip
    peaks = {name: max(rate for _, rate in table) for name, table in product.items()}
    return Device(
        name=f"this machine ({_cpu_name()}, {torch.get_num_threads()} threads)", kind="cpu", peak=peaks, bandwidth=rates.stream,  # type: ignore[arg-type]
        memory=memory_of(torch.device("cpu")), rates=rates, source="measured here",
    )  # fmt: skip


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def products(dtype: torch.dtype, packed: bool) -> Steps:
    """FLOP/s of x·Wᵀ for x (side, WIDE), over weights that do not fit into the caches together."""
    count = max(1, 2**27 // (WIDE * WIDE * 4))
    weights = [torch.randn(WIDE, WIDE, dtype=dtype) * 0.02 for _ in range(count)]
    layers: list[Callable[[Tensor], Tensor]]
    if packed and can_pack(weights[0]):
        layers = [PackedLinear(w, None) for w in weights]
    else:
        layers = [lambda x, w=w: F.linear(x, w) for w in weights]  # type: ignore[misc]
    table = []
    for side in SIDES:
        x = torch.randn(side, WIDE, dtype=dtype)
        few = layers if side <= 16 else layers[:1]
        seconds = best(lambda x=x, few=few: [layer(x) for layer in few]) / len(few)  # type: ignore[misc]
        table.append((float(side), 2 * side * WIDE * WIDE / seconds))
    return tuple(table)


def attentions(dtype: torch.dtype) -> tuple[float, float]:
    """FLOP/s of the fused kernel, all pairs counted, forward and back."""
    q, k, v = (torch.randn(1, 8, 512, 64, dtype=dtype, requires_grad=True) for _ in range(3))
    flops = 4 * q.shape[1] * q.shape[2] ** 2 * q.shape[3]
    forward = best(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
    with torch.enable_grad():
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    g = torch.randn_like(out)
    back = best(lambda: torch.autograd.grad(out, (q, k, v), g, retain_graph=True))
    return flops / forward, 2.5 * flops / back


def plain(size: int) -> float:
    """Bytes/s of a sum into a new tensor, three of `size` bytes being touched."""
    a, b = torch.ones(size // 4), torch.ones(size // 4)
    return 3 * size / best(lambda: a + b)


def special() -> float:
    """Bytes/s of a kernel that is bound by its function (GELU), read and written."""
    x = torch.randn(2**20)
    return 8 * x.numel() / best(lambda: F.gelu(x))


def randoms() -> float:
    """Bytes/s of dropout's mask."""
    x = torch.empty(2**20)
    return 4 * x.numel() / best(lambda: x.bernoulli_(0.9))


def stream() -> float:
    """Bytes/s read from memory, far more than the caches hold."""
    x = torch.ones(2**26)
    return 4 * x.numel() / best(x.sum)


def update() -> float:
    """Bytes/s of fused AdamW: four tensors read, three written."""
    from torch.optim.adamw import adamw

    params, grads, means, squares = ([torch.rand(2**23)] for _ in range(4))
    count = [torch.ones(())]

    def step() -> None:
        adamw(params, grads, means, squares, [], count, fused=True, amsgrad=False, maximize=False, lr=1e-4, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1)

    return 7 * 4 * 2**23 / best(step)


TINY = {
    "decoder": {
        "width": 8, "layers": 2, "layout": ["b"], "embedding": {"vocab": 16}, "final_norm": {"kind": "layer"},
        "blocks": {"b": {"attention": {"heads": {"heads": 2, "bias": "qkvo"}, "pattern": {"kind": "causal"}}, "ffn": {"kind": "plain", "ratio": 4}}},
    },
    "heads": {"lm": {"output": 16}}, "context": 8,
}  # fmt: skip


def call() -> float:
    """Seconds a kernel costs when it has nothing to do: a step of a model too small for its work to count, by its kernels."""
    spec, config = ModelSpec.model_validate(TINY), TrainingConfig(batch=1, precision="fp32")
    ids = torch.zeros(1, 4, dtype=torch.long)
    with torch.enable_grad():
        trainer = Trainer(spec.build(0), config, seed=0)
        batch = Batch(Tokens(ids), ids, torch.ones(1, 4))
        seconds = best(lambda: trainer.step([batch], 0), 10, 0.5)
    parts = shadow(spec, config.trained, Asked(1, 4, 4)).values()
    return seconds / sum(n for part in parts for way in part for n in way.ops.values())


def write() -> tuple[float, float]:
    """Seconds that a kernel and, beside its kernels, a layer cost as a model writes: of two small models that differ in how many
    kernels their norms are."""
    layers, kernels, writers = 4, [], []
    for norm in ({"kind": "layer"}, {"kind": "rms"}):
        changes = {"layers": layers, "blocks.b.norm": norm, "blocks.b.attention.heads.qk_norm": norm}
        spec = override(ModelSpec.model_validate(TINY), {f"decoder.{name}": value for name, value in changes.items()})
        kernels.append(sum(step_ops(spec, 1, 6, half=False, cpu=True).values()))
        writers.append(writer(spec, 1, 6))
    fast, slow = (min(times) for times in zip(*([best(w, 5, 0.1) for w in writers] for _ in range(4)), strict=True))
    kernel = max(0.0, slow - fast) / (kernels[1] - kernels[0])
    return kernel, max(0.0, fast - kernels[0] * kernel) / layers


def writer(spec: ModelSpec, rows: int, tokens: int) -> Callable[[], Tensor]:
    """What the engine does to write one more token behind `tokens` − 1 others, as often as it is called; the cache is put back."""
    net = prepare(spec.build(0).eval())
    cache = net.new_cache(rows, tokens)
    one = torch.zeros(rows, 1, dtype=torch.long)
    with torch.inference_mode():
        net.hidden(Tokens(one.expand(rows, tokens - 1)), None, cache)

    @torch.inference_mode()
    def write() -> Tensor:
        cache.truncate(tokens - 1)
        x, _balance = net.hidden(Tokens(one), None, cache)
        return net.logits(x[:, -1])

    return write
