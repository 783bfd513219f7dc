"""A corpus that every machine has: the source and documentation of its own Python's library."""

from __future__ import annotations

import hashlib
import json
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from polyhead.errors import DataError

_SIZE = 3_000_000  # bytes of the corpus
_LARGEST = 60_000  # bytes of a file; larger ones are tables
_SKIP = {
    "__pycache__", "_pyrepl", "dist-packages", "encodings", "ensurepip", "idlelib", "idle_test", "lib2to3", "msilib",
    "pydoc_data", "site-packages", "test", "tests", "turtledemo", "venv",
}  # fmt: skip


def write_corpus(path: Path, library: Path | None = None) -> tuple[int, int]:
    """Write the corpus as rows {"name", "text"}; returns (bytes of text, modules). The same Python gives the same bytes."""
    library = library or Path(sysconfig.get_path("stdlib"))
    chosen = list(select(library))
    if len(chosen) < 20:
        raise DataError(
            "this Python's library has too little source to train on", expected=f"modules with their source in {library}",
            received=f"{len(chosen)} modules", change="polyhead train gpt-nano YOUR.txt -o runs/a",
        )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"name": name, "text": text}, ensure_ascii=False) for name, text in chosen]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")
    return sum(len(text.encode()) for _, text in chosen), len(chosen)


def select(library: Path, size: int = _SIZE) -> Iterator[tuple[str, str]]:
    """(name, text) of modules, sorted by name, chosen by a hash of the name until `size` bytes are reached."""
    names = [path.relative_to(library).as_posix() for path in modules(library)]
    chosen: dict[str, str] = {}
    for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
        text = source_of(library / name)
        if text is None:
            continue
        size -= len(text.encode())
        if size < 0:
            break
        chosen[name] = text
    yield from sorted(chosen.items())


def modules(library: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(library):
        inside[:] = [name for name in inside if name not in _SKIP and not name.startswith("config-")]
        yield from (Path(folder, name) for name in files if name.endswith(".py") and not name.startswith("_sysconfigdata"))


def source_of(path: Path) -> str | None:
    """The module's source and documentation as text; None for tables, the almost empty and the unreadable."""
    try:
        if not 500 <= path.stat().st_size <= _LARGEST:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
