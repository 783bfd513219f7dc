"""lab: the claims, what was measured of them, and measuring."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path
from typing import Any, TextIO

from polyhead.errors import ConfigError
from polyhead.lab import results
from polyhead.lab.claim import Claim, Mode
from polyhead.lab.finding import chosen, facts, load, package

from .output import aligned, emit, is_terminal, say

_WIDTH = 110
_LINES = 30  # lines of progress where no terminal shows a live one


# ---------------------------------------------------------------- list

def run_list(folder: Path, as_json: bool) -> int:
    """The verb lab list."""
    rows = []
    for id in package():
        known, found = facts(id), results.find(id, folder)
        verdict = found["verdict"] if found else None
        rows.append({"id": id, "title": known.title, "topic": known.topic, "kind": known.kind, "statement": known.statement,
                     "expected": known.expected.value, "verdict": verdict})  # fmt: skip
    if as_json:
        emit(rows)
        return 0
    wide = max((len(row["verdict"] or "") for row in rows), default=0)
    for row in rows:
        say(f"{row['id']}  {row['verdict'] or '–':<{wide}}  {row['title']}")
    say(f"{len(rows)} claims, {sum(row['verdict'] is not None for row in rows)} with a verdict; `polyhead lab show CLAIM` tells one")
    return 0


# ---------------------------------------------------------------- show

def run_show(name: str, folder: Path, figure: Path | None, dark: bool, as_json: bool) -> int:
    """The verb lab show."""
    claim = load(chosen([name])[0])
    found = results.find(claim.id, folder)
    if figure is not None:
        _draw(claim, found, figure, dark)
    if as_json:
        emit(_as_dict(claim) | {"result": found})
        return 0
    say(f"{claim.id}  {claim.title}\n")
    words = [
        ("what is said", claim.statement), ("where", ", ".join(claim.notes)), ("literature", claim.literature), ("method", claim.method),
        ("arms", ", ".join(claim.arms)), ("rule", claim.decides), ("expected", claim.expected.value), ("limits", claim.limits),
    ]  # fmt: skip
    for title, text in words:
        if text:
            _paragraph(title, text)
    if found is None:
        say(f"\nnot measured yet: polyhead lab run {name}")
        return 0
    _paragraph("\nverdict", found["verdict"])
    _paragraph("because", found["because"])
    for run in results.deciding(found):
        _tell_run(claim, run)
    say(f"\nthe figure: {figure or f'polyhead lab show {name} --figure FILE.svg'}")
    return 0


def _draw(claim: Claim, found: results.Result | None, path: Path, dark: bool) -> None:
    """Write the figure of the first run that decides."""
    from polyhead.checkpoint.files import atomic
    from polyhead.lab.style import render

    format = path.suffix.lower().lstrip(".")
    if format not in ("svg", "png"):
        raise ConfigError("a figure is a picture", expected="a name that ends in .svg or .png", received=str(path))
    if found is None:
        raise ConfigError(f"{claim.id} is not measured yet", expected="a result to draw", received="none", change="polyhead lab run CLAIM")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as out:
        out.write(render(claim, results.table(results.deciding(found)[0]), dark=dark, format="svg" if format == "svg" else "png"))


def _as_dict(claim: Claim) -> dict[str, Any]:
    words = ("id", "title", "topic", "kind", "statement", "notes", "literature", "method", "decides", "expected", "units", "seeds", "limits")
    return {word: getattr(claim, word) for word in words} | {"arms": list(claim.arms), "corpus": claim.corpus, "alone": claim.alone}


def _paragraph(title: str, text: str) -> None:
    lead = "\n" if title.startswith("\n") else ""
    say(lead + textwrap.fill(text, _WIDTH, initial_indent=f"{title.strip():<13}", subsequent_indent=" " * 13))


def _tell_run(claim: Claim, run: results.Run) -> None:
    """Every number of a run that is one number, with its interval over seeds."""
    made = f"{run['mode']}, seeds {results.spoken(run['seeds'])}, {run['seconds']:,.0f} s of one core, {run['created'][:10]}"
    say(f"\n{made}\n{run['machine']['cpu']}, {run['machine']['cores']} cores, torch {run['versions']['torch']}")
    names = list(dict.fromkeys(name for numbers in run["intervals"].values() for name in numbers))
    for name in names:
        unit = claim.units.get(name, "")
        say(f"  {name}{f' ({unit})' if unit else ''}")
        rows = [(arm, _interval(numbers[name])) for arm, numbers in run["intervals"].items() if name in numbers]
        for line in aligned(rows, "    "):
            say(line)


def _interval(ends: list[Any]) -> str:
    from polyhead.lab.table import Interval

    return str(Interval(*results.unpacked(ends)))


# ---------------------------------------------------------------- run

def run_lab(names: list[str], mode: Mode, again: bool, seeds: int | None, jobs: int | None, folder: Path, as_json: bool) -> int:
    """The verb lab run. Exit code 1 where a measurement failed."""
    import os

    from polyhead.lab.running import Asked, run_claims

    asked = Asked(folder, mode, seeds, again, jobs or os.cpu_count() or 1)
    with Told(sys.stderr if as_json else sys.stdout) as told:
        entries = run_claims(chosen(names), asked, told)
    faults = [fault for entry in entries for fault in entry.faults]
    if as_json:
        emit([_summary(entry.claim, entry.result, entry.path, entry.faults) for entry in entries])
    else:
        for fault in faults:
            say(f"failed: {fault}")
        if len(entries) == 1 and not faults:
            say(f"{entries[0].path} has every number; `polyhead lab show {names[0] if names else entries[0].name}` tells them")
        else:
            say(f"{len(entries) - sum(bool(entry.faults) for entry in entries)} of {len(entries)} claims are measured, in {folder}")
    return 1 if faults else 0


def _summary(claim: Claim, result: results.Result, path: Path, faults: list[str]) -> dict[str, Any]:
    return {"id": claim.id, "title": claim.title, "statement": claim.statement, "expected": claim.expected.value,
            "verdict": result["verdict"], "because": result["because"], "runs": len(result["runs"]), "file": str(path), "faults": faults}  # fmt: skip


class Told:
    """What running tells, as lines; on a terminal with a live one below, else with some thirty lines of progress."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.live, self.ends = stream, None, None  # type: TextIO, Any, float | None
        self.status, self.units = "", 0

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, what: str, told: dict[str, Any]) -> None:
        getattr(self, "_on_" + what.replace(" ", "_"))(**told)

    def say(self, text: str) -> None:
        if self.live is not None:
            self.live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(text, to=self.stream)

    def _on_changed(self, id: str, runs: int) -> None:
        self.say(f"note: {id} or its text has changed since it was measured: {runs} earlier run{'s are' if runs > 1 else ' is'} left out")

    def _on_resume(self, id: str, seeds: list[int], units: int) -> None:
        self.say(f"{id}: going on with the run on seeds {results.spoken(seeds)}, {units} measurements are left")

    def _on_unfinished(self) -> None:
        self.say("note: the runs that were begun before are finished first; --again after that begins others")

    def _on_nothing_to_repeat(self, id: str, kind: str) -> None:
        self.say(f"note: {id} is {kind}: on other seeds it would give the same numbers")

    def _on_start(self, units: int, claims: int, jobs: int, eta: float | None) -> None:
        self.units = units
        if not units:
            return
        about = "" if eta is None else f", about {_spoken(eta)}"
        self.say(f"{units} measurements of {claims} claim{'s' if claims > 1 else ''}, {min(jobs, units)} at a time{about}")
        self.ends = None if eta is None else time.monotonic() + eta
        if is_terminal(self.stream):
            self._open()

    def _open(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def line() -> Text:
            eta = "" if self.ends is None else f"  ETA {_spoken(max(0.0, self.ends - time.monotonic()))}"
            return Text((self.status or f"0/{self.units}") + eta, no_wrap=True, overflow="ellipsis")

        self.live = Live(get_renderable=line, console=Console(file=self.stream), transient=True, refresh_per_second=2, redirect_stdout=False)
        self.live.start()

    def _on_unit(self, done: Any, left: int, units: int, eta: float | None) -> None:
        made, unit = units - left, done.unit
        self.ends = None if eta is None else time.monotonic() + eta
        self.status = f"{made:>{len(str(units))}}/{units}  {Path(unit.name).stem} {unit.arm}, seed {unit.seed}: {done.seconds:.1f} s"
        if self.live is None and made % max(1, units // _LINES) == 0:
            self.say(self.status + (f"  ETA {_spoken(eta)}" if eta is not None else ""))

    def _on_claim(self, entry: Any) -> None:
        result = entry.result
        if result["verdict"] is None:
            self.say(f"{entry.claim.id}  no verdict: {len(entry.faults)} of its measurements failed")
            return
        self.say(textwrap.fill(f"{entry.claim.id}  {result['verdict']}: {result['because']}", _WIDTH, subsequent_indent="     "))


def _spoken(seconds: float) -> str:
    from polyhead.report.page import duration

    return duration(seconds)


# ---------------------------------------------------------------- new

def run_new(path: Path, as_json: bool) -> int:
    """The verb lab new: a claim that runs as it is, to be changed."""
    from polyhead.lab import skeleton

    if path.suffix != ".py":
        raise ConfigError("a claim is a file of Python", expected="a name that ends in .py", received=str(path))
    if path.exists():
        raise ConfigError("this file is there already", expected="a new file", received=str(path), change="another name")
    id = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.stem.upper()).strip("-") or "MINE"
    if id in package():
        raise ConfigError("this is the name of a claim of the package", expected="a name of its own", received=id, change="another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    source = Path(skeleton.__file__).read_text(encoding="utf-8")
    path.write_text(source.replace('id="MINE"', f'id="{id}"'), encoding="utf-8", newline="\n")
    if as_json:
        emit({"file": str(path), "id": id})
    else:
        say(f"{path} is a claim that runs as it is: change its measure, its rule, its figure and its words, then polyhead lab run {path}")
    return 0
