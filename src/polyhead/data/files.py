"""From a path to the files behind it and what each of them is: by name, and where names say nothing by content."""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    **dict.fromkeys((".conll", ".bio", ".bio2", ".iob", ".iob2"), "conll"),
    ".conllu": "conllu",
}
_LANGUAGE = re.compile(r"\.[a-z]{2,3}([_-][a-z]{2,4})?\Z")
_PROSE = frozenset(".txt .text .md .markdown .rst .tex .org .adoc .html .htm .xml .log .srt".split())
_CODE = frozenset(
    ".py .pyi .c .h .cc .cpp .hpp .rs .go .java .js .mjs .ts .css .sh .bat .rb .pl .lua .r .jl .sql .toml .yaml .yml "
    ".ini .cfg .conf".split()
)
_ABOUT = ("readme", "license", "licence", "provenance", "copying", "notice")
_HEAD = 8192
_BOMS = (b"\xff\xfe", b"\xfe\xff")
READ_ERRORS = (OSError, EOFError, zlib.error)


class Entry(NamedTuple):
    """A file to read. name: as shown to the user and kept in fingerprints. format: "text" or a value of FORMATS."""

    path: Path
    name: str
    format: str


class Skipped(NamedTuple):
    """What a folder held besides: reason -> number of files."""

    counts: Counter[str]

    def notes(self) -> list[str]:
        return [f"{n} {reason} skipped" for reason, n in sorted(self.counts.items())]


def suffix(path: Path) -> str:
    """The suffix in lower case, the one before `.gz` if there is one."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def looks_like_file(path: Path) -> bool:
    """Whether a name is that of a data file, so that it cannot be a Hub name even if there is no such file."""
    end = suffix(path)
    return path.suffix.lower() in (".gz", ".npz") or end in FORMATS or end in _PROSE | _CODE


def is_language(one: str, two: str) -> bool:
    """Whether two suffixes can name two languages (.de, .pt_br); .md and .py are none, .pl beside .en is one."""
    return all(_LANGUAGE.match(end) for end in (one, two)) and not (_PROSE | _CODE) >= {one, two}


def head(path: Path) -> bytes:
    """The first bytes of a file, unpacked if its content is gzip."""
    try:
        with open(path, "rb") as handle:
            start = handle.read(_HEAD)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(path, "rb") as handle:
                start = handle.read(_HEAD)
        return start
    except READ_ERRORS as e:
        raise unreadable(path, e) from e


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error for a file that the system or its packing will not let us read."""
    missing = isinstance(error, FileNotFoundError)
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(
        f"cannot read {path}",
        expected="a readable file",
        received=why,
        change="check the path" if missing else "check that the file is whole and may be read",
    )


def is_binary(start: bytes) -> bool:
    """Whether these first bytes are no text: NUL bytes, unless they are UTF-16's."""
    return b"\0" in start and start[:2] not in _BOMS


def single(path: Path, format: str | None) -> Entry:
    """The entry for a file that the user named."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path} is not a file", expected="a regular file or a folder", received="a device or pipe")
    start = head(path)
    if not start:
        raise DataError(f"{path} is empty", expected="text", received="0 bytes", change="name a file with text")
    found = "parquet" if start[:4] == b"PAR1" else FORMATS.get(suffix(path), "text")
    return Entry(path, path.name, format or found)


def walk(folder: Path, format: str | None) -> tuple[list[Entry], Skipped]:
    """All files below a folder, sorted, of the kind (text, or one format of rows) that holds most of its bytes."""
    found: list[tuple[Entry, int]] = []
    skipped: Counter[str] = Counter()
    for path in _files(folder, skipped):
        try:
            info = path.stat()
            if not stat.S_ISREG(info.st_mode):
                skipped["devices and pipes"] += 1
            elif info.st_size == 0:
                skipped["empty files"] += 1
            elif (kind := _kind(path)) is None:
                skipped["binary files"] += 1
            else:
                found.append((Entry(path, path.relative_to(folder).as_posix(), kind), info.st_size))
        except (DataError, OSError):
            skipped["unreadable files"] += 1
    if format is not None:
        return [e._replace(format=format) for e, _ in found], Skipped(skipped)
    weight: Counter[str] = Counter()
    for entry, size in found:
        weight[entry.format] += 1 if _is_about(entry) else size
    chosen = max(weight, key=lambda kind: (weight[kind], kind), default="text")
    for entry, _ in found:
        if entry.format != chosen or (chosen != "text" and _is_about(entry)):
            skipped[f"{entry.format} files (most of the folder is {chosen})"] += 1
    return [entry for entry, _ in found if entry.format == chosen], Skipped(skipped)


def _is_about(entry: Entry) -> bool:
    return entry.path.name.lower().startswith(_ABOUT)


def _files(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        skipped["hidden folders"] += sum(name.startswith(".") for name in folders)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            if name.startswith("."):
                skipped["hidden files"] += 1
            else:
                yield Path(root, name)
    for reason in [reason for reason, n in skipped.items() if not n]:
        del skipped[reason]


def _kind(path: Path) -> str | None:
    """The format of a file found in a folder, None for one that is not text."""
    known = FORMATS.get(suffix(path))
    if known == "parquet" or (known and path.suffix.lower() != ".gz"):
        return known
    if known is None and suffix(path) in _PROSE | _CODE and path.suffix.lower() != ".gz":
        return "text"
    start = head(path)
    if start[:4] == b"PAR1":
        return "parquet"
    return None if is_binary(start) or not _decodes(start) else known or "text"


def _decodes(start: bytes) -> bool:
    if start[:2] in _BOMS:
        return True
    try:
        start.decode()
        return True
    except UnicodeDecodeError as e:
        return e.start > len(start) - 4 and len(start) == _HEAD
