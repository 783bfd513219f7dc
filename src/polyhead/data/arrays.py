"""Pictures as arrays: MNIST's idx files, gzipped or not, and .npz. What a header promises is not believed: it is compared
with the file's size before anything is read, and pictures are read one after the other.

    train-images-idx3-ubyte.gz       its labels, train-labels-idx1-ubyte.gz, lie beside it
    digits.npz                       x_train and y_train, or images and labels
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import DataError
from .examples import Picture
from .files import unreadable
from .pictures import Album, Fitting, Size
from .reading import Asked
from .tally import Tally

_IDX = re.compile(r"(images|labels)([-.]idx\d-ubyte)?(\.gz)?\Z", re.IGNORECASE)
_PARTS = {"train": ("train",), "validation": ("val", "dev"), "test": ("t10k", "test")}
_PACKED = 1032  # times smaller than its content a deflated file can be, at most
_PIXELS = 2**26  # of one picture
_LABELS = 2**28  # bytes of all labels
_PREFIXES = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
_IMAGES, _CLASSES = ("x", "images", "data"), ("y", "labels", "targets")
_ERRORS = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, struct.error)


class Promise(NamedTuple):
    """What a header says: the array's shape and type; and the bytes it takes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    bytes: int


def is_idx(path: Path) -> bool:
    """Whether this is a file of MNIST's format, by name and first bytes."""
    if not _IDX.search(path.name):
        return False
    try:
        with _opened(path) as handle:
            start = handle.read(4)
        return start[:3] == b"\0\0\x08" and start[3:] in (b"\1", b"\3", b"\4")
    except DataError:
        return False


def looks_like_idx(path: Path) -> bool:
    """Whether its name is that of a file of pictures or labels as MNIST publishes them."""
    found = _IDX.search(path.name)
    return found is not None and bool(found[2])


# -- idx ----------------------------------------------------------------------------------------------------------


def idx(path: Path, asked: Asked) -> Album:
    """The pictures of an idx file, with the labels in the file beside it. Raises DataError."""
    images, labels = _pair(path)
    for file in (images, labels):
        if not file.is_file():
            raise DataError(
                f"{file} does not exist",
                expected="pictures and labels side by side",
                received=path.name,
                change="put both files into one folder",
            )
    with _opened(images) as handle:
        shape = _idx_header(handle, images, (3, 4)).shape
    with _opened(labels) as handle:
        count = _idx_header(handle, labels, (1,)).shape[0]
    if shape[0] != count:
        raise _unequal(f"{images} and {labels.name}", shape[0], count)
    note = f"reading {count} pictures of {images.name}, their classes in {labels.name}"
    read = partial(_read_idx, images, labels, asked.image_size)
    return Album(read, [(images, images.name), (labels, labels.name)], [note])


def idx_folder(path: Path, asked: Asked) -> Album | None:
    """The pictures of a folder that holds idx files: those of the part asked for. None if there are none."""
    files = sorted(file for file in path.iterdir() if looks_like_idx(file) and "images" in file.name.lower() and is_idx(file))
    if not files:
        return None
    if len(files) == 1 and not asked.part:
        return idx(files[0], asked)
    begins = _PARTS.get(asked.wanted, (asked.wanted,))
    chosen = [file for file in files if file.name.lower().startswith(begins)]
    if len(chosen) != 1:
        raise DataError(
            f"{path} has no part {asked.part!r}" if asked.part else f"{path} holds several files of pictures",
            expected="one of " + ", ".join(file.name for file in files[:6]) if asked.part else "one of them",
            received=asked.part or ", ".join(file.name for file in files[:6]),
            change="name the file itself, or set part",
        )
    album = idx(chosen[0], asked)
    left = ", ".join(file.name for file in files if file != chosen[0])
    return album._replace(notes=[*album.notes, *([f"{left} left out (part={asked.wanted!r})"] if left else [])])


