"""What a model is to run on: peak, bandwidth, memory, and the share of them that is taken to be reached.

These shares were fixed before anything was compared with them; a machine that was measured has rates of its own.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyhead.errors import ConfigError
from polyhead.families import read
from polyhead.train.watching import Op

from .cluster import FUSED, MEMORY

THIS = ("this", "this machine", "cpu")
DTYPES = {"fp32": 4, "bf16": 2, "fp16": 2}
Steps = tuple[tuple[float, float], ...]  # (size, rate), rising in size


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Share(_Data):
    """Shares of peak and bandwidth that kernels reach (those of cluster.py; 0.7 for products where none was published), and
    seconds that each call costs beside its work: 5 µs, of which a GPU sees none while its queue is full."""

    product: float = Field(0.7, gt=0, le=1)
    attention: float = Field(FUSED, gt=0, le=1)
    memory: float = Field(MEMORY, gt=0, le=1)
    call: float = Field(5e-6, ge=0)


class Rates(_Data):
    """Measured here. product, packed: FLOP/s by the shortest side, of plain and of packed weights, by dtype; attention: FLOP/s
    forward and back; other: bytes/s of kernels by what they are, by size of a call where it matters; call: seconds
    that a kernel of a training step costs beside its work; write: what a kernel and, beside its kernels, a layer cost as a model writes."""

    product: dict[str, Steps]
    packed: dict[str, Steps]
    attention: dict[str, tuple[float, float]]
    plain: Steps
    special: float
    random: float
    stream: float
    update: float
    call: float
    write: tuple[float, float]


class Device(_Data):
    """bandwidth in bytes/s, memory in bytes, peak in FLOP/s by dtype (dense)."""

    name: str = ""
    kind: Literal["gpu", "cpu"] = "gpu"
    peak: dict[Literal["fp32", "bf16", "fp16"], float] = Field(min_length=1)
    bandwidth: float = Field(gt=0)
    memory: float = Field(gt=0)
    share: Share = Share()
    rates: Rates | None = None
    source: str = ""

    def dtype(self, asked: str) -> str:
        """The dtype whose peak counts: bf16 and fp16 stand for each other where one is missing."""
        for name in (asked, *({"bf16": ("fp16",), "fp16": ("bf16",)}.get(asked, ()))):
            if name in self.peak:
                return name
        raise ConfigError(
            f"{self.name} has no peak for {asked}", expected=" or ".join(self.peak), received=asked,
            change=f"--dtype {next(iter(self.peak))}, or give the peak in the device's file",
        )  # fmt: skip

    def reach(self, dtype: str) -> float:
        """FLOP/s of the fastest products there."""
        return self.peak[self.dtype(dtype)]  # type: ignore[index]

    def seconds(self, op: Op, packed: bool = False) -> float:
        """Of one call, beside the call's own cost: the longer of its work and its traffic."""
        if self.rates is not None:
            return _measured(self.rates, op, packed)
        traffic = op.moved / (self.bandwidth * self.share.memory)
        if op.kind == "other":
            return traffic
        dtype = "fp32" if op.wide > 2 else "bf16"
        dtype = dtype if dtype in self.peak or dtype == "bf16" else next(iter(self.peak))
        share = self.share.product if op.kind == "product" else self.share.attention
        return max(traffic, op.flops / (self.reach(dtype) * share))

    @property
    def call(self) -> float:
        """Seconds that each kernel of a training step costs beside its work."""
        return self.share.call if self.rates is None else self.rates.call

    @property
    def write(self) -> tuple[float, float]:
        """Seconds that each kernel, and each layer beside its kernels, of a step that writes a token cost."""
        return (self.share.call, 0.0) if self.rates is None else self.rates.write


SPECIAL = ("gelu", "softmax", "silu", "sigmoid", "tanh", "exp", "pow", "erf", "layer_norm", "vector_norm", "rsqrt", "sin", "cos")
RANDOM = ("bernoulli_", "native_dropout", "rand", "uniform_")


def _measured(rates: Rates, op: Op, packed: bool) -> float:
    dtype = "fp32" if op.wide > 2 else "bf16"
    if op.kind == "product":
        table = (rates.packed if packed else rates.product)[dtype]
        return max(op.flops / between(table, op.least), op.moved / rates.stream)
    if op.kind == "attention":
        if op.least == 1:
            return op.moved / rates.stream
        return op.flops / rates.attention[dtype]["backward" in op.name]
    if op.name in RANDOM:
        return op.moved / rates.random
    if any(name in op.name for name in SPECIAL):
        return op.moved / rates.special
    return op.moved / between(rates.plain, op.moved)


def between(table: Steps, x: float) -> float:
    """The rate at x: straight lines between the measured points, flat beyond them."""
    if x <= table[0][0]:
        return table[0][1]
    for (a, low), (b, high) in zip(table, table[1:], strict=False):
        if x <= b:
            return low + (high - low) * (x - a) / (b - a)
    return table[-1][1]


# ---------------------------------------------------------------- by name, or from a file


def device(name: str) -> Device:
    """A device of the table, of a YAML file, or this machine (measured, or remembered). ConfigError names what is near."""
    from .devices import ALIKE, DEVICES
    from .measure import this_machine

    if name.lower() in THIS:
        return this_machine()
    known = ALIKE.get(name.lower(), name.lower())
    if known in DEVICES:
        return DEVICES[known]
    if name.lower().endswith((".yaml", ".yml", ".json")):
        return _from_file(Path(name))
    near = difflib.get_close_matches(name.lower(), [*DEVICES, *ALIKE], 3, 0.4)
    raise ConfigError(
        f"unknown device {name!r}", expected="this machine, a device of the list, or a YAML file with peak, bandwidth and memory",
        received=name, change=f"--on {' or '.join(near)}" if near else f"one of {', '.join(DEVICES)}",
    )  # fmt: skip


def _from_file(path: Path) -> Device:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}", expected="a YAML file that describes a device", received=str(path), change=_EXAMPLE)
    tree: Any = read(path)
    try:
        return Device.model_validate({"name": path.stem} | tree if isinstance(tree, dict) else tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{path}: {where}: {first['msg']}", expected="peak (FLOP/s by dtype), bandwidth (bytes/s) and memory (bytes)",
            received=str(first.get("input"))[:80], change=_EXAMPLE,
        ) from None  # fmt: skip


_EXAMPLE = "write it like this: {peak: {fp32: 19.5e+12, bf16: 312e+12}, bandwidth: 2.0e+12, memory: 80e+9}"
