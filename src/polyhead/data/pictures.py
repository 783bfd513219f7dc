"""Pictures with a class each: a folder of folders, and pictures in the columns of a table; decoded, and of one size.

    flowers/rose/001.jpg, flowers/tulip/7.png       the folder says the class
    {"image": {"bytes": …}, "label": 3}              a column of a Parquet file or of a Hub data set

Every picture comes as uint8, grey (H, W) where all are grey, else (H, W, 3). A picture that cannot be read is counted and
passed over as a broken row is. Decoding needs Pillow: pip install 'polyhead[images]'.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, DataError
from .columns import Row, found, value_of
from .examples import Picture
from .reading import Asked, Broken, Reading
from .tally import Tally

SUFFIXES = frozenset(".png .jpg .jpeg .bmp .gif .webp .tif .tiff .ppm .pgm .pbm".split())
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # none that runs another program, as EPS does
_PIXELS = 2**26  # of one picture: 64 M, 192 MB in colour
_BYTES = 2**28  # of one file
_LOOKED_AT = 64  # pictures whose headers say whether there is colour
_PARTS = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_PART_NAMES = {name for names in _PARTS.values() for name in names}
_IMAGE, _LABEL = ("image", "img", "picture"), ("label", "labels", "fine_label", "class", "category")

Size = tuple[int, int]
ANY: Size = (0, 0)
"""Each picture as it is."""


class Album(NamedTuple):
    """Pictures found on disk. read: all of them, broken ones to the tally. files: (path, name) of what they depend on."""

    read: Any
    files: list[tuple[Path, str]]
    notes: list[str]


def size_of(given: Any) -> Size | None:
    """(height, width) of `image_size`: a side, both, ANY, or None. Raises ConfigError."""
    if given is None or given == "any":
        return ANY if given else None
    sides = (given, given) if type(given) is int else tuple(given) if isinstance(given, list | tuple) else ()
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= 16_384 for side in sides):
        raise ConfigError("image_size", expected='a side, or (height, width), in pixels, or "any"', received=repr(given)[:60])
    return sides


class Fitting:
    """Gives every picture the size asked for; where none is asked for, all must be of the first one's."""

    def __init__(self, size: Size | None, name: str) -> None:
        self._size, self._asked, self._name = size, size is not None, name

    def __call__(self, image: np.ndarray, where: str) -> np.ndarray:
        if self._size == ANY:
            return image
        have = (image.shape[0], image.shape[1])
        if self._size is None:
            self._size = have
        if have == self._size:
            return image
        if not self._asked:
            raise DataError(
                f"{self._name}: the pictures are of several sizes",
                expected=f"{self._size[0]}×{self._size[1]}, as the first one",
                received=f"{have[0]}×{have[1]}: {where}",
                change=f"pass image_size={max(self._size)}, and all are resized to a square of that side",
            )
        return resized(image, self._size)


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """A picture stretched to (height, width), as a Vision Transformer's processor does it (bilinear)."""
    Image, _ = _pillow()
    return np.asarray(Image.fromarray(image).resize(size[::-1], resample=Image.Resampling.BILINEAR))


def _pillow() -> tuple[Any, Any]:
    """Pillow's modules Image and ImageOps. DataError if there is none."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise DataError("pictures need Pillow", expected="Pillow", received="none", change="pip install 'polyhead[images]'") from None
    return Image, ImageOps


# -- decoding -----------------------------------------------------------------------------------------------------


def decode(given: Path | bytes | Any, colour: bool | None) -> np.ndarray:
    """A file, its bytes, or Pillow's picture → uint8 (H, W), or (H, W, 3) in colour; None: as it is. Raises Broken."""
    Image, ImageOps = _pillow()
    if isinstance(given, Image.Image):
        return _array(given, colour)
    source = io.BytesIO(given) if isinstance(given, bytes) else given
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            with Image.open(source, formats=_FORMATS) as picture:
                if picture.size[0] * picture.size[1] > _PIXELS:
                    raise Broken(f"{picture.size[0]}×{picture.size[1]} pixels, more than {_PIXELS >> 20} M")
                return _array(ImageOps.exif_transpose(picture), colour)
    except Broken:
        raise
    except Exception as error:  # a decoder of a dozen formats raises whatever it meets
        raise Broken(f"not a whole picture ({str(error).splitlines()[0][:100] if str(error) else type(error).__name__})") from None


def _array(picture: Any, colour: bool | None) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bits a channel
        grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, 2) if colour else grey
    if picture.mode == "F":
        raise Broken("its values are not whole numbers")
    if colour is None:
        colour = not _is_grey(picture.mode)
    if not colour and not _is_grey(picture.mode):
        raise Broken("in colour, where the first pictures are grey")
    return np.array(picture.convert("RGB" if colour else "L"))


def _is_grey(mode: str) -> bool:
    return mode in ("L", "LA", "La", "1") or mode.startswith("I")


# -- folders ------------------------------------------------------------------------------------------------------


