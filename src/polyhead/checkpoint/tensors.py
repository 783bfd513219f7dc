"""One safetensors file, read.

Reading checks the whole header against the real length of the file before anything is allocated, then lets
the safetensors library map the tensors, so that only what is touched is read. The format is: 8 bytes little-endian length, a JSON header, the bytes of the
tensors without holes.
"""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from polyhead.checkpoint.files import parse_json, shown
from polyhead.errors import CheckpointError

MAX_HEADER = 25_000_000  # bytes; the format itself allows 100 MB
MAX_NAME = 512  # characters
MAX_RANK = 32
_MAX_MARKS = 2_000_000  # brackets, commas, quotes in a header: what parsing may allocate; 100,000 tensors
_FIELDS = {"dtype", "shape", "data_offsets"}
_LARGEST = 2**63  # no count of elements or bytes may reach it

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz, "C64": torch.complex64,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}


class Entry(NamedTuple):
    """One tensor as the header declares it; `begin` and `end` count bytes from the end of the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    tensors: dict[str, Entry]
    metadata: dict[str, str]


def read_header(path: str | Path, max_header: int = MAX_HEADER) -> Header:
    """The checked header of a safetensors file: names, dtypes, shapes, places, text metadata.

    Reads at most `max_header` bytes. Raises CheckpointError naming the file and the field for anything that
    is not exactly a safetensors file: wrong lengths, broken or duplicate JSON, unknown dtypes, overlaps,
    holes, trailing bytes.
    """
    path = Path(path)
    try:
        with _open_regular(path) as file:
            return check_header(path, file, max_header)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_tensors(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """All tensors of a safetensors file by name, checked as by `read_header`.

    On the CPU they are mapped: nothing is read until it is touched, and writing to one never changes the
    file. Where they outlive the file's name the data stays valid, except on Windows, where the file cannot be
    replaced until they are gone.
    """
    path = Path(path)
    try:
        with _open_regular(path) as file:
            header = check_header(path, file)
            checked = os.fstat(file.fileno())
            with safe_open(path, framework="pt", device=str(device)) as opened:
                if not os.path.samestat(checked, os.stat(path)):  # another file took the name after the check
                    raise _bad(path, "file", "one file while it is read", "it was replaced", "read it again")
                return {name: opened.get_tensor(name) for name in header.tensors}
    except SafetensorError as error:
        raise _bad(path, "file", "a file the safetensors library accepts", str(error)[:200]) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _open_regular(path: Path) -> Any:
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
        raise _bad(path, "file", "a regular file", "a folder, pipe or device", "name the .safetensors file itself")
    return open(path, "rb")


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    missing = isinstance(error, FileNotFoundError)
    return CheckpointError(
        f"{path} does not exist." if missing else f"{path} cannot be read.",
        expected="a readable safetensors file",
        received=error.strerror or str(error),
        change="check the path" if missing else "check the path and its permissions",
    )


def _bad(path: Path, field: str, expected: str, received: str, change: str | None = None) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a sound safetensors file: {field}.",
        expected=expected,
        received=received,
        change=change or "download or copy the file again; one that cannot be trusted is never loaded",
    )


def check_header(path: Path, file: Any, max_header: int = MAX_HEADER) -> Header:
    """As `read_header`, for a `file` that is open at its start; `path` is for the messages."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(9)
    if len(start) < 8:
        raise _bad(path, "header length", "8 bytes", f"a file of {size} bytes")
    if start == b"version h":
        raise _bad(path, "content", "the weights", "a pointer of Git LFS, which stands in their place", "fetch them: git lfs pull")
    length = int.from_bytes(start[:8], "little")
    if length > max_header:
        raise _bad(path, "header length", f"at most {max_header:,} bytes", f"{length:,}")
    if not 2 <= length <= size - 8:
        raise _bad(path, "header length", f"2 to {size - 8:,} bytes in this file", f"{length:,}")
    if start[8:] != b"{":
        raise _bad(path, "header", "a JSON object that starts with {", repr(start[8:]))
    raw = start[8:] + file.read(length - 1)
    if len(raw) != length:
        raise _bad(path, "header", f"{length:,} bytes", f"{len(raw):,}")
    if sum(raw.count(mark) for mark in (b"{", b"[", b",", b'"')) > _MAX_MARKS:
        raise _bad(path, "header", "at most 100,000 tensors", "more entries than that")
    fields = parse_json(raw, f"{path}: the safetensors header")
    metadata = _metadata(path, fields.pop("__metadata__", {}))
    tensors = {name: _entry(path, name, value) for name, value in fields.items()}
    _check_places(path, tensors, size - 8 - length)
    return Header(tensors, metadata)


