"""demo: a small GPT on a corpus that every machine has, the source and documentation of its own Python's library."""

from __future__ import annotations

import hashlib
import json
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyhead.errors import ConfigError, DataError

from .output import emit, say
from .training import train_and_tell

CORPUS = Path("corpus") / "python.jsonl"
_SIZE = 3_000_000  # bytes of the corpus
_LARGEST = 60_000  # bytes of a file; larger ones are tables
_SKIP = {
    "__pycache__", "_pyrepl", "dist-packages", "encodings", "ensurepip", "idlelib", "idle_test", "lib2to3", "msilib",
    "pydoc_data", "site-packages", "test", "tests", "turtledemo", "venv",
}  # fmt: skip

# What the demo trains, chosen so that all of it, imports and report included, stays at about two minutes on two slow cores.
SETTINGS: dict[str, Any] = {
    "data.holdout": 0.01,
    "training.steps": 400,
    "training.batch": 8,
    "training.context": 256,
    "training.eval_every": 80,
    "training.sample_prompt": "def ",
    "training.sample_tokens": 120,
    "seed": 1,
}


def run_demo(folder: Path, steps: int | None, again: bool, as_json: bool) -> int:
    """The verb demo; returns the exit code."""
    from polyhead.train import build_config

    corpus = folder / CORPUS
    if again:
        _remove(folder)
    if folder.exists() and any(folder.iterdir()) and not corpus.exists():
        raise ConfigError(
            f"{folder} is not empty, and no demo", expected="a new folder, or one that a demo made",
            received="other files", change="choose another -o",
        )  # fmt: skip
    if (folder / "config.yaml").exists():
        return _go_on(folder, as_json)
    size, count = write_corpus(corpus)
    if not as_json:
        say(f"corpus {count} modules of this Python's own library, {size:,} bytes, in {corpus}")
    asked = SETTINGS if steps is None else SETTINGS | {"training.steps": steps, "training.eval_every": max(1, -(-steps // 5))}
    return train_and_tell(build_config("gpt-nano", str(corpus), asked), folder, False, as_json)


def _go_on(folder: Path, as_json: bool) -> int:
    from polyhead.checkpoint import latest

    saved = latest(folder / "checkpoints")
    if saved is None or not saved.state.get("finished"):
        return train_and_tell(None, folder, True, as_json)
    facts = {"folder": str(folder), "report": str(folder / "report.html"), "step": saved.step, "finished": True}
    if as_json:
        emit(facts)
    else:
        say(f"the demo in {folder} is finished after {saved.step:,} steps; its report is {facts['report']}")
        say("polyhead demo --again removes it and starts anew")
    return 0


def _remove(folder: Path) -> None:
    """Remove a demo's run, and nothing else."""
    if not folder.exists():
        return
    if not (folder / CORPUS).exists():
        raise ConfigError(
            f"{folder} was not made by a demo, so it is not removed", expected=f"a folder with {CORPUS.as_posix()}",
            received="another folder", change="choose another -o",
        )  # fmt: skip
    shutil.rmtree(folder)


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
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if not _SKIP.intersection(parts) and not any(part.startswith(("_sysconfigdata", "config-")) for part in parts):
            yield path


def source_of(path: Path) -> str | None:
    """The module's source and documentation as text; None for tables, the almost empty and the unreadable."""
    try:
        if not 500 <= path.stat().st_size <= _LARGEST:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
