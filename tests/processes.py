"""Processes of their own without the seconds that torch takes to import.

They are forked from a server (multiprocessing's) that has imported torch and nothing of polyhead, so what a test sees of
them is what it would see of `python -m polyhead`: signals, exit codes, what is written where. POSIX only.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

PRELOAD = ["pytest", "torch", "torch._dynamo", "torch.distributed.fsdp", "pydantic", "tokenizers", "typer", "rich"]


class Process:
    """function(*arguments) in a process of its own; what it writes lies in `out` and `err`."""

    def __init__(self, folder: Path, function: Callable[..., Any], *arguments: Any, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        context = multiprocessing.get_context("forkserver")
        _serve(context)
        whole = (self.out, self.err, environment, function, arguments)
        self.process = context.Process(target=_run, args=whole, daemon=True)
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def wait(self, seconds: float = 60) -> tuple[int, str]:
        """Exit code (−n of signal n) and standard error; a process that does not end is killed, AssertionError."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise AssertionError(f"still there after {seconds} s: {self.err.read_text()[-4000:]}")
        return code, self.err.read_text()


def polyhead(folder: Path, *words: object) -> Process:
    """`polyhead WORDS` on one thread."""
    from polyhead.cli import main

    return Process(folder, main, [str(word) for word in words])


def _serve(context: Any) -> None:
    """Start the server, whose OpenMP reads its number of threads once. It ends with this process."""
    before = dict(os.environ)
    try:
        os.environ["OMP_NUM_THREADS"] = "1"
        context.set_forkserver_preload(PRELOAD)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(out: Path, err: Path, environment: Mapping[str, str], function: Callable[..., Any], arguments: Any) -> None:
    os.environ.update(environment)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        sys.exit(function(*arguments))
    finally:
        atexit._run_exitfuncs()
