"""polyhead lab exercise and polyhead lab grade: an exercise is listed, shown, begun, solved, graded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from polyhead.errors import UserError
from polyhead.lab.exercises import EXERCISES, exercise

from .output import aligned, emit, note, say, visible

PRINTED = 20  # lines of what a graded file printed


def run_exercise(name: str | None, out: Path | None, solution: bool, as_json: bool) -> int:
    if name is None:
        return _list(out, solution, as_json)
    one = exercise(name)
    text = one.solution() if solution else one.skeleton() if out else one.statement()
    if out is not None:
        _write(out, text, one.suffix)
    if as_json:
        emit({"name": one.name, "title": one.title, "file": str(out) if out else None, "text": text})
    elif out is None:
        say(text.rstrip("\n"))
    else:
        say(f"{'A solution' if solution else 'A file to begin with'}: {out}")
        say(f"  polyhead lab exercise {one.name}    what is asked")
        say(f"  polyhead lab grade {one.name} {out}")
    return 0


def _list(out: Path | None, solution: bool, as_json: bool) -> int:
    if out is not None or solution:
        raise UserError(
            "which exercise?", expected="one of " + ", ".join(one.name for one in EXERCISES), change="polyhead lab exercise attention -o attention.py"
        )
    if as_json:
        emit([{"name": one.name, "title": one.title} for one in EXERCISES])
        return 0
    for line in aligned([(one.name, one.title) for one in EXERCISES], indent=""):
        say(line)
    say("\npolyhead lab exercise NAME          what is asked")
    say("polyhead lab exercise NAME -o FILE  a file to begin with; --solution: one that is right")
    say("polyhead lab grade NAME FILE        is it right?")
    return 0


def _write(out: Path, text: str, suffix: str) -> None:
    if out.suffix != suffix:
        raise UserError(f"{out} does not end in {suffix}", expected=f"a name such as work{suffix}", received=out.name, change="give -o another name")
    try:
        with out.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UserError(f"{out} is there already", expected="a new file", received=str(out), change="give -o another name") from None
    except OSError as error:
        raise UserError(f"{out} cannot be written", received=error.strerror or str(error), change="check the folder") from None


def run_grade(name: str, file: Path, limit: float, as_json: bool) -> int:
    """0: all points right; 1: not."""
    from polyhead.lab.exercises.grading import grade

    found = grade(exercise(name), file, limit)
    if as_json:
        points = [asdict(point) for point in found.points]
        emit({"exercise": name, "file": str(file), "right": found.right, "of": found.of, "points": points, "fault": found.fault or None})
        return 0 if found.passed else 1
    if found.printed.strip():
        lines = visible(found.printed.rstrip()).splitlines()
        note("\n".join([f"{file} printed:", *(f"  {line}" for line in lines[-PRINTED:])]))
    for point in found.points:
        say(f"{'right' if point.ok else 'wrong'}  {point.title}")
        if not point.ok:
            say(f"       expected  {visible(point.expected)}")
            say(f"       received  {visible(point.received)}")
    if found.fault:
        say(visible(f"{file}: {found.fault}"))
    say(f"{name}: {found.right} of {found.of} points" + (", all right" if found.passed else ""))
    return 0 if found.passed else 1
