"""Running claims: what is not measured yet is measured, and every number is on the disk as soon as it is known."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from polyhead.errors import Stopped

from . import results
from .claim import Claim, Mode
from .finding import code, load, path_of
from .pool import Done, Unit, fault, here, processes

Tell = Callable[[str, dict[str, Any]], None]  # what happened, and the particulars


class Asked(NamedTuple):
    """folder: of the results. seeds: how many; None: the claim's own number. again: a run on seeds of its own beside those
    that are there. jobs: processes; 0 measures in this one."""

    folder: Path = results.FOLDER
    mode: Mode = "quick"
    seeds: int | None = None
    again: bool = False
    jobs: int = 1


@dataclass
class Entry:
    """A claim at work: its file of results, the run that is being made (None: nothing to do), what went wrong."""

    name: str
    claim: Claim
    path: Path
    result: results.Result
    run: results.Run | None = None
    faults: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)  # seconds of the units measured now

    def missing(self, mode: Mode) -> list[Unit]:
        if self.run is None:
            return []
        arms, alone = self.run["arms"], self.claim.alone
        pairs = [(arm, seed) for seed in self.run["seeds"] for arm in self.claim.arms if str(seed) not in arms.get(arm, {})]
        return [Unit(self.name, arm, seed, mode, alone) for arm, seed in pairs]


def run_claims(names: Sequence[str], asked: Asked, tell: Tell) -> list[Entry]:
    """Measure what these claims lack, and judge. Raises Stopped after Ctrl-C, with all that is finished on the disk."""
    from polyhead.train.interrupt import interruptible

    with interruptible() as interrupt:
        entries = _plan([_open(name, asked.folder, tell) for name in names], asked, tell)
        at = {entry.name: entry for entry in entries}
        units = sorted((unit for entry in entries for unit in entry.missing(asked.mode)), key=lambda unit: unit.alone)
        for entry in entries:
            if not entry.missing(asked.mode):
                _judge(entry, tell)
        clock = _Clock(entries, len(units), asked)
        tell("start", {"units": len(units), "claims": len({unit.name for unit in units}), "jobs": asked.jobs, "eta": clock.left(units)})
        for done in _measured(units, asked.jobs, lambda: interrupt.signum is not None):
            units.remove(done.unit)
            _take(at[done.unit.name], done)
            tell("unit", {"done": done, "left": len(units), "units": clock.units, "eta": clock.left(units)})
            if at[done.unit.name].run is not None and not any(unit.name == done.unit.name for unit in units):
                _judge(at[done.unit.name], tell)
        if interrupt.signum is not None and units:
            raise Stopped(interrupt.signum, f"stopped with {clock.units - len(units)} of {clock.units} measurements made; the same command goes on")
    return entries


def _measured(units: list[Unit], jobs: int, stop: Callable[[], bool]) -> Iterator[Done]:
    return processes(list(units), jobs, stop) if jobs and units else here(list(units), stop)


# ---------------------------------------------------------------- before

def _open(name: str, folder: Path, tell: Tell) -> Entry:
    """The claim with what is known of it; runs that were measured by another code or on another text are no runs of it."""
    claim = load(name)
    path = folder / f"{claim.id}.json"
    result = results.read(path) or results.begin(claim)
    kept = [run for run in result["runs"] if run["code"] == code(path_of(name)) and run["corpus"] == _text(claim)]
    if len(kept) < len(result["runs"]):
        tell("changed", {"id": claim.id, "runs": len(result["runs"]) - len(kept)})
    result["runs"] = kept
    results.describe(result, claim)
    return Entry(name, claim, path, result)


def _plan(entries: list[Entry], asked: Asked, tell: Tell) -> list[Entry]:
    """Give each its run: the one that is unfinished, else one more where that is asked for, else the first."""
    again = asked.again
    for entry in entries:
        entry.run = next((run for run in entry.result["runs"] if run["mode"] == asked.mode and run["verdict"] is None), None)
        if entry.run is not None:
            tell("resume", {"id": entry.claim.id, "seeds": entry.run["seeds"], "units": len(entry.missing(asked.mode))})
            again = again and not entry.run["again"]
    if asked.again and not again:
        tell("unfinished", {})
    for entry in entries:
        if entry.run is None:
            entry.run = _next_run(entry, asked, again, tell)
        if again and entry.run is not None:
            results.write(entry.path, entry.result)  # so that a stop forgets none of what was asked for
    return entries


def _next_run(entry: Entry, asked: Asked, again: bool, tell: Tell) -> results.Run | None:
    claim, mode = entry.claim, asked.mode
    same = [run for run in entry.result["runs"] if run["mode"] == mode]
    seeds = list(range(_count(claim, asked)))
    if not same:
        return _new(entry, mode, seeds, False)
    first = same[0]
    if len(seeds) > len(first["seeds"]):
        first["seeds"], first["verdict"] = seeds, None
        return first
    if again and not repeats(claim):
        tell("nothing to repeat", {"id": claim.id, "kind": claim.kind})
    elif again:
        start = 1 + max(seed for run in entry.result["runs"] for seed in run["seeds"])
        return _new(entry, mode, list(range(start, start + len(seeds))), True)
    return None


def repeats(claim: Claim) -> bool:
    """Whether other seeds could give other numbers."""
    return claim.kind not in ("counting", "published") and claim.seeds != (1, 1)


def _count(claim: Claim, asked: Asked) -> int:
    """Seeds of a run: at least five where a full one can repeat."""
    if not repeats(claim):
        return 1
    return asked.seeds or (max(claim.seeds[1], 5) if asked.mode == "full" else claim.seeds[0])


def _new(entry: Entry, mode: Mode, seeds: list[int], again: bool) -> results.Run:
    run: results.Run = {
        "mode": mode, "seeds": seeds, "again": again, "code": code(path_of(entry.name)), "arms": {arm: {} for arm in entry.claim.arms},
        "intervals": {}, "verdict": None, "because": None, "seconds": 0.0, "machine": machine(), "versions": versions(),
        "corpus": _text(entry.claim), "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    entry.result["runs"].append(run)
    return run


def _text(claim: Claim) -> str | None:
    if not claim.corpus:
        return None
    from .corpus import corpus

    return corpus().fingerprint


def machine() -> dict[str, Any]:
    """{cpu, cores, os}: what numbers of time depend on."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "os": f"{platform.system()} {platform.machine()}"}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    from importlib.metadata import version

    from polyhead import __version__

    return {"polyhead": __version__, "python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy")}


