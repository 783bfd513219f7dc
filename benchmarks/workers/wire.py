"""The worker's half of the protocol: one JSON request per line in, one JSON reply per line out.

Requests: hello, build {name, kind, spec}, run {name, units}, evaluate {name}, bandwidth. What is timed
(build, run) is timed here, beside the work, so that the pipe costs nothing.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Reply = dict[str, Any]


class Unit(Protocol):
    """One variant of one package, built and ready: `run(n)` does n steps, new tokens or intervals."""

    def run(self, units: int) -> Reply | None: ...


Builder = Callable[[Reply], Unit]


class Session:
    """The units built so far, by the name the driver gave them."""

    def __init__(self, builders: dict[str, Builder], packages: Sequence[str]) -> None:
        self.builders = builders
        self.packages = packages
        self.units: dict[str, Any] = {}

    def answer(self, request: Reply) -> Reply:
        action = request["do"]
        return getattr(self, f"do_{action}")(**{key: value for key, value in request.items() if key != "do"})

    def do_hello(self) -> Reply:
        versions = {package: importlib.metadata.version(package) for package in self.packages}
        return {"python": platform.python_version(), **versions}

    def do_build(self, name: str, kind: str, spec: Reply) -> Reply:
        start = time.perf_counter()
        unit = self.units[name] = self.builders[kind](spec)
        return {"seconds": time.perf_counter() - start, "params": getattr(unit, "params", None)}

    def do_run(self, name: str, units: int) -> Reply:
        unit = self.units[name]
        start = time.perf_counter()
        extra = unit.run(units)
        return {"seconds": time.perf_counter() - start, **(extra or {})}

    def do_evaluate(self, name: str) -> Reply:
        return {"val_loss": self.units[name].evaluate()}

    def do_bandwidth(self) -> Reply:
        return {"GBps": bandwidth()}


@functools.cache
def _matrix() -> Any:
    import torch

    return torch.ones(1 << 13, 1 << 14)


def bandwidth() -> float:
    """GB/s of reading 512 MB: the better of a sum and a matrix-vector product, each the median of five."""
    matrix = _matrix()
    vector = matrix[0].clone()
    reads = (matrix.sum, lambda: matrix @ vector)
    return max(_gigabytes_per_second(matrix, read) for read in reads)


def _gigabytes_per_second(data: Any, read: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - start)
    return data.numel() * data.element_size() / statistics.median(seconds) / 1e9


def serve(builders: dict[str, Builder], packages: Sequence[str] = ()) -> None:
    """Answer requests until the driver closes the pipe. A failure is a reply, never the end of the worker."""
    wire = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to stderr: the pipe carries replies alone
    sys.stdout = sys.stderr
    session = Session(builders, packages)
    for line in sys.stdin:
        try:
            reply = session.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(reply), file=wire, flush=True)
    os._exit(0)  # a Trainer's waiting thread or a compile pool must not keep the worker alive
