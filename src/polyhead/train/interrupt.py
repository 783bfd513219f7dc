"""Signals: the first asks a run to stop in order, a second one stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from polyhead.errors import Stopped


class Interrupt:
    """The first signal asks for an orderly stop; a second one stops at once."""

    signum: int | None = None

    def __call__(self, signum: int, frame: Any) -> None:
        if self.signum is not None:
            raise Stopped(signum, "stopped at once; the last checkpoint is whole")
        self.signum = signum


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Ctrl-C and SIGTERM set a flag that the loop looks at after each step."""
    interrupt, names = Interrupt(), (signal.SIGINT, signal.SIGTERM)
    try:
        before = {name: signal.signal(name, interrupt) for name in names}
    except ValueError:  # not the main thread: whoever runs it handles signals
        yield interrupt
        return
    try:
        yield interrupt
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
