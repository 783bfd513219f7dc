"""A stranger's folder: files are found by plain names, never outside it, and read within limits.

Links are followed only as far as the folder itself, or, in the Hub's cache, as far as the blobs of the same model:
`models--owner--name/snapshots/<revision>/config.json` is a link to `models--owner--name/blobs/<hash>`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from polyhead.checkpoint.files import parse_json, printable, shown
from polyhead.errors import CheckpointError

MAX_JSON = 4_000_000  # bytes: the largest published configs name 21,000 labels twice, in 1.5 MB
MAX_DEPTH = 64  # lists and objects inside each other


class Folder:
    """A folder and the safe ways to read it. `path` is absolute and without links.

    Raises CheckpointError, naming file and reason, for whatever is not a sound file of this folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _real(Path(path))
        self._blobs = _blobs(self.path)

    def find(self, name: str) -> Path | None:
        """The real path of the regular file `name` ("config.json", "1_Pooling/config.json"); None when there is none.

        Each part must be a plain name.
        """
        path = self.path
        for part in name.split("/"):
            fault = name_fault(part)
            if fault:
                raise bad(self.path, f"the name {shown(name)}", "plain names", fault)
            path = path / part
        try:
            real = path.resolve(strict=True)
            status = os.lstat(real)
        except FileNotFoundError:
            if os.path.islink(path):
                raise bad(path, "a link", "a file", "a link to nothing", "download or copy the folder again") from None
            return None
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise unreadable(path, error) from error
        if not self._is_mine(real):
            received = f"a link to {shown(str(real))}"
            raise bad(path, "a link", "a file of this folder", received, "copy the file here if you trust it")
        if not stat.S_ISREG(status.st_mode):
            raise bad(path, "its kind", "a regular file", kind_of(status.st_mode), "remove it, or copy the folder again")
        return real

    def names(self) -> list[str]:
        """What lies in the folder, by name, sorted."""
        try:
            return sorted(entry.name for entry in os.scandir(self.path))
        except OSError as error:
            raise unreadable(self.path, error) from error

    def json(self, name: str, limit: int = MAX_JSON) -> dict[str, Any] | list[Any] | None:
        """The JSON object or list in a file of at most `limit` bytes; None when there is no such file.

        Refused: duplicate keys, NaN and numbers too large, nesting deeper than MAX_DEPTH, other top-level values.
        """
        data = self.bytes(name, limit)
        if data is None:
            return None
        path = self.path / name
        if sum(data.count(mark) for mark in (b"{", b"[", b",", b'"')) > limit // 10:  # what parsing may allocate
            raise bad(path, "its size", f"at most {limit // 10:,} brackets, commas and quotes", "more than that")
        value = parse_json(data, str(path))
        if not isinstance(value, dict | list):
            raise bad(path, "its content", "a JSON object or list", type(value).__name__)
        _check_depth(path, value)
        return value

    def object(self, name: str, limit: int = MAX_JSON) -> dict[str, Any] | None:
        """As `json`, for a file that must hold an object."""
        value = self.json(name, limit)
        if isinstance(value, list):
            raise bad(self.path / name, "its content", "a JSON object", "a list")
        return value

    def text(self, name: str, limit: int = MAX_JSON) -> str | None:
        """A UTF-8 text of at most `limit` bytes; None when there is no such file."""
        data = self.bytes(name, limit)
        try:
            return None if data is None else data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad(self.path / name, "its content", "UTF-8 text", str(error)) from None

    def bytes(self, name: str, limit: int) -> bytes | None:
        """The bytes of a file that has at most `limit` of them; None when there is no such file."""
        real = self.find(name)
        if real is None:
            return None
        path = self.path / name
        try:
            with open_regular(real) as file:
                data: bytes = file.read(limit + 1)
        except OSError as error:
            raise unreadable(path, error) from error
        if len(data) > limit:
            raise bad(path, "its size", f"at most {limit:,} bytes", "more than that")
        return data

    def _is_mine(self, real: Path) -> bool:
        return real.is_relative_to(self.path) or (self._blobs is not None and real.parent == self._blobs)


def name_fault(name: object) -> str | None:
    """Why `name` is not the plain name of a file, or None."""
    if not isinstance(name, str):
        return type(name).__name__
    if not 0 < len(name) <= 255:
        return f"{len(name)} characters (1 to 255 are allowed)"
    if not name.isprintable():
        return "control or other unprintable characters"
    if name in (".", "..") or any(mark in name for mark in '/\\:*?"<>|'):
        return f"{shown(name)}, which is a path or no name on every system"
    return None


def open_regular(path: Path) -> Any:
    """`path` opened for reading, or an OSError: never through a link at its end, and never a pipe, which would wait."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("it is not a regular file")
    return file


def kind_of(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def bad(path: Path, field: str, expected: str, received: str, change: str | None = None) -> CheckpointError:
    change = change or "download or copy the folder again; one that cannot be trusted is never loaded"
    message = f"{_printable(path)}: {field} cannot be accepted."
    return CheckpointError(message, expected=expected, received=received, change=change)


def unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{_printable(path)} cannot be read.",
        expected="a readable file or folder",
        received=printable(getattr(error, "strerror", None) or str(error)),
        change="check the path and its permissions; download or copy the folder again",
    )


def _printable(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() else shown(text, 300)


def _real(path: Path) -> Path:
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"{_printable(path)} does not exist.",
            expected="the folder of a model, or owner/name on the Hub",
            received="nothing of that name here",
            change="check the path",
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise unreadable(path, error) from error
    if not real.is_dir():
        raise bad(path, "its kind", "the folder of a model", "a file", "name the folder that holds config.json")
    return real


def _blobs(folder: Path) -> Path | None:
    """The blobs a snapshot of the Hub's cache may link to, when `folder` is one or lies inside one."""
    for snapshot in (folder, *folder.parents):
        if snapshot.parent.name == "snapshots" and snapshot.parent.parent.name.startswith("models--"):
            return snapshot.parent.parent / "blobs"
    return None


def in_hub_cache(folder: Path) -> bool:
    """Whether `folder`, which need not exist, lies in the Hub's cache."""
    return _blobs(Path(os.path.realpath(folder))) is not None


def _check_depth(path: Path, value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise bad(path, "its content", f"lists and objects at most {MAX_DEPTH} deep", "deeper ones")
