"""One safetensors file, written: tensor by tensor through an atomic file, with its size and SHA-256."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from polyhead.checkpoint.files import CHUNK, atomic, shown
from polyhead.checkpoint.tensors import CODES, MAX_HEADER, tensor_name_fault
from polyhead.errors import CheckpointError


class Written(NamedTuple):
    """What a finished file is: bytes, and the hexadecimal SHA-256 of all of them."""

    size: int
    sha256: str


class Later(Protocol):
    """A tensor that is made when it is written, and forgotten then. `Lazy`, in source.py, is one."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def get(self) -> Tensor: ...


class Layout:
    """A checked set of tensors on its way into a file: `size` bytes in all, sent by `stream`.

    `dtype` is what floating-point tensors are stored in; None: as they are. `apart`: refuse tensors that share memory.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor | Later],
        metadata: Mapping[str, str] | None = None,
        dtype: torch.dtype | None = None,
        apart: bool = True,
    ) -> None:
        for name, tensor in tensors.items():
            _check_storable(name, tensor, dtype)
        if apart:
            _check_apart({name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)})
        parts = [(name, stored_dtype(tensor, dtype), tensor) for name, tensor in tensors.items()]
        # Widest elements first: each tensor then begins at a multiple of its element's size.
        self._parts = sorted(parts, key=lambda part: (-part[1].itemsize, part[0]))
        self._header = self._build_header({"format": "pt", **(metadata or {})})  # other readers ask for "format"
        self.size = len(self._header) + sum(math.prod(part.shape) * kind.itemsize for _, kind, part in parts)

    def _build_header(self, metadata: dict[str, str]) -> bytes:
        if not all(isinstance(text, str) for item in metadata.items() for text in item):
            raise CheckpointError(
                "The metadata of a safetensors file cannot be stored.", expected="strings for strings"
            )
        fields: dict[str, Any] = {"__metadata__": metadata}
        reached = 0
        for name, dtype, tensor in self._parts:
            places = [reached, reached + math.prod(tensor.shape) * dtype.itemsize]
            fields[name] = {"dtype": CODES[dtype], "shape": list(tensor.shape), "data_offsets": places}
            reached = places[1]
        header = json.dumps(fields, separators=(",", ":")).encode("ascii")
        header += b" " * (-len(header) % 8)
        if len(header) > MAX_HEADER:
            raise CheckpointError(
                "Too many tensors for one file.",
                expected=f"a header of {MAX_HEADER:,} bytes at most",
                received=f"{len(header):,}",
                change="split them into several files",
            )
        return len(header).to_bytes(8, "little") + header

    def stream(self, write: Callable[[bytes | memoryview], None]) -> None:
        """Send the file's bytes in order. Holds one tensor's copy at a time, and none for contiguous ones on
        the CPU.
        """
        write(self._header)
        for name, dtype, part in self._parts:
            tensor = part if isinstance(part, Tensor) else part.get()
            if (tensor.shape, tensor.dtype) != (part.shape, part.dtype):
                raise _changed(name, part, tensor)
            flat = tensor.detach().to("cpu", dtype).contiguous().reshape(-1).view(torch.uint8)
            for piece in flat.split(CHUNK):
                write(memoryview(piece.numpy()))


def stored_dtype(tensor: Tensor | Later, dtype: torch.dtype | None) -> torch.dtype:
    """What a tensor is stored in when floating-point ones are to be `dtype`."""
    return dtype if dtype is not None and tensor.dtype.is_floating_point else tensor.dtype


def _changed(name: str, part: Tensor | Later, tensor: Tensor) -> CheckpointError:
    return CheckpointError(
        f"{shown(name)} is not what was announced.",
        expected=f"{part.dtype} {tuple(part.shape)}",
        received=f"{tensor.dtype} {tuple(tensor.shape)}",
    )


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None, dtype: torch.dtype | None = None
) -> Written:
    """Write one safetensors file, atomically: a file already there is replaced whole or not at all.

    dtype: what floating-point tensors are stored in; None: as they are.
    Tensors that share memory are refused, so a tied weight is written once, under the name the caller keeps.
    Overwriting the file that `tensors` are mapped from is safe. Raises CheckpointError for what cannot be
    stored, DiskError for the disk.
    """
    layout = Layout(tensors, metadata, dtype)
    with atomic(path, layout.size) as out:
        layout.stream(out.write)
    return Written(out.size, out.sha256)


def _check_storable(name: str, tensor: Tensor | Later, dtype: torch.dtype | None) -> None:
    fault = tensor_name_fault(name) if isinstance(name, str) else "not a string"
    if fault:
        raise CheckpointError(f"A tensor cannot be called {shown(name)}.", expected="a plain name", received=fault)
    if isinstance(tensor, Tensor):
        fault = "a sparse, quantized or meta tensor" if _has_no_data(tensor) else None
    else:
        fault = None if hasattr(tensor, "get") and hasattr(tensor, "dtype") else type(tensor).__name__
    if fault:
        raise CheckpointError(f"{shown(name)} cannot be stored.", expected="a dense tensor with data", received=fault)
    if stored_dtype(tensor, dtype) not in CODES:
        dtypes = " ".join(str(dtype).removeprefix("torch.") for dtype in CODES)
        raise CheckpointError(f"{shown(name)} cannot be stored.", expected=dtypes, received=str(tensor.dtype))


def _has_no_data(tensor: Tensor) -> bool:
    return tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized


def _check_apart(tensors: Mapping[str, Tensor]) -> None:
    """Raise unless the tensors lie apart in memory (judged by the range from first to last element)."""
    spans = sorted(
        (str(tensor.device), tensor.data_ptr(), tensor.data_ptr() + _reach(tensor), name)
        for name, tensor in tensors.items()
        if tensor.numel()
    )
    for (device, _, end, first), (other, begin, _, second) in itertools.pairwise(spans):
        if device == other and begin < end:
            raise CheckpointError(
                f"{shown(first)} and {shown(second)} share memory.",
                expected="each tensor once, so that no weight is written twice and no tie is lost unseen",
                received="two names for overlapping memory",
                change="keep one name of a tied weight and tie again after loading; .clone() a view",
            )


def _reach(tensor: Tensor) -> int:
    """Bytes from the first element to the end of the last."""
    steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (steps + 1) * tensor.element_size()
