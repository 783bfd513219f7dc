"""Stop the machine at every single call that changes the disk: a loadable checkpoint is always there (T2, T3, T8)."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from polyhead.checkpoint import JsonLines, files, latest, save, steps, write_json, write_tensors
from polyhead.errors import DiskError

from .runs import check, entries, groups, store_step

CALLS = ("open", "write", "fsync", "replace", "rename", "unlink", "rmdir", "mkdir")


class Killed(BaseException):
    """The process is gone: nothing catches this, and no call works any more."""


class Machine:
    """Counts the calls that change the disk and dies at the n-th: before it, after it, or half-way through a write."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, how: str) -> None:
        self.at, self.how, self.count, self.dead = at, how, 0, False
        self.calls: list[str] = []
        self.log: list[tuple[str, str]] = []
        self.unsynced: dict[int, Path] = {}
        for name in CALLS:
            patch.setattr(os, name, self._guard(name, getattr(os, name)))

    def _guard(self, name: str, genuine: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.dead:
                raise Killed
            self.count += 1
            self.calls.append(name)
            now = self.count == self.at
            if now and self.how == "half" and name == "write":
                genuine(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                self._note(name, arguments, None)
            if now and self.how != "after":
                self.dead = True
                raise Killed
            result = genuine(*arguments, **options)
            self._note(name, arguments, result)
            if now:
                self.dead = True
                raise Killed
            return result

        return call

    def _note(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Remember which files have bytes that no fsync has covered; links to open files survive renames."""
        if name == "open":
            self.log.append((name, str(arguments[0])))
            return
        target = arguments[0]
        if isinstance(target, int):
            try:
                place = Path(os.readlink(f"/proc/self/fd/{target}"))
            except OSError:
                return
            inode = os.fstat(target).st_ino
            self.log.append((name, str(place)))
            if name == "write":
                self.unsynced[inode] = place
            elif name == "fsync":
                self.unsynced.pop(inode, None)
        else:
            self.log.append((name, str(target)))

    def lose_unsynced(self, folder: Path) -> None:
        """What a power cut does: files whose bytes were not forced to the disk come back empty."""
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_ino in self.unsynced:
                os.truncate(path, 0)


@contextmanager
def machine(at: int, how: str) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        yield Machine(patch, at, how)


def crash_everywhere(
    tmp_path: Path, prepare: Callable[[Path], None], work: Callable[[Path], Any], verify: Callable[[Path], None]
) -> int:
    """Run `work` on a fresh copy of what `prepare` made, dying at every call in every way; `verify` what is left."""
    origin = tmp_path / "origin"
    origin.mkdir()
    prepare(origin)
    shutil.copytree(origin, tmp_path / "undisturbed")
    with machine(0, "never") as recorder:
        work(tmp_path / "undisturbed")
    points = 0
    for at, name in enumerate(recorder.calls, start=1):
        for how in ("before", "half", "after") if name == "write" else ("before", "after"):
            folder = tmp_path / f"{how}-{at}"
            shutil.copytree(origin, folder)
            with machine(at, how) as broken, suppress(Killed):
                work(folder)
            assert broken.dead, "the number of calls differs from run to run"
            if os.path.exists("/proc/self/fd"):
                broken.lose_unsynced(folder)
            verify(folder)
            shutil.rmtree(folder)
            points += 1
    return points


@pytest.mark.parametrize("keep", [1, 2])
def test_t2_killed_at_any_call_of_a_save_a_good_checkpoint_is_left(tmp_path: Path, keep: int) -> None:
    def prepare(folder: Path) -> None:
        store_step(folder, 1, keep=2)
        store_step(folder, 2, keep=keep)
        (folder / ".tmp-step-00000002.1-left").mkdir()

    def verify(folder: Path) -> None:
        check(folder, 2, 3)
        store_step(folder, 3, keep=keep)  # and the next save heals everything
        check(folder, 3)
        assert steps(folder) == ([3] if keep == 1 else [2, 3])
        assert len(entries(folder)) == keep

    points = crash_everywhere(tmp_path, prepare, lambda folder: store_step(folder, 3, keep=keep), verify)
    assert points > 80


def damage(path: Path) -> None:
    os.truncate(path / "model.safetensors", 5)


@pytest.mark.parametrize("start", ["only one", "damaged", "replaced is good", "replaced is damaged"])
def test_t2_killed_while_replacing_the_checkpoint_of_a_step(tmp_path: Path, start: str) -> None:
    def prepare(folder: Path) -> None:
        path = store_step(folder, 2, keep=1)
        if start == "damaged":
            store_step(folder, 1)
            damage(path)
        elif start != "only one":  # what a save killed between its two renames or before it cleaned up leaves
            shutil.copytree(path, folder / "step-00000002.replaced")
            damage(path if start == "replaced is good" else folder / "step-00000002.replaced")

    def verify(folder: Path) -> None:
        check(folder, *((1, 2) if start == "damaged" else (2,)))
        for _ in range(2):
            store_step(folder, 2, keep=1)
        check(folder, 2)
        assert entries(folder) == ["step-00000002"]

    assert crash_everywhere(tmp_path, prepare, lambda folder: store_step(folder, 2, keep=1), verify) > 80


def test_t2_killed_twice_in_a_row_while_replacing(tmp_path: Path) -> None:
    """Whatever a first kill leaves is a start from which a second kill at any rename does no harm either."""
    draw = random.Random(3)
    for trial in range(60):
        folder = tmp_path / str(trial)
        store_step(folder, 1, keep=1)
        for _ in range(3):
            with machine(draw.randrange(20, 60), draw.choice(["before", "after"])):
                try:
                    store_step(folder, 1, keep=1)
                except Killed:
                    pass
            check(folder, 1)


def test_t3_names_are_forced_to_the_disk_before_anything_older_goes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    store_step(folder, 1, keep=1)
    with machine(0, "never") as recorder:
        store_step(folder, 2, keep=1)
    log = recorder.log
    renamed = next(i for i, (name, path) in enumerate(log) if name == "rename" and ".tmp-step-00000002" in path)
    moved = next(i for i, (name, path) in enumerate(log) if name == "rename" and path.endswith("step-00000001"))
    removed = next(i for i, (name, _) in enumerate(log) if name in ("unlink", "rmdir"))
    if os.path.exists("/proc/self/fd"):
        synced = [path for name, path in log[:renamed] if name == "fsync"]
        assert sum(".tmp-step-00000002" in path for path in synced) == 6, "five files and their folder"
        assert ("fsync", str(folder)) in log[renamed:moved]
        assert ("fsync", str(folder)) in log[moved:removed]
    read_back = [path for name, path in log[renamed:moved] if name == "open"]
    assert renamed < moved < removed, read_back


@pytest.mark.parametrize("kind", ["tensors", "json", "lines"])
def test_single_files_are_old_or_new_whatever_is_killed(tmp_path: Path, kind: str) -> None:
    def prepare(folder: Path) -> None:
        write_tensors(folder / "a", {"x": torch.zeros(9)})
        write_json(folder / "b", {"old": 1})
        (folder / "c").write_text('{"step": 1}\n{"step": 2}\n{"st')

    def work(folder: Path) -> None:
        if kind == "tensors":
            write_tensors(folder / "a", {"x": torch.ones(9)})
        elif kind == "json":
            write_json(folder / "b", {"new": 1})
        else:
            JsonLines(folder / "c").cut_after(1)

    def verify(folder: Path) -> None:
        from polyhead.checkpoint import read_tensors

        assert float(read_tensors(folder / "a")["x"].sum()) in (0.0, 9.0)
        assert files.parse_json((folder / "b").read_bytes(), "b") in ({"old": 1}, {"new": 1})
        assert (folder / "c").read_text() in ('{"step": 1}\n{"step": 2}\n{"st', '{"step": 1}\n')

    assert crash_everywhere(tmp_path, prepare, work, verify) >= 12


# The disk


def fill_disk_after(patch: pytest.MonkeyPatch, room: int) -> None:
    genuine, left = os.write, [room]

    def write(descriptor: int, data: Any) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = genuine(descriptor, bytes(data)[: left[0]])
        left[0] -= written
        return written

    patch.setattr(os, "write", write)


@pytest.mark.parametrize("seed", range(20))
def test_t8_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, seed: int) -> None:
    path = store_step(tmp_path, 1)
    total = sum(file.stat().st_size for file in path.iterdir())
    room = random.Random(seed).randrange(total)
    with pytest.MonkeyPatch.context() as patch:
        fill_disk_after(patch, room)
        with pytest.raises(DiskError) as caught:
            store_step(tmp_path, 2, keep=1)
    text = str(caught.value)
    assert "The disk is full" in text
    assert str(tmp_path / "step-00000002") in text
    assert "bytes free" in (caught.value.expected or "")
    assert "bytes free" in (caught.value.received or "")
    assert caught.value.exit_code == 1
    assert entries(tmp_path) == ["step-00000001"], "something was left over"
    check(tmp_path, 1)


def test_t8_too_little_space_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_step(tmp_path, 1)
    monkeypatch.setattr(files, "free_bytes", lambda path: 1000)
    monkeypatch.setattr(files.Output, "write", lambda *_: pytest.fail("a write was tried"))
    with pytest.raises(DiskError) as caught:
        store_step(tmp_path, 2)
    assert "1,000 bytes free" in str(caught.value)
    assert entries(tmp_path) == ["step-00000001"]


def test_full_disk_for_single_files_keeps_the_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": True})
    with pytest.MonkeyPatch.context() as patch:
        fill_disk_after(patch, 5)
        with pytest.raises(DiskError, match=r"a\.json"):
            write_json(tmp_path / "a.json", {"new": True})
    assert entries(tmp_path) == ["a.json"]
    assert "old" in (tmp_path / "a.json").read_text()


def test_a_disk_that_lies_is_found_out_before_older_checkpoints_go(tmp_path: Path) -> None:
    store_step(tmp_path, 1, keep=1)
    genuine, count = os.write, [0]

    def write(descriptor: int, data: Any) -> int:
        count[0] += 1
        wrong = bytes([bytes(data)[0] ^ 1]) + bytes(data)[1:] if count[0] == 2 else data
        return genuine(descriptor, wrong)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(DiskError, match="does not read back"):
            store_step(tmp_path, 2, keep=1)
    assert entries(tmp_path) == ["step-00000001"]
    check(tmp_path, 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_save_cleans_up_behind_itself(tmp_path: Path, error: type[BaseException]) -> None:
    store_step(tmp_path, 1)

    def write(*_: object) -> int:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(error):
            save(tmp_path, 2, groups(2), {})
    assert entries(tmp_path) == ["step-00000001"]
    assert latest(tmp_path) is not None
