"""Atomic text and JSON."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import pytest

from polyhead.checkpoint import need_space, write_json, write_text
from polyhead.checkpoint.files import parse_json, shown
from polyhead.errors import CheckpointError, DiskError


def test_text_is_written_as_it_is_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "one\r\ntwo\nü")
    assert path.read_bytes() == "one\r\ntwo\nü".encode()
    write_text(str(path), "")
    assert path.read_bytes() == b""
    assert [entry.name for entry in path.parent.iterdir()] == ["c.txt"]


def test_json_round_trips_and_refuses_what_it_would_change(tmp_path: Path) -> None:
    value = {"a": [0.1, -0.0, 5e-324, 2**70, None, True], "b": {"ü\u2028\ud800": "\x00"}}
    write_json(tmp_path / "a.json", value)
    again = json.loads((tmp_path / "a.json").read_text(encoding="ascii"))
    assert again == value
    assert math.copysign(1, again["a"][1]) == -1
    for wrong in (math.nan, (1,), {1: 2}, {"a": {3}}, Path("x")):
        with pytest.raises(CheckpointError, match="cannot be stored as JSON"):
            write_json(tmp_path / "a.json", wrong)
    assert json.loads((tmp_path / "a.json").read_text()) == value


def test_new_files_follow_the_users_mask(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_killed_writers_left_goes_and_what_others_write_now_stays(tmp_path: Path) -> None:
    for name, age in ((".tmp-a.1-x", 7200), (".tmp-a.2-y", 1), (".tmp-b.3-z", 7200)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    write_text(tmp_path / "a", "x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".tmp-a.2-y", ".tmp-b.3-z", "a"]


def test_space_is_measured_on_the_disk_a_folder_will_be_on(tmp_path: Path) -> None:
    need_space(tmp_path / "not" / "there", 1)
    with pytest.raises(DiskError) as caught:
        need_space(tmp_path / "not" / "there", 10**18)
    assert "1,000,000,000,000,000,000 bytes free" in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a":1,"a":1}', b"NaN", b"[-Infinity]", b"1e999", b"\xff", b"\xef\xbb\xbf1", b"[" * 200_000, b"1" * 9999]
)  # fmt: skip
def test_strict_json(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^the file is not valid JSON"):
        parse_json(data, "the file")


def test_names_from_files_are_printed_harmlessly() -> None:
    text = shown("\x1b[31m\u202e\n" + "x" * 1000)
    assert text.isprintable()
    assert len(text) <= 81
