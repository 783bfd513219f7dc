"""One writer per run: a lock that the operating system drops by itself when its holder dies.

The lock lies on the open file, not in its existence. So a process that was killed leaves nothing that has to
be judged stale: no process number that another process may carry by now, no second machine to ask, no race
between two that clean up. The number and the machine stand in the file only to be named in the error.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polyhead.checkpoint.files import disk_errors, make_folder
from polyhead.errors import CheckpointError

NAME = ".lock"
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_PLACE = 1 << 30  # the byte that Windows locks: beyond the text, which must stay readable
_log = logging.getLogger("polyhead.checkpoint")


@contextmanager
def lock(folder: str | Path) -> Iterator[None]:
    """Hold `folder` (created if missing) against every other process and thread that asks for it.

    Raises CheckpointError at once when another one holds it, naming that process. Where the file system has
    no locks (some network mounts), says so in a warning and goes on without.
    """
    folder = Path(folder)
    path = folder / NAME
    with disk_errors(path):
        make_folder(folder)
        descriptor = _take(path, folder)
    try:
        yield
    finally:
        _release(path, descriptor)


def _take(path: Path, folder: Path) -> int:
    while True:
        descriptor = os.open(path, _FLAGS, 0o666)
        try:
            held = not _try_lock(descriptor)
            if not held and not _is_current(path, descriptor):  # its last holder removed it after we opened it
                os.close(descriptor)
                continue
            if held:
                raise _in_use(folder, descriptor)
            _sign(descriptor)
            return descriptor
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise


def _try_lock(descriptor: int) -> bool:
    """Lock the open file; False when somebody else has it."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, _PLACE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        _log.warning("this file system has no locks (%s): two processes writing one run would not be noticed", error)
    return True


def _is_current(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, text)


def _in_use(folder: Path, descriptor: int) -> CheckpointError:
    holder = "another process"
    with suppress(OSError, ValueError, TypeError, KeyError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = json.loads(os.read(descriptor, 1000))
        holder = f"process {int(owner['pid'])} on {str(owner['host'])[:80]!r}"
    return CheckpointError(
        f"{folder} is being written by {holder}.",
        expected="one process per run",
        received="a second one",
        change="wait for it, stop it, or choose another folder with -o",
    )


def _release(path: Path, descriptor: int) -> None:
    """Remove the file while it is still ours, then let go. Windows removes no open file: there, after."""
    with suppress(OSError):
        if os.name != "nt" and _is_current(path, descriptor):
            os.unlink(path)
    with suppress(OSError):
        os.close(descriptor)
    if os.name == "nt":
        with suppress(OSError):
            os.unlink(path)
