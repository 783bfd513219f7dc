"""python -m polyhead.lab.exercises.child NAME FILE OUT: grades FILE and writes one JSON line to OUT for each step.

{"of": how many points there are} when the clock starts, then {"loaded": true} or {"fault": words}; per point {"begin": name}, then {"name", "title", "ok", "expected",
"received"}. What FILE prints goes where it always goes.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TextIO

import torch

from ...errors import PolyheadError
from .point import Missed, Point


def grade(name: str, file: Path, out: TextIO) -> None:
    def tell(**what: Any) -> None:
        out.write(json.dumps(what) + "\n")
        out.flush()

    torch.set_num_threads(1)
    points: tuple[Point, ...] = importlib.import_module(f"{__package__}.{name}.points").POINTS
    tell(of=len(points))
    try:
        handed_in = load(file)
    except BaseException as error:  # a person's file may raise anything, SystemExit too
        tell(fault=in_words(error, file))
        return
    tell(loaded=True)
    for point in points:
        tell(begin=point.name)
        tell(name=point.name, title=point.title, **judge(point, handed_in, file))


def judge(point: Point, handed_in: Any, file: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    try:
        point.check(handed_in)
    except Missed as missed:
        return {"ok": False, "expected": missed.expected, "received": missed.received}
    except BaseException as error:
        return {"ok": False, "expected": "an answer", "received": in_words(error, file)}
    return {"ok": True, "expected": "", "received": ""}


def load(file: Path) -> Any:
    """A Python file as a module, a YAML file as what it holds."""
    if file.suffix != ".py":
        from ...families.document import read

        return read(file)
    spec = spec_from_file_location("handed_in", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["handed_in"] = module
    spec.loader.exec_module(module)
    return module


def in_words(error: BaseException, file: Path) -> str:
    """"ValueError: … (line 12 of my.py)": the last line of the person's file on the way to the error, no traceback."""
    if isinstance(error, PolyheadError):
        return "; ".join(str(error).split("\n  "))
    if isinstance(error, SyntaxError):
        return f"{error.msg} (line {error.lineno} of {file.name})"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return f"{what} (line {lines[-1]} of {file.name})" if lines else what


if __name__ == "__main__":
    with open(sys.argv[3], "w", encoding="utf-8") as stream:
        grade(sys.argv[1], Path(sys.argv[2]), stream)
