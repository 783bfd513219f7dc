"""Grades what was handed in, in a process of its own: it may loop, print, exit or break without harm."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import RunError, UserError
from . import Exercise


@dataclass(frozen=True)
class Result:
    """Of one point. expected and received are empty where it is right."""

    name: str
    title: str
    ok: bool
    expected: str = ""
    received: str = ""


@dataclass(frozen=True)
class Grade:
    """points: as far as grading came; of: how many there are. fault: why it came no further. printed: by the file."""

    points: tuple[Result, ...]
    of: int
    fault: str
    printed: str

    @property
    def right(self) -> int:
        return sum(point.ok for point in self.points)

    @property
    def passed(self) -> bool:
        return not self.fault and self.right == self.of


def grade(one: Exercise, file: Path, limit: float = 30.0) -> Grade:
    """limit: seconds for reading the file and all points together; the child's own start does not count."""
    if not file.is_file():
        raise UserError(
            f"there is no file {file}", expected=f"a {one.suffix} file", received=str(file),
            change=f"polyhead lab exercise {one.name} -o {file} writes one to begin with",
        )  # fmt: skip
    if file.suffix != one.suffix:
        raise UserError(
            f"{file} is not what the exercise {one.name} asks for", expected=f"a name that ends in {one.suffix}",
            received=file.suffix or "a name without an ending", change="rename it, or grade another exercise",
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.jsonl"
        command = [sys.executable, "-m", f"{__package__}.child", one.name, str(file.resolve()), str(told)]
        printed, late, code = _run(command, told, limit)
        lines = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()] if told.exists() else []
    return _read(lines, f"it did not finish within {limit:g} s" if late else f"the program was ended (exit code {code})", printed)


def _run(command: list[str], told: Path, limit: float) -> tuple[str, bool, int]:
    """What was printed, whether the time was up, and the exit code. The clock starts when the child has told its first line."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            while process.poll() is None and not (told.exists() and told.stat().st_size):
                time.sleep(0.02)
            printed, late = process.communicate(timeout=limit)[0], False
        except subprocess.TimeoutExpired:
            process.kill()
            printed, late = process.communicate()[0], True
        except BaseException:
            process.kill()
            raise
    return printed.decode("utf-8", "replace"), late, process.returncode


def _read(lines: list[dict[str, Any]], ended: str, printed: str) -> Grade:
    """ended: what to say if the child did not come to its end."""
    if not lines:
        raise RunError(f"grading could not start: {ended}", received=printed.strip()[-300:] or "nothing printed")
    points = tuple(Result(**line) for line in lines if "ok" in line)
    faults = [line["fault"] for line in lines if "fault" in line]
    begun = [line["begin"] for line in lines if "begin" in line]
    of = lines[0]["of"]
    if faults:
        fault = f"it could not be read: {faults[0]}"
    elif len(points) == of:
        fault = ""
    else:
        fault = f"{ended}, at the point {begun[-1]}" if begun else f"{ended}, while it was read"
    return Grade(points, of, fault, printed)
