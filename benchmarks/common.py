"""The driver's half: workers in their own environments, interleaved timing, other load, JSON lines, a table.

Only the standard library is needed here. A benchmark names its variants; each package's worker builds its
own; the variants are then timed A B C A B C ... in one run, and ratios are medians over the rounds of that
run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
QUIET = 0.06  # a timed unit is repeated while others used more than this share of the processors
Row = dict[str, Any]


class WorkerError(Exception):
    """A worker could not do what it was asked; the variant is reported as failed and left out."""


@dataclass(frozen=True)
class Variant:
    """One thing to time: the worker's module, a label, and what the worker needs to build it."""

    peer: str
    label: str
    spec: Row = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.peer} {self.label}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(description=description, formatter_class=layout)
    add, env = result.add_argument, os.environ.get
    here = sys.executable
    add("--peers-python", default=env("PH_PEERS_PYTHON", here), help="Python of the peers' environment")
    add("--python", default=env("PH_PYTHON", here), help="Python of polyhead's environment")
    add("--src", default=env("PH_SRC"), help="folder with the peers' sources: nanoGPT, gpt-fast")
    add("--data", default=env("PH_DATA"), help="folder that holds tinyshakespeare/input.txt (or .gz)")
    add("--threads", type=int, default=int(env("PH_THREADS", "2")))
    add("--only", default="", help="comma-separated words: only variants whose name holds one of them")
    add("--out", type=Path, help="append the JSON lines to this file as well")
    return result


def chosen(variants: Sequence[Variant], args: argparse.Namespace) -> list[Variant]:
    words = [word for word in args.only.split(",") if word]
    return [variant for variant in variants if not words or any(word in variant.name for word in words)]


def corpus(args: argparse.Namespace) -> str:
    """The path of tiny shakespeare, or an end with a sentence that says what is missing."""
    for name in ("input.txt", "input.txt.gz"):
        path = Path(args.data or "", "tinyshakespeare", name)
        if path.is_file():
            return str(path)
    sys.exit("tinyshakespeare/input.txt not found: name the folder that holds it with --data or PH_DATA")


def emit(args: argparse.Namespace, **row: Any) -> Row:
    """Print one JSON line, and append it to --out."""
    row = {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}
    line = json.dumps(row)
    print(line, flush=True)
    if args.out:
        with args.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    return row


