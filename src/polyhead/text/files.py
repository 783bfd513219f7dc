"""The files of a tokenizer, which anybody may have written: found inside their folder, read within limits.

Links are followed inside the folder only, or, in the Hub's cache, to the blobs of the same model
(`snapshots/<revision>/vocab.txt` is a link to `blobs/<hash>`).
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from polyhead.errors import DiskError, TokenizerError

MAX_FILE = 1 << 26  # bytes; the largest published tokenizer.json (Gemma 3) takes 33 MB
MAX_CONFIG = 1 << 24


def inside(folder: Path, name: str) -> Path | None:
    """The path of the regular file `name` of a folder, or None if there is none. Links that leave it are refused."""
    path = folder / name
    if not os.path.lexists(path):
        return None
    try:
        home, real = folder.resolve(strict=True), path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise _unreadable(path, error) from None
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    if not real.is_relative_to(home) and real.parent != blobs:
        raise TokenizerError(f"{path} is a link out of its folder", expected="a file of the folder",
                             received=f"a link to {real}", change="copy the file here if you trust it")  # fmt: skip
    return path


def read_bytes(path: Path, limit: int = MAX_FILE) -> bytes:
    """The content of a regular file of at most `limit` bytes. A pipe is refused, not waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError("it is not a regular file")
            data = file.read(limit + 1) if status.st_size <= limit else b""
    except FileNotFoundError:
        raise TokenizerError(f"there is no tokenizer at {path}", change="check the path",
                             expected="a tokenizer.json, or a folder with one or with a model's vocabulary files") from None  # fmt: skip
    except OSError as error:
        raise _unreadable(path, error) from None
    if status.st_size > limit or len(data) > limit:
        raise TokenizerError(f"{path} is too large for its kind", expected=f"at most {limit:,} bytes",
                             received=f"{max(status.st_size, len(data)):,}")  # fmt: skip
    return data


def read_text(path: Path, limit: int = MAX_FILE) -> str:
    """UTF-8 with any kind of line end; a byte-order mark is dropped."""
    try:
        text = read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is not UTF-8 text", expected="UTF-8",
                             received=f"byte {error.start}: {error.reason}") from None  # fmt: skip
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, limit: int = MAX_FILE) -> dict[str, Any]:
    """A JSON object in which no key comes twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise TokenizerError(f"{path}: the key {twice[:60]!r} comes twice", expected="each key once")
        return table

    try:
        data = json.loads(read_bytes(path, limit).decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} is not JSON", received=str(error)[:200]) from None
    if not isinstance(data, dict):
        raise TokenizerError(
            f"{path} is not a tokenizer's file", expected="a JSON object", received=type(data).__name__
        )
    return data


def optional_json(folder: Path, name: str, limit: int = MAX_CONFIG) -> dict[str, Any]:
    """The JSON object in a file of the folder; empty if there is no such file."""
    path = inside(folder, name)
    return {} if path is None else read_json(path, limit)


def write(file: Path, content: str | bytes) -> None:
    """All of it or nothing: a file beside it takes its place."""
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DiskError(f"{file} could not be written", received=error.strerror or str(error),
                        change="free some space, or choose a folder that can be written") from None  # fmt: skip


def _unreadable(path: Path, error: Exception) -> TokenizerError:
    return TokenizerError(f"{path} cannot be read", received=getattr(error, "strerror", None) or str(error)[:200])