def folder(path: Path, asked: Asked) -> Album | None:
    """The pictures below a folder whose folders are classes; None if it holds something else, unless kind is "images"."""
    names = _folders(path)
    if asked.wanted and names and set(names) <= _PART_NAMES | {asked.wanted}:
        return _part(path, names, asked)
    classes = {name: _below(path / name) for name in names}
    named = [(file, label) for label, (files, _) in classes.items() for file in files]
    others = sum(other for _, other in classes.values()) + _others_in(path)
    if asked.kind is None and (sum(bool(files) for files, _ in classes.values()) < 2 or others > len(named)):
        return None
    if not named:
        raise DataError(
            f"{path} holds no pictures in folders",
            expected="one folder for each class, with pictures in it",
            received=f"{len(classes)} folders, {len(_pictures_in(path))} pictures beside them",
            change="put the pictures of each class into a folder of its name",
        )
    if asked.part:
        raise no_parts(path, asked.part)
    colour = any(_is_coloured(file) for file, _ in named[:: max(1, len(named) // _LOOKED_AT)])
    left = others + len(_pictures_in(path))
    notes = [f"reading {len(named)} pictures of {path}, {sum(bool(files) for files, _ in classes.values())} classes by folder"]
    notes += [f"{left} other files skipped"] if left else []
    read = partial(_read_folder, path, named, colour, asked.image_size)
    return Album(read, [(file, file.relative_to(path).as_posix()) for file, _ in named], notes)


def no_parts(path: Path, part: str) -> DataError:
    """The error for a part of what has none."""
    return DataError(
        f"{path} has no parts", expected="a data set, or a folder with one for each part", received=f"part {part!r}", change="leave the part out"
    )


def _part(path: Path, names: list[str], asked: Asked) -> Album | None:
    """The pictures of a folder with one folder for each part, `train`, `val` and so on."""
    name = next((name for name in _PARTS.get(asked.wanted, (asked.wanted,)) if name in names), None)
    if name is not None:
        album = folder(path / name, asked._replace(part=""))
        return album and album._replace(notes=[f"reading the folder {name} of {path}", *album.notes])
    if not any(folder(path / one, asked._replace(part="", kind=None)) for one in names):
        return None
    raise DataError(f"{path} has no part {asked.wanted!r}", expected=", ".join(names), received=asked.wanted, change=f"name one: {path}[{names[0]}]")


def _read_folder(path: Path, named: list[tuple[Path, str]], colour: bool, size: Size | None, tally: Tally) -> Iterator[Picture]:
    fit = Fitting(size, str(path))
    for file, label in named:
        where = file.relative_to(path).as_posix()
        try:
            image = decode(_checked(file), colour)
        except Broken as why:
            tally.wrong(where, str(why))
            continue
        image = fit(image, where)
        tally.good += 1
        yield Picture(where, image, label)


def _checked(file: Path) -> Path:
    """A regular file of a reasonable size. Raises Broken."""
    try:
        info = file.stat()
    except FileNotFoundError:
        raise Broken(f"there is no picture {file}") from None
    except OSError as error:
        raise Broken(f"the picture {file} cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(info.st_mode):
        raise Broken("a device or pipe")
    if info.st_size > _BYTES:
        raise Broken(f"a file of {info.st_size} bytes")
    return file


def _is_coloured(file: Path) -> bool:
    Image, _ = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(_checked(file), formats=_FORMATS) as picture:
                return not _is_grey(picture.mode)
    except Exception:  # it will be counted as broken when it is read
        return False


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith((".", "__")))


def _pictures_in(path: Path) -> list[str]:
    return [entry.name for entry in os.scandir(path) if Path(entry.name).suffix.lower() in SUFFIXES]


def _others_in(path: Path) -> int:
    names = [entry.name for entry in os.scandir(path) if entry.is_file() and not entry.name.startswith(".")]
    return sum(Path(name).suffix.lower() not in SUFFIXES for name in names)


def _below(path: Path) -> tuple[list[Path], int]:
    """(pictures at all levels below, sorted; number of other files)."""
    pictures: list[Path] = []
    others = 0
    for root, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                pictures.append(Path(root, name))
            else:
                others += not name.startswith(".")
    return pictures, others


# -- columns ------------------------------------------------------------------------------------------------------


def shape(sample: list[Row], asked: Asked, name: str) -> Reading | None:
    """How rows with a picture and its class are read; None for others."""
    if asked.kind not in (None, "images") or (asked.columns and len(asked.columns) != 2):
        return None
    columns = found(sample[0], asked.columns) if asked.columns else _columns(sample[0])
    if columns is None or not any(_is_picture(value_of(row, columns[0])) for row in sample):
        return None
    images = [value_of(row, columns[0]) for row in sample[:_LOOKED_AT]]
    colour = any(_row_coloured(image) for image in images)
    read = partial(_of_row, columns, colour, Fitting(asked.image_size, name))
    return Reading("images", columns, read, [f"reading the pictures {columns[0]} of {name} and their class {columns[1]}"])


def _columns(row: Row) -> tuple[str, str] | None:
    image = next((name for name in row if str(name).lower() in _IMAGE), None)
    label = next((name for wanted in _LABEL for name in row if str(name).lower() == wanted), None)
    return None if image is None or label is None else (image, label)


def _is_picture(value: Any) -> bool:
    return (isinstance(value, dict) and isinstance(value.get("bytes"), bytes)) or hasattr(value, "getbands")


def _row_coloured(value: Any) -> bool:
    try:
        return decode(value["bytes"] if isinstance(value, dict) else value, None).ndim == 3
    except (Broken, KeyError, TypeError):
        return False


def _of_row(columns: tuple[str, ...], colour: bool, fit: Fitting, row: Row) -> Picture:
    value, label = value_of(row, columns[0]), value_of(row, columns[1])
    if not _is_picture(value):
        raise Broken(f"{columns[0]!r} holds no picture")
    if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
        raise Broken(f"{columns[1]!r} is {type(label).__name__}, not a class")
    given = value["bytes"] if isinstance(value, dict) else value
    if isinstance(given, bytes) and len(given) > _BYTES:
        raise Broken(f"a picture of {len(given)} bytes")
    return Picture("", fit(decode(given, colour), "a row"), str(label))
