"""`metrics.jsonl`: one JSON object per line, whole lines only, and cut back when a run resumes."""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from polyhead.checkpoint.files import atomic, disk_errors, parse_json
from polyhead.errors import CheckpointError

_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Closing(ABC):
    """What is closed at the end of its `with`."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class JsonLines(Closing):
    """An append-only file of JSON objects. Opened at the first line; usable as a context manager."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._descriptor: int | None = None

    def append(self, row: dict[str, Any]) -> None:
        """Write `row` as one line, handed to the system before this returns. NaN and infinities become null.

        Raises DiskError (the file is then as it was before), CheckpointError for values JSON does not have.
        """
        try:
            line = json.dumps(_finite(row), allow_nan=False, separators=(", ", ": ")).encode("ascii") + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            message = f"A row for {self.path} cannot be written as JSON."
            raise CheckpointError(message, expected="numbers, strings, lists, objects", received=str(error)) from error
        with disk_errors(self.path, len(line)):
            descriptor = self._open()
            size = os.fstat(descriptor).st_size
            try:
                view = memoryview(line)
                while view:
                    view = view[os.write(descriptor, view) :]
            except OSError:
                os.ftruncate(descriptor, size)  # part of a line would be worse than none
                raise

    def cut_after(self, step: int) -> None:
        """Keep only whole lines whose `step` is at most `step`, byte for byte. Atomic.

        So that after resuming from that step no line is torn or doubled. A missing file stays missing.
        """
        self.close()
        if not self.path.exists():
            return
        with open(self.path, "rb") as source, atomic(self.path, self.path.stat().st_size) as out:
            for line in source:
                if _belongs(line, step):
                    out.write(line)
            source.close()  # Windows replaces no open file

    def _open(self) -> int:
        """The descriptor; at the first call a torn last line is ended, so that it swallows no other."""
        if self._descriptor is None:
            descriptor = self._descriptor = os.open(self.path, _APPEND, 0o666)
            if os.fstat(descriptor).st_size:
                os.lseek(descriptor, -1, os.SEEK_END)
                if os.read(descriptor, 1) != b"\n":
                    os.write(descriptor, b"\n")
        return self._descriptor

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _belongs(line: bytes, step: int) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        row = parse_json(line, "line")
    except CheckpointError:
        return False
    return isinstance(row, dict) and type(row.get("step")) is int and row["step"] <= step


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
