"""One writer per run, and nobody to clean up after one that was killed."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from polyhead.checkpoint import lock
from polyhead.errors import CheckpointError, DiskError

lock_module = importlib.import_module("polyhead.checkpoint.lock")  # the package's `lock` is the function

HOLD = """
import sys, time
from pathlib import Path
from polyhead.checkpoint.lock import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_refused_and_told_who_holds_the_run(tmp_path: Path) -> None:
    with lock(tmp_path / "run"):
        with pytest.raises(CheckpointError) as caught, lock(tmp_path / "run"):
            pytest.fail("both hold the run")
        assert f"process {os.getpid()} on" in str(caught.value)
        assert "choose another folder" in str(caught.value)
        with pytest.raises(CheckpointError), lock(tmp_path / "run"):
            pytest.fail("the refused one took the lock away")
        with lock(tmp_path / "other"):
            pass
    assert not list((tmp_path / "run").iterdir())
    with lock(tmp_path / "run"):
        pass


def test_the_lock_ends_with_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock(tmp_path):
        raise ZeroDivisionError
    with lock(tmp_path):
        pass


def test_a_killed_process_holds_nothing_even_before_it_is_waited_for(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        with pytest.raises(CheckpointError, match=f"process {process.pid} on"), lock(tmp_path):
            pytest.fail("two processes hold the run")
        process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == "", "the pipe ends when the process does"
        assert (tmp_path / ".lock").exists()
        with lock(tmp_path):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_a_file_that_nobody_holds_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("rubbish " * 50)
    with lock(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f'{{"pid": {os.getpid()}')


def test_of_many_that_come_and_go_only_one_is_ever_inside(tmp_path: Path) -> None:
    inside, most, entered, done = [0], [0], [0], threading.Event()
    guard = threading.Lock()

    def work() -> None:
        while not done.is_set():
            try:
                with lock(tmp_path):
                    with guard:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                        entered[0] += 1
                    with guard:
                        inside[0] -= 1
            except CheckpointError:
                continue

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    done.wait(1.0)
    done.set()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert entered[0] > 50


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no open file")
def test_a_lock_on_a_file_that_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened while the first held it; then the first left, and a second made a new file and holds that."""
    first, second, genuine = lock(tmp_path), lock(tmp_path), lock_module._try_lock
    first.__enter__()

    def slow(descriptor: int) -> bool:
        monkeypatch.setattr(lock_module, "_try_lock", genuine)
        first.__exit__(None, None, None)
        second.__enter__()
        return genuine(descriptor)

    monkeypatch.setattr(lock_module, "_try_lock", slow)
    with pytest.raises(CheckpointError, match="is being written by"), lock(tmp_path):
        pytest.fail("two hold the run")
    second.__exit__(None, None, None)


@pytest.mark.skipif(os.name == "nt", reason="names the system's own call")
def test_a_file_system_without_locks_is_said_and_not_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock(tmp_path):
        assert "has no locks" in caplog.text


def test_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DiskError, match="file"), lock(tmp_path / "file" / "run"):
        pytest.fail("locked a file")
