"""Seconds to a validation loss on tiny shakespeare's characters, at most 0.81 M parameters, context 64.

nanoGPT runs its README's CPU recipe with 2,000 and with 6,000 iterations; polyhead runs the recipes of its
worker. Every run is cut into intervals; the intervals of all runs are interleaved, each run in a process of
its own with an empty compile cache. The clock of a run counts building and training, compilation included,
and never imports or evaluation, which is the mean loss over the whole validation part for all alike.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import common
from common import Row, Variant, Worker
from train_step import SIZES

MARKS = (2.0, 1.88, 1.8, 1.7, 1.65, 1.6, 1.57, 1.55, 1.5)
LARGEST = 810_000


@dataclass
class Run:
    """One run: its clock, and the points (step, seconds, loss) it has been evaluated at."""

    variant: Variant
    worker: Worker
    seconds: float
    params: int
    others: float = 0.0
    finished: bool = False
    points: list[tuple[int, float, float]] = field(default_factory=list)

    def advance(self) -> Row:
        """Train to the next evaluation and evaluate."""
        with common.Load(self.worker.process.pid) as load:
            reply = self.worker.ask("run", name=self.variant.name, units=1)
        self.seconds += reply["seconds"]
        self.others = max(self.others, load.others)
        self.finished = reply["finished"]
        loss = self.worker.ask("evaluate", name=self.variant.name)["val_loss"]
        self.points.append((reply["step"], self.seconds, loss))
        return {"step": reply["step"], "seconds": self.seconds, "val_loss": loss, "others": load.others}

    def reached(self, mark: float) -> float | None:
        """Seconds to the first evaluation at or under the mark."""
        return next((seconds for _, seconds, loss in self.points if loss <= mark), None)

    def best_within(self, budget: float) -> float | None:
        return min((loss for _, seconds, loss in self.points if seconds <= budget), default=None)


def variants(args: argparse.Namespace) -> list[Variant]:
    base = {"size": SIZES["S"], "corpus": common.corpus(args), "seed": args.seed, "compile": False}
    result = []
    for iterations in (int(text) for text in args.iterations.split(",")):
        spec = base | {"dtype": "fp32", "iterations": iterations, "interval": args.interval}
        result.append(Variant("nanogpt", str(iterations), spec))
    recipes = [recipe for recipe in args.recipes.split(",") if recipe]
    return result + [Variant("polyhead", recipe, base | {"recipe": recipe}) for recipe in recipes]


def start(variant: Variant, pool: common.Pool, args: argparse.Namespace) -> Run | None:
    try:
        worker, reply = pool.build(variant, "curve", key=variant.name)
    except common.WorkerError as error:
        common.emit(args, variant=variant.name, error=str(error))
        return None
    return Run(variant, worker, reply["seconds"], reply["params"])


def advance_all(runs: list[Run], args: argparse.Namespace) -> None:
    """Interval by interval, always the run whose clock is furthest behind: all share the machine's moods."""
    while waiting := [run for run in runs if not run.finished and run.seconds < args.budget]:
        run = min(waiting, key=lambda waiting_run: waiting_run.seconds)
        try:
            common.emit(args, bench="curve", variant=run.variant.name, **run.advance())
        except common.WorkerError as error:
            common.emit(args, variant=run.variant.name, error=str(error))
            run.finished = True


def report(runs: list[Run], args: argparse.Namespace) -> None:
    peers = [run for run in runs if run.variant.peer != "polyhead" and run.points]
    times = [seconds for run in peers if (seconds := run.reached(1.88))]
    budget = next((run.seconds for run in peers if run.variant.label == "2000"), None)
    rows = []
    for run in runs:
        if not run.points:
            continue
        row: Row = {"variant": run.variant.name, "params": run.params, "small_enough": run.params <= LARGEST}
        row |= {"seconds": run.seconds, "end": run.points[-1][2], "others": run.others}
        row["in_nanogpt_2000_time"] = run.best_within(budget) if budget else None
        row |= {f"to_{mark}": run.reached(mark) for mark in MARKS}
        mine = run.reached(1.88)
        row["share_of_best_peer_to_1.88"] = mine / min(times) if mine and times else None
        rows.append(common.emit(args, bench="time_to_loss", **row))
    reach = "1.88 in 1/6 of the best peer's time; 1.57 in the time of nanoGPT's 2,000 iterations"
    common.table(f"Seconds to a loss (reach: {reach})", rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--iterations", default="2000,6000", help="nanoGPT's schedules")
    parser.add_argument("--interval", type=int, default=50, help="nanoGPT's iterations between evaluations")
    parser.add_argument(
        "--recipes", default="fast,budget", help="polyhead's recipes, as its worker names them"
    )
    parser.add_argument("--budget", type=float, default=1e9, help="seconds of a run's clock at which it is left")
    parser.add_argument("--seed", type=int, default=1337)
    args = parser.parse_args()
    common.machine(args)
    with common.Pool(args, cold=True) as pool:
        candidates = (start(variant, pool, args) for variant in common.chosen(variants(args), args))
        runs = [run for run in candidates if run]
        advance_all(runs, args)
    report(runs, args)


if __name__ == "__main__":
    main()