# ---------------------------------------------------------------- during

def _take(entry: Entry, done: Done) -> None:
    """What one measurement gave: onto the disk."""
    if done.numbers is None:
        entry.faults.append(f"{entry.claim.id}, {done.unit.arm}, seed {done.unit.seed}: {done.fault}")
        return
    assert entry.run is not None
    known = entry.run["arms"].get(done.unit.arm, {}) | {str(done.unit.seed): results.packed(done.numbers)}
    entry.run["arms"][done.unit.arm] = dict(sorted(known.items(), key=lambda item: int(item[0])))
    entry.run["seconds"] = round(entry.run["seconds"] + done.core, 2)
    entry.took.append(done.seconds)
    results.write(entry.path, entry.result)


def _judge(entry: Entry, tell: Tell) -> None:
    """Let the rule speak about every run that has all its numbers, as it is written now; write what it says."""
    try:
        for run in entry.result["runs"]:
            if all(len(run["arms"].get(arm, {})) == len(run["seeds"]) for arm in entry.claim.arms):
                results.judge(entry.claim, run)
    except Exception as error:
        entry.faults.append(f"{entry.claim.id}, its rule: {fault(error, entry.name)}")
    results.settle(entry.result)
    results.write(entry.path, entry.result)
    tell("claim", {"entry": entry})


class _Clock:
    """How long the rest will take: by what each claim's measurements took so far, else by what they took when it was last
    measured, else by the others."""

    def __init__(self, entries: list[Entry], units: int, asked: Asked) -> None:
        self.entries, self.units, self.jobs = {entry.name: entry for entry in entries}, units, max(1, asked.jobs)
        self.before = {entry.name: _before(entry, asked.mode) for entry in entries}
        self.began = time.perf_counter()

    def left(self, units: list[Unit]) -> float | None:
        """Seconds; None while nothing is known."""
        took = [seconds for entry in self.entries.values() for seconds in entry.took]
        usual = sum(took) / len(took) if took else None
        total = 0.0
        for unit in units:
            own = self.entries[unit.name].took
            seconds = sum(own) / len(own) if own else self.before[unit.name] or usual
            if seconds is None:
                return None
            total += seconds / (1 if unit.alone else self.jobs)
        return total


def _before(entry: Entry, mode: Mode) -> float | None:
    """Seconds of one measurement in an earlier run, ours if there is none of the user's."""
    known = entry.result["runs"] or (results.read(results.SHIPPED / f"{entry.claim.id}.json") or {"runs": []})["runs"]
    for run in known:
        units = sum(map(len, run["arms"].values()))
        if run["mode"] == mode and units:
            return run["seconds"] / units
    return None