def _pair(path: Path) -> tuple[Path, Path]:
    """(pictures, labels) of either of them."""
    sides = {"images": ("images", "idx3"), "labels": ("labels", "idx1")}
    names = {}
    for side, (word, number) in sides.items():
        name = re.sub(r"images|labels", word, path.name, flags=re.IGNORECASE)
        name = re.sub(r"idx\d", number, name) if side == "labels" or "labels" in path.name.lower() else name
        file = path.with_name(name)
        other = path.with_name(name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz")
        names[side] = file if file.exists() or not other.exists() else other
    return names["images"], names["labels"]


def _idx_header(handle: IO[bytes], path: Path, allowed: tuple[int, ...]) -> Promise:
    """The header, checked against the file's size. Raises DataError."""
    start = _exactly(handle, 4, path)
    if start[:3] != b"\0\0\x08" or start[3] not in allowed:
        raise DataError(
            f"{path} is not an idx file of {'labels' if 1 in allowed else 'pictures'}",
            expected=f"the first bytes 0, 0, 8, {' or '.join(map(str, allowed))}",
            received=", ".join(map(str, start)),
        )
    shape = struct.unpack(f">{start[3]}I", _exactly(handle, 4 * start[3], path))
    promise = Promise(shape, np.dtype(np.uint8), math.prod(shape))
    head = 4 + 4 * start[3]
    size = path.stat().st_size
    packed = _is_gzip(path)
    if promise.bytes > (size * _PACKED if packed else size - head) or (not packed and promise.bytes != size - head):
        raise _promised(path, promise, f"a file of {size} bytes")
    _check_pictures(path, shape)
    return promise


def _read_idx(images: Path, labels: Path, size: Size | None, tally: Tally) -> Iterator[Picture]:
    fit = Fitting(size, str(images))
    with _opened(labels) as handle:
        count = _idx_header(handle, labels, (1,)).shape[0]
        classes = np.frombuffer(_exactly(handle, _bounded(labels, count), labels), np.uint8)
        _nothing_more(handle, labels)
    with _opened(images) as handle:
        shape = _idx_header(handle, images, (3, 4)).shape
        if shape[0] != count:
            raise _unequal(f"{images} and {labels.name}", shape[0], count)
        for number, label in enumerate(classes.tolist()):
            image = np.frombuffer(_exactly(handle, math.prod(shape[1:]), images, number), np.uint8)
            tally.good += 1
            yield Picture(f"{images.name} {number}", fit(_plain(image.reshape(shape[1:])), str(number)), str(label))
        _nothing_more(handle, images)


# -- npz ----------------------------------------------------------------------------------------------------------


def npz(path: Path, asked: Asked) -> Album:
    """The pictures of an .npz file. Raises DataError for one without a pair of arrays that can be read safely."""
    with _errors(path), zipfile.ZipFile(path) as archive:
        images, labels = _arrays(archive, path, asked)
        with archive.open(images) as handle:
            shape = _npy_header(handle, archive.getinfo(images), path).shape
    note = f"reading {shape[0]} pictures of {path.name}: {images.removesuffix('.npy')}, {labels.removesuffix('.npy')}"
    return Album(partial(_read_npz, path, images, labels, asked.image_size), [(path, path.name)], [note])


def _arrays(archive: zipfile.ZipFile, path: Path, asked: Asked) -> tuple[str, str]:
    names = {name.removesuffix(".npy").lower(): name for name in archive.namelist() if name.endswith(".npy")}
    if asked.columns and len(asked.columns) == 2:
        found = [names.get(column.lower()) for column in asked.columns]
    else:
        found = [_named(names, sort, asked.part) for sort in (_IMAGES, _CLASSES)]
    if found[0] is None or found[1] is None:
        raise DataError(
            f"{path} has no part {asked.part!r}" if asked.part and not asked.columns else f"{path}: which arrays to read is not clear",
            expected="x_train and y_train, or images and labels",
            received=", ".join(list(names)[:12]) or "no arrays",
            change="name them with data.columns: pictures,classes",
        )
    return found[0], found[1]


def _named(names: dict[str, str], sort: tuple[str, ...], part: str | None) -> str | None:
    prefixes = _PREFIXES.get(part or "train", (part,))
    wanted = [form for name in sort for one in prefixes for form in (f"{name}_{one}", f"{one}_{name}")]
    return next((names[name] for name in (*wanted, *(() if part else sort)) if name in names), None)


def _npy_header(handle: IO[bytes], info: zipfile.ZipInfo, path: Path) -> Promise:
    """The header of an array in a zip file: its type and shape, compared with the bytes there are. Raises DataError."""
    try:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(handle)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise DataError(f"{path}: the header of {info.filename} cannot be read", received=str(error)[:100]) from None
    if not 0 < len(shape) < 5 or any(n < 0 for n in shape) or dtype.hasobject or fortran:
        raise DataError(
            f"{path}: {info.filename} is not an array polyhead reads",
            expected="numbers or text, at most four dimensions, in C order",
            received=f"{dtype} {str(shape)[:60]}{', Fortran order' if fortran else ''}",
        )
    promise = Promise(shape, dtype, math.prod(shape) * dtype.itemsize)
    if promise.bytes != info.file_size - handle.tell() or info.file_size > info.compress_size * _PACKED + 65_536:
        raise _promised(path, promise, f"{info.file_size} bytes, {info.compress_size} of them stored")
    return promise


def _read_npz(path: Path, images: str, labels: str, size: Size | None, tally: Tally) -> Iterator[Picture]:
    fit = Fitting(size, str(path))
    with _errors(path), zipfile.ZipFile(path) as archive:
        with archive.open(labels) as handle:
            classes = _classes(handle, archive.getinfo(labels), path)
        with archive.open(images) as handle:
            shape, dtype, _ = _npy_header(handle, archive.getinfo(images), path)
            if dtype != np.uint8 or len(shape) < 3:
                raise DataError(
                    f"{path}: {images} holds no pictures",
                    expected="uint8 (n, H, W), (n, H, W, 3) or (n, 3, H, W)",
                    received=f"{dtype} {shape}",
                    change="store values from 0 to 255 as uint8",
                )
            if shape[0] != len(classes):
                raise _unequal(f"{images} and {labels} of {path}", shape[0], len(classes))
            _check_pictures(path, shape)
            for number, label in enumerate(classes):
                image = np.frombuffer(_exactly(handle, math.prod(shape[1:]), path, number), np.uint8)
                tally.good += 1
                yield Picture(f"{path.name} {number}", fit(_plain(image.reshape(shape[1:])), str(number)), label)
            _nothing_more(handle, path)


def _classes(handle: IO[bytes], info: zipfile.ZipInfo, path: Path) -> list[str]:
    """(n,) or (n, 1) whole numbers or texts, as texts."""
    shape, dtype, size = _npy_header(handle, info, path)
    if dtype.kind not in "iuU" or math.prod(shape) != (shape[0] if shape else 0):
        raise DataError(f"{path}: {info.filename} holds no classes", expected="(n,) whole numbers or texts", received=f"{dtype} {shape}")
    values = np.frombuffer(_exactly(handle, _bounded(path, size), path), dtype)
    return [str(value) for value in values.tolist()]


# -- both ---------------------------------------------------------------------------------------------------------


def _plain(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) of (H, W), (H, W, 1), (1, H, W), (H, W, 3) or (3, H, W)."""
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        image = np.ascontiguousarray(image.transpose(1, 2, 0))
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _check_pictures(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) == 1:
        return
    one = shape[1:]
    channels = 1 if len(one) == 2 else one[2] if one[2] in (1, 3) else one[0]
    if not 0 < math.prod(one) <= 3 * _PIXELS or channels not in (1, 3) or max(one) > 16_384:
        raise DataError(
            f"{path} does not hold pictures of a possible size",
            expected=f"1 or 3 channels, at most {_PIXELS >> 20} M pixels each",
            received="×".join(map(str, one)),
        )


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise unreadable(path, error) from error


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with _errors(path):
        handle: Any = gzip.open(path, "rb") if _is_gzip(path) else open(path, "rb")
        with handle:
            yield handle


def _bounded(path: Path, size: int) -> int:
    if size > _LABELS:
        raise DataError(f"{path} holds too many labels", expected=f"at most {_LABELS} bytes", received=f"{size}")
    return size


def _exactly(handle: IO[bytes], size: int, path: Path, number: int | None = None) -> bytes:
    found = handle.read(size)
    if len(found) < size:
        at = "its header" if number is None else f"picture {number}"
        raise DataError(f"{path} ends within {at}", expected=f"{size} bytes", received=str(len(found)), change="fetch the file again")
    return found


def _nothing_more(handle: IO[bytes], path: Path) -> None:
    if handle.read(1):
        raise DataError(f"{path} holds more than its header says", expected="nothing after the last one", received="more bytes")


def _promised(path: Path, promise: Promise, received: str) -> DataError:
    shape = "×".join(map(str, promise.shape))
    return DataError(
        f"{path} promises what it does not hold",
        expected=f"{promise.bytes} bytes for {shape} of {promise.dtype}",
        received=received,
        change="fetch the file again",
    )


def _unequal(what: str, images: int, labels: int) -> DataError:
    return DataError(f"{what} do not belong together", expected="as many labels as pictures", received=f"{images} pictures, {labels} labels")  # fmt: skip
