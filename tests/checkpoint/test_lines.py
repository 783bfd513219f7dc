"""`metrics.jsonl`: whole lines only, whatever happened to the file before."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.checkpoint import JsonLines
from polyhead.errors import CheckpointError, DiskError


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def test_each_row_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with JsonLines(path) as lines:
        for step in range(3):
            lines.append({"step": step, "loss": 0.1 * step, "text": "a\n\u2028ü\ud800"})
            assert len(rows(path)) == step + 1
            assert path.read_bytes().endswith(b"\n")
    assert rows(path)[2] == {"step": 2, "loss": 0.1 * 2, "text": "a\n\u2028ü\ud800"}
    assert len(path.read_text(encoding="ascii").splitlines()) == 3, "a line separator inside a text split its line"


def test_what_json_does_not_have(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "a")
    lines.append({"step": 1, "loss": math.nan, "more": {"a": [math.inf, 1.0]}})
    assert rows(tmp_path / "a") == [{"step": 1, "loss": None, "more": {"a": [None, 1.0]}}]
    with pytest.raises(CheckpointError, match="cannot be written as JSON"):
        lines.append({"step": 2, "loss": object()})
    assert len(rows(tmp_path / "a")) == 1


def test_appending_after_a_torn_line_keeps_the_new_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "lo')
    JsonLines(path).append({"step": 3})
    assert path.read_bytes().endswith(b'\n{"step": 3}\n')


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 14), st.integers(0, 400), st.binary(max_size=6))
def test_after_cutting_no_line_is_torn_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, count: int, step: int, kept_bytes: int, rubbish: bytes
) -> None:
    """Kill a writer anywhere, resume from `step`, write the rest again: the file of an undisturbed run, if it is whole up to there."""
    path = tmp_path_factory.mktemp("cut") / "metrics.jsonl"
    wanted = [{"step": n, "loss": n / 3} for n in range(1, count + 1)]
    with JsonLines(path) as lines:
        for row in wanted:
            lines.append(row)
        undisturbed = path.read_bytes()
        path.write_bytes(undisturbed[:kept_bytes] + rubbish)
        whole = undisturbed[:kept_bytes].count(b"\n")
        lines.cut_after(step)
        assert [row["step"] for row in rows(path)] == list(range(1, min(whole, step) + 1))
        for row in wanted[min(whole, step) :]:
            lines.append(row)
    assert path.read_bytes() == undisturbed


@pytest.mark.parametrize(
    "line",
    [b'{"step": 3, "loss"\n', b"\n", b"[1]\n", b'{"loss": 1}\n', b'{"step": "1"}\n', b'{"step": true}\n', b'{"step": 1.0}\n',
     b'{"step": 1, "loss": NaN}\n', b"\xff\xfe\n", b'\0\0\0\0\0\n', b'{"step": 1}{"step": 1}\n', b'{"step": 1, "step": 1}\n',
     b'{"step": 9}\n', b'{"step": 1}'],
    ids=repr,
)  # fmt: skip
def test_lines_that_are_foreign_torn_or_later_are_cut(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a"
    good = b'{"step": 1, "loss": 0.30000000000000004}\n{"step":2}\n'
    path.write_bytes(good + line)
    JsonLines(path).cut_after(5)
    assert path.read_bytes() == good, "the good lines must stay byte for byte"


def test_cutting_a_file_that_is_not_there_makes_none(tmp_path: Path) -> None:
    JsonLines(tmp_path / "a").cut_after(5)
    assert not list(tmp_path.iterdir())


def test_cutting_to_before_the_first_step_empties_the_file(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "a")
    lines.append({"step": 1})
    lines.cut_after(0)
    assert (tmp_path / "a").read_bytes() == b""
    lines.append({"step": 1})
    assert rows(tmp_path / "a") == [{"step": 1}]


def test_t8_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = JsonLines(tmp_path / "a")
    lines.append({"step": 1})
    before = (tmp_path / "a").read_bytes()
    genuine, room = os.write, [4]

    def write(descriptor: int, data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = genuine(descriptor, bytes(data)[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(DiskError, match="The disk is full"):
            lines.append({"step": 2})
    assert (tmp_path / "a").read_bytes() == before
    lines.append({"step": 2})
    assert rows(tmp_path / "a") == [{"step": 1}, {"step": 2}]
