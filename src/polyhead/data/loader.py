"""From samples to steps: which samples a step sees is a pure function of (seed, step, micro, rank, world).

There is no state to save: a run resumes at any step by its number. The stream of samples is endless: epoch after
epoch, each a permutation of all samples, and a batch that reaches an epoch's end goes on into the next.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from ..errors import ConfigError
from ..nn.tokens import Batch
from .objectives.base import Objective


class Loader:
    """Batches of `batch` samples per optimizer step, over all ranks and micro-batches together.

    Every split of a step into ranks and micro-batches sees the same samples. Raises DataError for a corpus shorter than
    one batch, ConfigError for a batch that does not divide.
    """

    def __init__(self, dataset: Objective, *, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        if batch < 1:
            raise ConfigError("the batch must hold a sample", expected="at least 1", received=str(batch))
        if not 0 <= rank < world:
            raise ConfigError("the rank does not exist", expected=f"0 to {world - 1}", received=str(rank))
        if len(dataset) < batch:
            raise dataset.too_short(batch)
        self.dataset, self.batch, self.seed, self.rank, self.world = dataset, batch, seed, rank, world
        self._parts(1)

    def _parts(self, micros: int) -> int:
        parts = micros * self.world
        if micros < 1 or self.batch % parts:
            raise ConfigError(
                f"a batch of {self.batch} cannot be split into {micros} micro-batches on {self.world} ranks",
                expected=f"a batch that is a multiple of {max(parts, 1)}",
                received=str(self.batch),
                change=f"set the batch to {-(-self.batch // max(parts, 1)) * max(parts, 1)}",
            )
        return parts

    def epoch_at(self, step: int) -> float:
        """How many times the corpus has been seen when `step` begins."""
        return step * self.batch / len(self.dataset)

    def batch_at(self, step: int, micro: int = 0, micros: int = 1) -> Batch:
        """This rank's part of micro-batch `micro` of `micros` of optimizer step `step` (counted from 0)."""
        size = self.batch // self._parts(micros)
        if not (0 <= micro < micros and step >= 0):
            raise ConfigError(
                "no such batch", expected=f"step >= 0, micro 0 to {micros - 1}", received=f"{step}, {micro}"
            )
        epochs, indices = self.dataset.order(step * self.batch, self.batch, self.seed)
        mine = slice((micro * self.world + self.rank) * size, (micro * self.world + self.rank + 1) * size)
        return self.dataset.make(indices[mine], epochs[mine], self.seed)

    def iterate(self, start: int = 0, micros: int = 1, *, stop: int | None = None) -> Iterator[list[Batch]]:
        """Steps `start`, `start` + 1, … (up to, not including, `stop`), each a list of its micro-batches.

        One thread makes the next step's batches while this one is computed; its errors are raised here.
        """
        self._parts(micros)
        ready: queue.Queue[list[Batch] | BaseException] = queue.Queue(maxsize=2)
        closing = threading.Event()
        worker = threading.Thread(
            target=self._fill, args=(ready, closing, start, micros, stop), name="polyhead-loader", daemon=True
        )
        worker.start()
        try:
            step = start
            while stop is None or step < stop:
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                step += 1
        finally:
            closing.set()
            while worker.is_alive():  # it may be waiting for room
                _drain(ready)
                worker.join(0.01)

    def _fill(self, ready: queue.Queue, closing: threading.Event, start: int, micros: int, stop: int | None) -> None:
        step = start
        try:
            while not closing.is_set() and (stop is None or step < stop):
                ready.put([self.batch_at(step, micro, micros) for micro in range(micros)])
                step += 1
        except BaseException as error:  # noqa: BLE001 -- handed to the consumer, who raises it
            ready.put(error)


def _drain(ready: queue.Queue) -> None:
    try:
        while True:
            ready.get_nowait()
    except queue.Empty:
        return
