"""The status line: one line that is redrawn on a terminal; control characters a model wrote do not reach it."""

from __future__ import annotations

import io
from pathlib import Path

from polyhead.commands.output import quantity, visible
from polyhead.commands.progress import Progress
from polyhead.train import build_config, parse_overrides, train_run
from tests.tiny import SMALL, TRAINING


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_redrawn(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    terminal = Terminal()
    with Progress(terminal) as progress:
        train_run(build_config("gpt-nano", "book.txt", parse_overrides([*TRAINING, *SMALL])), folder / "a", tell=progress)
    text = terminal.getvalue()
    assert "\x1b[2K" in text  # the line is erased before it is drawn again
    kept = [line for line in text.split("\n") if "validation loss" in line]
    assert len(kept) == 2 and "step 4/4" in text and text.rstrip().endswith("\x1b[2K")  # taken away at the end


def test_a_sample_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.facts = {"training": build_config("gpt-nano", "x.txt").training}
    progress("sample", {"step": 3, "prompt": "def ", "text": "\x1b[2Jgone\x07\r\n\tnext"})
    assert "\x1b" not in stream.getvalue() and "\x07" not in stream.getvalue() and "\tnext" in stream.getvalue()
    assert visible("a\u202eb\nc") == "a�b\nc"


def test_events_nobody_listens_to_are_no_error() -> None:
    Progress(io.StringIO())("something_new", {"a": 1})


def test_quantities_are_short() -> None:
    assert [quantity(n) for n in (0, 7, 999, 13_245, 1_500_000)] == ["0", "7", "999", "13.2k", "1.5M"]