class Worker:
    """A process in a package's environment that answers requests (see workers/wire.py)."""

    def __init__(self, peer: str, args: argparse.Namespace, cold: bool = False, module: str = "") -> None:
        self.peer = peer
        self.log = tempfile.TemporaryFile()
        self.scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        threads = str(args.threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        environment |= {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
        environment |= {"HF_HUB_OFFLINE": "1", "PH_SRC": args.src or ""}
        if cold:  # nothing compiled earlier may be found
            environment["TORCHINDUCTOR_CACHE_DIR"] = self.scratch.name
        python = args.python if peer == "polyhead" else args.peers_python
        self.process = subprocess.Popen(
            [python, "-m", f"workers.{module or peer}"], cwd=HERE, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, text=True, encoding="utf-8",
        )  # fmt: skip

    def ask(self, action: str, patience: float | None = None, **request: Any) -> Row:
        """The reply to a request. With `patience`, a worker that takes longer (in seconds) is ended."""
        assert self.process.stdin and self.process.stdout
        with self.limit(patience) as late:
            try:
                self.process.stdin.write(json.dumps({"do": action, **request}) + "\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if late:
            raise WorkerError(f"{self.peer}: given up after {patience:.0f} s")
        if not line:
            raise WorkerError(f"{self.peer}: the worker ended: {self.last_words()}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"{self.peer}: {reply['error']}")
        return reply

    @contextlib.contextmanager
    def limit(self, seconds: float | None) -> Iterator[list[bool]]:
        """Kills the worker after so long; the list is no longer empty when that has happened."""
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            self.process.kill()

        timer = threading.Timer(seconds, end) if seconds else None
        try:
            if timer:
                timer.start()
            yield late
        finally:
            if timer:
                timer.cancel()

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no message"

    def timed(self, name: str, units: int, tries: int = 4) -> float:
        """Seconds of so many units, repeated while other processes disturb; the quietest if none is quiet."""
        best = (float("inf"), 0.0)
        for _ in range(tries):
            with Load(self.process.pid) as load:
                seconds = self.ask("run", name=name, units=units)["seconds"]
            best = min(best, (load.others, seconds))
            if load.others <= QUIET or seconds < 0.25:  # the clock of /proc ticks at 10 ms
                break
        return best[1]

    def close(self) -> None:
        """End the worker and what it started: it leaves when its pipe closes."""
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):  # it has gone already
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.scratch.cleanup()


class Pool:
    """The workers of one run, one per package, started when first needed."""

    def __init__(self, args: argparse.Namespace, cold: bool = False) -> None:
        self.args, self.cold = args, cold
        self.workers: dict[str, Worker] = {}
        self.failed: dict[str, str] = {}  # workers that never answered, and why

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def build(self, variant: Variant, kind: str, key: str | None = None) -> tuple[Worker, Row]:
        """Build a variant in its package's worker (or in one of its own, under `key`). Raises WorkerError."""
        worker = self.worker(variant.peer, key or variant.peer)
        return worker, worker.ask("build", name=variant.name, kind=kind, spec=variant.spec)

    def worker(self, peer: str, key: str) -> Worker:
        if key in self.failed:
            raise WorkerError(self.failed[key])
        if key not in self.workers:
            worker = self.workers[key] = Worker(peer, self.args, self.cold)
            try:
                emit(self.args, peer=peer, versions=worker.ask("hello"))
            except WorkerError as error:
                self.failed[key] = str(error)
                raise
        return self.workers[key]


def interleave(units: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds per round of every unit, taken A B C A B C ..."""
    seconds: dict[str, list[float]] = {name: [] for name in units}
    for _ in range(rounds):
        for name, unit in units.items():
            seconds[name].append(unit())
    return seconds


def spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / statistics.median(values)


def speedup(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times faster: the median over rounds of their seconds over ours in the same round."""
    return statistics.median(their / our for our, their in zip(ours, theirs, strict=True))


def apart(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest difference between two samples of an answer, relative to the largest number of theirs."""
    largest = max(map(abs, theirs)) or 1.0
    return max(abs(our - their) for our, their in zip(ours, theirs, strict=True)) / largest


def random_folder(args: argparse.Namespace, folder: Path, **spec: Any) -> None:
    """Has transformers write a Hugging Face folder of random weights, and waits until it is on the disk."""
    with Pool(args) as pool:
        try:
            pool.build(Variant("hf", "folder", {"folder": str(folder), **spec}), "folder")
        except WorkerError as error:
            sys.exit(f"the folder of random weights could not be made: {error}")
    for path in folder.iterdir():  # writing it back later would disturb what is timed
        with path.open("rb") as file:
            os.fsync(file.fileno())


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A Markdown table of the rows; the columns are the first row's keys."""
    print(f"\n{title}\n")
    if not rows:
        print("nothing was measured")
        return
    cells = [[_cell(row.get(key)) for key in rows[0]] for row in rows]
    widths = [max(len(key), *(len(row[i]) for row in cells)) for i, key in enumerate(rows[0])]
    for line in [list(rows[0]), ["-" * width for width in widths], *cells]:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def machine(args: argparse.Namespace) -> Row:
    """One line that says where this ran; the vector units decide whether bf16 is worth anything."""
    cpuinfo = Path("/proc/cpuinfo")
    facts = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in facts)}
    flags = set(known.get("flags", known.get("Features", "")).split())
    telling = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
    vectors = [flag for flag in telling if flag in flags]
    model = known.get("model name") or platform.processor()
    return emit(args, machine=model, vectors=vectors, processors=os.cpu_count(), threads=args.threads)


class Load:
    """`others`: the share of the processors used within the block outside one process and its children.

    Read from /proc; 0 where there is none.
    """

    others = 0.0

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __enter__(self) -> Self:
        self.before = _machine_ticks(), _tree_ticks(self.pid)
        return self

    def __exit__(self, *_: object) -> None:
        (total, busy), ours = self.before
        after_total, after_busy = _machine_ticks()
        if after_total > total:
            foreign = (after_busy - busy) - (_tree_ticks(self.pid) - ours)
            self.others = max(0.0, foreign / (after_total - total))


def _machine_ticks() -> tuple[int, int]:
    """(all, busy) clock ticks of all processors since boot; time stolen by other machines counts as busy."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0, 0
    ticks = [int(field) for field in stat.read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), sum(ticks) - ticks[3] - ticks[4]


def _tree_ticks(root: int) -> int:
    """Clock ticks used by a process and its descendants."""
    ticks, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:  # ended meanwhile
            continue
        pid = int(path.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), sum(int(value) for value in fields[11:15])
    family = {root}
    while True:
        grown = family | {pid for pid, parent in parents.items() if parent in family}
        if grown == family:
            return sum(ticks.get(pid, 0) for pid in family)
        family = grown
