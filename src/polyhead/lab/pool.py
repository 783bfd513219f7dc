"""Measurements in processes of their own, one torch thread each: one arm and seed after the other, as many as `jobs` at a time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from polyhead.errors import PolyheadError

from .claim import Mode, Trial
from .finding import line_in, load, path_of

_LOOK = 0.2  # seconds between looks at whether to stop


class Unit(NamedTuple):
    """name: as finding.chosen gives it. alone: nothing runs beside it."""

    name: str
    arm: str
    seed: int
    mode: Mode
    alone: bool


class Done(NamedTuple):
    """numbers: None where measuring failed; fault says how. seconds: by the clock; core: of a processor's core."""

    unit: Unit
    numbers: dict[str, Any] | None
    seconds: float
    core: float = 0.0
    fault: str = ""


def here(units: Sequence[Unit], stop: Callable[[], bool]) -> Iterator[Done]:
    """One after the other in this process."""
    for unit in units:
        if stop():
            return
        yield measure(unit)


def processes(units: Sequence[Unit], jobs: int, stop: Callable[[], bool]) -> Iterator[Done]:
    """In up to `jobs` processes, in the order they end. Where stop() says so, or the caller leaves, the processes are ended
    with what they were at."""
    waiting, crew = deque(units), _Crew()
    try:
        while waiting or crew.busy:
            while waiting and crew.room(waiting[0], jobs):
                crew.give(waiting.popleft())
            yield from crew.reports(_LOOK)
            if stop():
                return
    finally:
        crew.end()


class _Crew:
    """The processes: who is at what. One that died is replaced when there is something to give."""

    def __init__(self) -> None:
        self.busy: dict[Any, tuple[Unit, float]] = {}  # connection → what its process is at, since when
        self.idle: list[Any] = []
        self.process: dict[Any, Any] = {}  # connection → process

    def room(self, unit: Unit, jobs: int) -> bool:
        alone = unit.alone or any(at.alone for at, _ in self.busy.values())
        return not self.busy if alone else len(self.busy) < jobs

    def give(self, unit: Unit) -> None:
        line = self.idle.pop() if self.idle else self._start()
        line.send(unit)
        self.busy[line] = unit, time.perf_counter()

    def _start(self) -> Any:
        spawn = get_context("spawn")
        line, end = spawn.Pipe()
        process = spawn.Process(target=_work, args=(end,), daemon=True)
        with _without_interrupts():
            process.start()
        end.close()
        self.process[line] = process
        return line

    def reports(self, seconds: float) -> Iterator[Done]:
        heard: list[Any] = wait(list(self.busy), timeout=seconds)
        for line in heard:
            unit, since = self.busy.pop(line)
            try:
                done = line.recv()
                self.idle.append(line)
            except (EOFError, OSError):
                gone = self.process.pop(line)
                gone.join()
                done = Done(unit, None, time.perf_counter() - since, fault=f"its process ended with {gone.exitcode}: killed, or out of memory")
            yield done

    def end(self) -> None:
        for process in self.process.values():
            process.terminate()
        for line, process in self.process.items():
            process.join()
            line.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """What is started in here does not hear Ctrl-C: a terminal sends it to all, and this process alone decides."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(line: Connection) -> None:
    """A process's life: units in, what they gave out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with suppress(EOFError, OSError):  # the caller has gone
        while True:
            line.send(measure(line.recv()))


def measure(unit: Unit) -> Done:
    """One arm with one seed, with one torch thread."""
    began = time.perf_counter()
    try:
        claim = load(unit.name)
        with _one_thread(unit.seed):
            began, worked = time.perf_counter(), time.process_time()
            numbers = claim.measure(Trial(claim.arms[unit.arm], unit.seed, unit.mode))
        return Done(unit, plain(numbers), time.perf_counter() - began, time.process_time() - worked)
    except Exception as error:
        return Done(unit, None, time.perf_counter() - began, fault=fault(error, unit.name))


def fault(error: Exception, name: str) -> str:
    """What went wrong in a claim, in a line."""
    if isinstance(error, PolyheadError):
        return " ".join(str(error).split())
    line = line_in(error, path_of(name))
    where = f"{path_of(name).name}, line {line}: " if line else ""
    return f"{where}{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _one_thread(seed: int) -> Iterator[None]:
    """Torch, where the claim uses it, in one thread and with this seed; threads as before afterwards."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def plain(numbers: Any) -> dict[str, Any]:
    """What a claim measured as Python's own numbers, texts and lists of them. TypeError where it is something else."""
    if not isinstance(numbers, Mapping):
        raise TypeError(f"measure must return a dict of numbers and lists, not {type(numbers).__name__}")
    return {str(name): _plain(value, str(name)) for name, value in numbers.items()}


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # one number of NumPy's or torch's
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"measure returned {type(value).__name__} as {name!r}: a number, a text, or a list of them was expected (.tolist())")

