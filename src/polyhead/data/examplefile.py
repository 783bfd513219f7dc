"""Packed examples: one safetensors file of what was encoded once, mapped into memory.

Columns are arrays with a row per example, or ragged: all values end to end under the column's name and the examples'
boundaries (examples + 1) under `name.offsets`. What else there is to know is JSON in the file's metadata. It is written in
one pass and bounded memory, under a temporary name, and appears complete or not at all.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import DataError, TokenizerError
from .tokenfile import disk_errors

_DTYPES = {"U8": "<u1", "U16": "<u2", "U32": "<u4", "I64": "<i8", "F32": "<f4"}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
_HEADER_LIMIT = 1 << 27
_HELD = 1 << 20  # bytes of a column written at once
_META = "polyhead.examples"


def ids_dtype(vocab_size: int) -> np.dtype:
    """Of numbers below `vocab_size`."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


class ExampleFile:
    """Packed examples, mapped read-only.

    kind: one of examples.KINDS. facts: what the kind knows of itself, such as `labels`. special: ids of the tokenizer's
    special tokens. bytes: UTF-8 bytes of the texts. Raises DataError when the file is missing, damaged or not one of these.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._handle = open(self.path, "rb")  # noqa: SIM115 -- kept open as long as the mapping
            self._size = os.fstat(self._handle.fileno()).st_size
            header, first = self._read_header()
        except OSError as e:
            raise DataError(f"cannot open the packed examples {self.path}", received=e.strerror or str(e)) from e
        try:
            told = json.loads(header.pop("__metadata__")[_META])
            if told["format"] != 1:
                raise self._damaged(f"its format is {told['format']}, this version reads 1")
            self.kind: str = told["kind"]
            self.facts: dict[str, Any] = told["facts"]
            self.special: dict[str, int] = told["special"]
            self.vocab_size: int = told["vocab_size"]
            self.fingerprint: str = told["fingerprint"]
            self.notes: list[str] = told["notes"]
            self.bytes: int = told["bytes"]
            self._count: int = told["examples"]
            self._arrays = self._map(header, first)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise self._damaged("its header cannot be read") from e

    def _read_header(self) -> tuple[dict[str, Any], int]:
        length = int.from_bytes(self._handle.read(8), "little")
        if self._size < 8 or not 2 <= length <= min(self._size - 8, _HEADER_LIMIT):
            raise self._damaged("it does not begin as one")
        try:
            header = json.loads(self._handle.read(length))
        except (ValueError, RecursionError) as e:
            raise self._damaged("its header cannot be read") from e
        if not isinstance(header, dict) or "__metadata__" not in header:
            raise self._damaged("its header does not say what it holds")
        return header, 8 + length

    def _map(self, header: dict[str, Any], first: int) -> dict[str, np.ndarray]:
        view = mmap.mmap(self._handle.fileno(), 0, access=mmap.ACCESS_READ)
        arrays = {}
        for name, told in header.items():
            dtype, shape, (begin, end) = np.dtype(_DTYPES[told["dtype"]]), tuple(told["shape"]), told["data_offsets"]
            sizes = (*shape, begin, end)
            if any(type(n) is not int or n < 0 for n in sizes) or end - begin != math.prod(shape) * dtype.itemsize:
                raise self._damaged(f"{name} does not fit its size")
            if first + end > self._size:
                raise self._damaged("its end is missing")
            arrays[name] = np.frombuffer(view, dtype, math.prod(shape), first + begin).reshape(shape)
        for name, array in arrays.items():
            rows = self._count + 1 if name.endswith(".offsets") else self._count
            if f"{name}.offsets" not in arrays and array.shape[:1] != (rows,):
                raise self._damaged(f"{name} does not have {rows} rows")
            if name.endswith(".offsets") and not _fits(array, arrays.get(name.removesuffix(".offsets"))):
                raise self._damaged(f"{name} are no boundaries")
        return arrays

    def _damaged(self, why: str) -> DataError:
        return DataError(
            f"{self.path} is not a whole file of packed examples: {why}",
            expected="a file written by polyhead's packing",
            received=f"{self._size} bytes",
            change="delete the file; it is made again from the data",
        )

    def __len__(self) -> int:
        """Number of examples."""
        return self._count

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def array(self, name: str) -> np.ndarray:
        """A column with a row per example, or a ragged one's values."""
        return self._arrays[name]

    def ragged(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(values, offsets): example i has `values[offsets[i]:offsets[i + 1]]`."""
        return self._arrays[name], self._arrays[f"{name}.offsets"]

    def check(self) -> None:
        """Raises DataError if the file was cut while mapped: touching the lost pages would kill the process."""
        size = os.fstat(self._handle.fileno()).st_size
        if size < self._size:
            raise DataError(
                f"the packed examples {self.path} were cut short while in use",
                expected=f"{self._size} bytes",
                received=f"{size} bytes",
                change="do not write into a run's folder while it trains; delete the file, it is made again",
            )


def _fits(offsets: np.ndarray, values: np.ndarray | None) -> bool:
    if values is None or offsets.dtype != np.int64 or offsets.ndim != 1:
        return False
    return bool(offsets[0] == 0 and offsets[-1] == len(values) and (np.diff(offsets) >= 0).all())


class _Column:
    """One array on its way to the disk."""

    def __init__(self, handle: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], limit: int | None) -> None:
        self.handle, self.dtype, self.shape, self.limit = handle, dtype, shape, limit
        self.rows = self._size = 0
        self._held: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        if self.limit is not None and len(values) and (values.min() < 0 or values.max() >= self.limit):
            raise TokenizerError(
                "the tokenizer returned an id outside its vocabulary",
                expected=f"0 to {self.limit - 1}",
                received=f"{values.min()} to {values.max()}",
            )
        self._held.append(values.astype(self.dtype))
        self.rows, self._size = self.rows + len(values), self._size + self._held[-1].nbytes
        if self._size >= _HELD:
            self.flush()

    def flush(self) -> None:
        for values in self._held:
            self.handle.write(values.tobytes())
        self._held, self._size = [], 0


class ExampleWriter:
    """Writes an ExampleFile example by example; `finish` puts it in its place, leaving the block without it removes it.

    Columns come to be when they are first added to, of the type and shape that they then have.
    """

    def __init__(self, path: Path, vocab_size: int = 0) -> None:
        self.path, self.vocab_size, self.bytes = path, vocab_size, 0
        self._columns: dict[str, _Column] = {}

    def __enter__(self) -> ExampleWriter:
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        return self

    def __exit__(self, *_: object) -> None:
        for column in self._columns.values():
            try:
                column.handle.close()
            except OSError:  # closing flushes, and the disk may be full: what matters was said already
                pass
        shutil.rmtree(self._folder, ignore_errors=True)

    def _column(self, name: str, dtype: Any, shape: tuple[int, ...] = (), limit: int | None = None) -> _Column:
        if name not in self._columns:
            with disk_errors(self.path):
                handle = open(self._folder / f"column{len(self._columns)}", "wb+")  # noqa: SIM115
            self._columns[name] = _Column(handle, np.dtype(dtype), shape, limit)
        return self._columns[name]

    def add(self, name: str, values: np.ndarray | Sequence[Any], dtype: Any = None) -> None:
        """Appends rows, (k, …), to a column with a row per example."""
        rows = np.asarray(values, dtype)
        column = self._column(name, rows.dtype, rows.shape[1:])
        if rows.shape[1:] != column.shape:
            raise DataError(f"rows of {name} differ in shape", expected=str(column.shape), received=str(rows.shape[1:]))
        with disk_errors(self.path):
            column.add(rows)

    def ragged(self, name: str, rows: Iterable[Sequence[int] | np.ndarray], dtype: Any = None) -> None:
        """Appends the values of some examples. dtype: None for ids of the vocabulary."""
        limit = self.vocab_size if dtype is None else None
        column = self._column(name, ids_dtype(self.vocab_size) if dtype is None else dtype, (), limit)
        ends = self._column(f"{name}.offsets", np.int64)
        given = [np.asarray(row, np.int64) for row in rows]
        with disk_errors(self.path):
            if not ends.rows:
                ends.add(np.zeros(1, np.int64))
            ends.add(column.rows + np.cumsum([len(row) for row in given], dtype=np.int64))
            if given:
                column.add(np.concatenate(given))

    def finish(self, examples: int, **told: Any) -> None:
        """Joins the columns, and moves the file to its place in one step. told: kind, facts, special, fingerprint, notes."""
        meta = dict(format=1, examples=examples, vocab_size=self.vocab_size, bytes=self.bytes, **told)
        header: dict[str, Any] = {"__metadata__": {_META: json.dumps(meta)}}
        # the widest first, as safetensors writes them, so that each begins at a multiple of its width
        ordered = sorted(self._columns.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
        at = 0
        for name, column in ordered:
            size = column.rows * math.prod(column.shape) * column.dtype.itemsize
            shape = [column.rows, *column.shape]
            header[name] = {"dtype": _NAMES[column.dtype], "shape": shape, "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with disk_errors(self.path), open(self._folder / "whole", "wb") as whole:
            whole.write(len(text).to_bytes(8, "little") + text)
            for _, column in ordered:
                column.flush()
                column.handle.seek(0)
                shutil.copyfileobj(column.handle, whole)
            whole.flush()
            os.fsync(whole.fileno())
        with disk_errors(self.path):
            os.replace(self._folder / "whole", self.path)