def _metadata(path: Path, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _bad(path, "__metadata__", "an object whose values are strings", shown(value))
    return value


def _entry(path: Path, name: str, value: Any) -> Entry:
    fault = tensor_name_fault(name)
    if fault:
        raise _bad_tensor(path, name, "", "a plain name", fault)
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise _bad_tensor(path, name, "", "exactly dtype, shape and data_offsets", shown(value))
    dtype = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise _bad_tensor(path, name, ", dtype", "one of " + " ".join(DTYPES), shown(value["dtype"]))
    shape, places = value["shape"], value["data_offsets"]
    if not _are_counts(shape, MAX_RANK):
        expected = f"a list of at most {MAX_RANK} whole numbers from 0 to 2**63 - 1"
        raise _bad_tensor(path, name, ", shape", expected, shown(shape))
    if not _are_counts(places, 2) or len(places) != 2 or places[0] > places[1]:
        raise _bad_tensor(path, name, ", data_offsets", "[begin, end] with 0 <= begin <= end", shown(places))
    if math.prod(size or 1 for size in shape) * dtype.itemsize >= _LARGEST:
        raise _bad_tensor(path, name, ", shape", "fewer than 2**63 bytes", shown(shape))
    needed, given = math.prod(shape) * dtype.itemsize, places[1] - places[0]
    if given != needed:
        expected = f"{needed:,} bytes for its dtype and shape"
        raise _bad_tensor(path, name, ", data_offsets", expected, f"{given:,} bytes")
    return Entry(dtype, tuple(shape), places[0], places[1])


def _bad_tensor(path: Path, name: str, field: str, expected: str, received: str) -> CheckpointError:
    return _bad(path, f"tensor {shown(name)}{field}", expected, received)


def _are_counts(value: Any, longest: int) -> bool:
    """Whether `value` is a list of at most `longest` whole numbers from 0 to 2**63 - 1."""
    if not isinstance(value, list) or len(value) > longest:
        return False
    return all(type(item) is int and 0 <= item < _LARGEST for item in value)


def _check_places(path: Path, tensors: dict[str, Entry], size: int) -> None:
    """The tensors must fill the `size` bytes after the header exactly, each byte once."""
    reached = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != reached:
            kind = "overlaps another" if entry.begin < reached else "leaves a hole before it"
            raise _bad(
                path,
                f"tensor {shown(name)}, data_offsets",
                f"begin at byte {reached:,}",
                f"{entry.begin:,}: it {kind}",
            )
        reached = entry.end
    if reached != size:
        kind = "the file is cut short" if reached > size else "there are bytes after the last tensor"
        raise _bad(path, "file length", f"{reached:,} bytes of tensors", f"{size:,}: {kind}")


def tensor_name_fault(name: str) -> str | None:
    """Why a tensor may not be called so, or None: names reach messages, module paths and sometimes file
    names.
    """
    if not name or len(name) > MAX_NAME:
        return f"{len(name)} characters (1 to {MAX_NAME} are allowed)"
    if not name.isprintable():
        return "control or other unprintable characters"
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        return "a path"
    return "a reserved name" if name == "__metadata__" else None
