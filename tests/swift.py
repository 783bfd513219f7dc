"""A guard against hanging: no measurement (benchmarks/ measures), for a busy machine stretches seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def swift(limit: float = 10.0) -> Iterator[None]:
    """What runs within takes less than `limit` seconds of this process's own time: many times what it should need."""
    began = time.process_time()
    yield
    assert time.process_time() - began < limit
