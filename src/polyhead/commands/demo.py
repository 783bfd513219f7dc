"""demo: a small GPT on a corpus that every machine has, the source and documentation of its own Python's library."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from polyhead.data.library import write_corpus
from polyhead.errors import ConfigError

from .output import emit, say
from .training import train_and_tell

CORPUS = Path("corpus") / "python.jsonl"

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
