"""Loading a LLaMA of 1.1B parameters: polyhead's `load` beside transformers' `from_pretrained`, each in a fresh process.

Seconds until the first logits of 16 tokens, in three parts: importing the package where torch is imported already,
loading (transformers imports the model's code here), the forward pass. The peak of anonymous memory above what the
process held before, as a multiple of the weights' bytes. The files are read once before each measurement, so that both
find them in the page cache; with --cold they are dropped from it instead.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import common
from common import Row, Variant, Worker

SHAPE = {
    "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
    "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 2048,
}  # fmt: skip
TIME, MEMORY = 0.7, 1.1  # marks: of transformers' seconds, of the weights' bytes


@dataclass
class Loading:
    """One load in a process of its own. Bytes above those held before it; None where there is no /proc."""

    imported: float  # seconds of each part
    loaded: float
    answered: float
    peak: int | None
    sample: list[float]

    @property
    def seconds(self) -> float:
        """Loading and the forward pass."""
        return self.loaded + self.answered


class Peak:
    """The peak of a process' anonymous memory within the block over that at its start, read every 5 ms from outside:
    a thread inside would wait for the interpreter's lock while weights are read."""

    value: int | None = None

    def __init__(self, pid: int) -> None:
        self.status, self.done = Path(f"/proc/{pid}/status"), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self.start = self.highest = self._anonymous()
        if self.start is not None:
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.start is None:
            return
        self.done.set()
        self.thread.join()
        self.value = max(self.highest, self._anonymous() or 0) - self.start

    def _watch(self) -> None:
        while not self.done.wait(0.005):
            self.highest = max(self.highest, self._anonymous() or 0)

    def _anonymous(self) -> int | None:
        with contextlib.suppress(OSError):
            for line in self.status.read_text().splitlines():
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return None


def weight_bytes(path: Path) -> int:
    """Bytes of the tensors in a safetensors file: all but the header and its length."""
    with path.open("rb") as file:
        return path.stat().st_size - 8 - int.from_bytes(file.read(8), "little")


def ready(files: list[Path], cold: bool) -> None:
    """Read the files into the page cache, or drop them from it."""
    for path in files:
        with path.open("rb", buffering=0) as file:
            if cold:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                while file.read(1 << 24):
                    pass


def once(variant: Variant, files: list[Path], args: argparse.Namespace) -> tuple[float, Loading]:
    """(share of the processors that others used, the load), in a new process. Raises WorkerError."""
    worker = Worker(variant.peer, args, module="first_logits")
    try:
        worker.ask("hello")
        worker.ask("build", name=variant.name, kind=variant.peer, spec=variant.spec)
        ready(files, args.cold)
        with common.Load(worker.process.pid) as load, Peak(worker.process.pid) as peak:
            reply = worker.ask("run", name=variant.name, units=1)
        return load.others, Loading(reply["imported"], reply["loaded"], reply["answered"], peak.value, reply["sample"])
    finally:
        worker.close()


def quietest(variant: Variant, files: list[Path], args: argparse.Namespace, tries: int = 3) -> Loading:
    """A load, repeated while other processes disturb; the quietest if none is quiet."""
    best: tuple[float, Loading] | None = None
    for _ in range(tries):
        found = once(variant, files, args)
        best = found if best is None or found[0] < best[0] else best
        if best[0] <= common.QUIET:
            break
    return best[1]


def measure(folder: Path, args: argparse.Namespace) -> None:
    files = sorted(folder.glob("*.safetensors"))
    spec = {"folder": str(folder), "tokens": args.tokens}
    variants = common.chosen([Variant("polyhead", "load", spec), Variant("hf", "from_pretrained", spec)], args)
    found: dict[str, list[Loading]] = {variant.name: [] for variant in variants}
    for _ in range(args.rounds):
        for variant in variants:
            try:
                found[variant.name].append(quietest(variant, files, args))
            except common.WorkerError as error:
                common.emit(args, bench="load", variant=variant.name, error=str(error))
                return
    report(found, sum(map(weight_bytes, files)), args)


def report(found: dict[str, list[Loading]], size: int, args: argparse.Namespace) -> None:
    theirs = found.get("hf from_pretrained")
    rows = []
    for name, loads in found.items():
        seconds = [load.seconds for load in loads]
        peaks = [load.peak for load in loads if load.peak is not None]
        row: Row = {"variant": name, "weights_GB": size / 1e9, "seconds": statistics.median(seconds)}
        row |= {part: statistics.median(getattr(load, part) for load in loads) for part in ("imported", "loaded", "answered")}
        row["spread"] = common.spread(seconds)
        row |= {"peak_GB": max(peaks) / 1e9, "of_weights": max(peaks) / size} if peaks else {}
        if theirs:
            row["of_hf_time"] = 1 / common.speedup(seconds, [load.seconds for load in theirs])
            whole = [[load.imported + load.seconds for load in some] for some in (loads, theirs)]
            row["of_hf_with_import"] = 1 / common.speedup(*whole)
            row["apart"] = common.apart(loads[0].sample, theirs[0].sample)
        rows.append(common.emit(args, bench="load", cold=args.cold, **row))
    reach = f"reach: polyhead <= {TIME} of hf's time, peak <= {MEMORY} of the weights"
    common.table(f"First logits of {args.tokens} tokens, medians; the highest peak ({reach})", rows)


@contextlib.contextmanager
def folder_of(args: argparse.Namespace) -> Iterator[Path]:
    """The folder to load: the one named, made there if there is none, or one that is removed afterwards."""
    if args.folder and (args.folder / "config.json").is_file():
        yield args.folder.resolve()
        return
    config = SHAPE | {"num_hidden_layers": args.layers}
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        common.random_folder(args, folder.resolve(), shape="llama", config=config, dtype=args.dtype)
        yield folder.resolve()


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--folder", type=Path, help="a causal model's folder; made there, and kept, where there is none")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32", help="of the folder that is made")
    parser.add_argument("--layers", type=int, default=SHAPE["num_hidden_layers"], help="of the folder that is made")
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="drop the files from the page cache first (Linux)")
    args = parser.parse_args()
    common.machine(args)
    with folder_of(args) as folder:
        measure(folder, args)


if __name__ == "__main__":
    main()
