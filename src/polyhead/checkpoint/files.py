"""Files that are whole or not there: atomic writes, disk errors with numbers, strict JSON.

Everything is written to a temporary sibling, forced to the disk, and renamed; the folder is forced to the
disk after the rename. A reader therefore meets the old file or the new one, whatever is killed and whenever.
Every call that changes the disk goes through the `os` module here, so that the tests can stop the machine at
each of them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import reprlib
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from polyhead.errors import CheckpointError, DiskError

TEMPORARY = ".tmp-"  # what starts with this is unfinished or given up, and never read
CHUNK = 1 << 24  # bytes per write or read
_ABANDONED_AFTER = 3600.0  # seconds after which a temporary file of another process counts as left over
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def shown(name: object, limit: int = 80) -> str:
    """A name from a file as it may be printed: control characters escaped, cut to `limit` characters."""
    text = repr(name[: limit + 1]) if isinstance(name, str) else reprlib.repr(name)
    return text if len(text) <= limit else text[:limit] + "…"


def printable(text: str, limit: int = 300) -> str:
    """Words of another program as they may be printed: in one line, without control characters, cut to `limit`."""
    return "".join(mark if mark.isprintable() else "?" for mark in " ".join(text[: 4 * limit].split()))[:limit]


def free_bytes(path: Path) -> int:
    """Bytes a user may still write on the disk that holds `path`, which need not exist yet."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def need_space(path: Path, needed: int) -> None:
    """Raise DiskError when the disk that holds `path` has fewer than `needed` bytes free."""
    with disk_errors(path, needed):
        if free_bytes(path) < needed:
            raise OSError(errno.ENOSPC, "not enough space")


@contextmanager
def disk_errors(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn an OSError of the body into a DiskError that names `path`, the bytes needed and the bytes free."""
    try:
        yield
    except OSError as error:
        raise _disk_error(path, needed, error) from error


def _disk_error(path: Path, needed: int | None, error: OSError) -> DiskError:
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in _FULL:
        with suppress(OSError):
            reason = f"{free_bytes(path):,} bytes free ({reason})"
        return DiskError(
            f"The disk is full: {path} could not be written.",
            expected=f"{needed:,} bytes free" if needed is not None else "free space",
            received=reason,
            change="free some space or choose a folder on another disk; nothing that was there is lost",
        )
    return DiskError(
        f"{path} could not be written.",
        expected=f"a writable place{f' for {needed:,} bytes' if needed is not None else ''}",
        received=reason,
        change="check the folder's permissions, or choose another one",
    )


class Output:
    """A new file, hashed while it is written unless told not to. `finish` makes it durable, `abandon` removes it."""

    def __init__(self, path: Path, hashed: bool = True) -> None:
        self.path, self.size = path, 0
        self._hash = hashlib.sha256() if hashed else None
        self._descriptor: int | None = os.open(path, _NEW_FILE, 0o666)

    def write(self, data: bytes | memoryview) -> None:
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view[:CHUNK])
            if self._hash is not None:
                self._hash.update(view[:written])
            self.size += written
            view = view[written:]

    def finish(self) -> None:
        assert self._descriptor is not None
        os.fsync(self._descriptor)
        self._close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            os.unlink(self.path)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest() if self._hash is not None else ""

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the disk. Windows opens no folders and needs no such help."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # some network file systems sync names themselves
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each name forced to the disk."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for path in reversed(missing):
        with suppress(FileExistsError):  # another process may be faster
            os.mkdir(path)
        sync_folder(path.parent)


def temporary_sibling(path: Path) -> Path:
    """A name beside `path` that nobody else uses and every reader ignores."""
    return path.parent / f"{TEMPORARY}{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}"


@contextmanager
def atomic(path: str | Path, needed: int | None = None) -> Iterator[Output]:
    """An `Output` that becomes `path` when the body ends well, and vanishes when it does not.

    A file already there stays as it was until the last moment, and stays readable to those who have it open
    or mapped (on Windows the system refuses to replace a mapped file: DiskError). Raises DiskError.
    """
    path = Path(path)
    with disk_errors(path, needed):
        make_folder(path.parent)
        _remove_abandoned(path)
        out = Output(temporary_sibling(path))
        try:
            yield out
            out.finish()
            os.replace(out.path, path)
        except BaseException:
            out.abandon()
            raise
        sync_folder(path.parent)


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of `path` left by killed processes; age tells them from those in use."""
    start = f"{TEMPORARY}{path.name[:100]}."
    for entry in os.scandir(path.parent):
        if entry.name.startswith(start):
            with suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_AFTER:
                    os.unlink(entry.path)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, line ends as they are; atomic and durable. Raises DiskError."""
    data = text.encode("utf-8")
    with atomic(path, len(data)) as out:
        out.write(data)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON (ASCII, so any string survives); atomic and durable.

    Floats round-trip bit for bit. Raises CheckpointError, naming the place, for what JSON cannot give back
    unchanged: NaN, infinities, keys that are not strings, tuples, other types. Raises DiskError.
    """
    check_json(value, str(path))
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def check_json(value: Any, where: str) -> None:
    """Raise CheckpointError unless JSON gives `value` back unchanged; the error names the place inside it."""
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float):
        if value - value == 0.0:  # false for NaN and both infinities
            return
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_json(item, f"{where}[{index}]")
        return
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _not_json(f"the key {shown(key)} of {where}", key)
            check_json(item, f"{where}.{key}")
        return
    raise _not_json(where, value)


def _not_json(where: str, value: Any) -> CheckpointError:
    return CheckpointError(
        f"{where} cannot be stored as JSON.",
        expected="null, true, false, finite numbers, strings, lists, or objects with string keys",
        received=f"{type(value).__name__} {shown(value)}",
        change="use null for a missing number, a list for a tuple, a tensor group for a tensor",
    )


def parse_json(data: bytes, what: str) -> Any:
    """Strict JSON: UTF-8, no duplicate keys, NaN or overflow. CheckpointError begins with `what`."""
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        reason = "a whole number has more than 4300 digits" if "digits" in str(error) else str(error)
        if "number" in reason and (found := _BAD_NUMBER.search(data[:1_000_000])):
            reason = f"{shown(found[1].decode('utf-8', 'replace'))}: {reason}"
    raise CheckpointError(f"{what} is not valid JSON.", expected="one JSON text in UTF-8", received=reason[:200])


# A key whose value, or a number of whose list, is none of JSON's, or longer than Python reads.
_BAD_NUMBER = re.compile(
    rb'"([^"\\]{1,80})"\s*:\s*(?:\[[^]"{}]{0,1000}?)?-?(?:NaN|Infinity|\d{4300}|[\d.]{1,400}[eE]\+?\d*[1-9]\d\d\b)'
)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {shown(twice)} appears twice")
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0.0:
        raise ValueError(f"the number {text[:40]} is too large")
    return value
