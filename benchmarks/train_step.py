"""Training speed of small GPTs: polyhead beside nanoGPT, transformers, litgpt and x-transformers.

    S = 4 layers x 128 wide, 4 heads, context 64, batch 12;  M = 6 x 384, 6 heads, context 256, batch 8

Every package trains the same shape on tiny shakespeare's characters (AdamW, clip 1, no dropout), eager and
compiled, in fp32 and under bf16 autocast. The ratio is polyhead's best against the best peer's.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
from dataclasses import dataclass, field

import common
from common import Row, Variant, Worker

SIZES: dict[str, Row] = {
    "S": {"layers": 4, "heads": 4, "width": 128, "context": 64, "batch": 12, "vocabulary": 65},
    "M": {"layers": 6, "heads": 6, "width": 384, "context": 256, "batch": 8, "vocabulary": 65},
}
REACH = {"S": 1.2, "M": 1.1}
OUTCLASSED = 3.0  # a variant that many times slower than the fastest is not raced
PEERS = ("polyhead", "nanogpt", "hf", "litgpt", "xtransformers")


def variants(size: str, corpus: str) -> list[Variant]:
    result = []
    for peer in (*PEERS, "hf trainer"):
        for dtype in ("fp32", "bf16"):
            for compiled in (False, True):
                spec = {"size": SIZES[size], "corpus": corpus, "dtype": dtype, "compile": compiled}
                module, _, trainer = peer.partition(" ")
                label = f"{trainer} {dtype} {'compiled' if compiled else 'eager'}".strip()
                result.append(Variant(module, label, spec | ({"trainer": True} if trainer else {})))
    return result


def flops_per_token(size: Row) -> float:
    """Forward and backward: 6 per matrix weight, and causal attention's half square."""
    weights = 12 * size["layers"] * size["width"] ** 2 + size["width"] * size["vocabulary"]
    return 6 * weights + 6 * size["layers"] * size["width"] * size["context"]


@dataclass
class Contender:
    """A built variant: its pace (seconds per step when warm) and its seconds per step, round by round."""

    variant: Variant
    worker: Worker
    params: int
    setup: float
    pace: float
    seconds: list[float] = field(default_factory=list)

    def timed(self, unit: float) -> float:
        steps = max(1, round(unit / self.pace))
        return self.worker.timed(self.variant.name, steps) / steps


def build(variant: Variant, pool: common.Pool, fastest: float) -> Contender:
    """Build and warm up. One step, the second, is enough of a variant that is hopelessly slow."""
    worker, reply = pool.build(variant, "train")
    setup, pace = (worker.ask("run", name=variant.name, units=1)["seconds"] for _ in range(2))
    if pace < 2 * OUTCLASSED * fastest:
        pace = worker.ask("run", name=variant.name, units=3)["seconds"] / 3
    return Contender(variant, worker, reply["params"], reply["seconds"] + setup, pace)


def build_all(size: str, pool: common.Pool, args: argparse.Namespace) -> list[Contender]:
    """All chosen variants at most OUTCLASSED times slower than the fastest; the others are named."""
    built: dict[str, Contender] = {}
    for variant in common.chosen(variants(size, common.corpus(args)), args):
        fastest = min((contender.pace for contender in built.values()), default=math.inf)
        eager = built.get(variant.name.replace("compiled", "eager"))
        if eager and eager.pace > OUTCLASSED * fastest:
            common.emit(args, size=size, variant=variant.name, skipped="its eager form is outclassed")
            continue
        try:
            built[variant.name] = build(variant, pool, fastest)
        except common.WorkerError as error:
            common.emit(args, size=size, variant=variant.name, error=str(error))
    fastest = min((contender.pace for contender in built.values()), default=math.inf)
    for contender in built.values():
        if contender.pace > OUTCLASSED * fastest:
            said = {"skipped": "outclassed", "step_s": contender.pace}
            common.emit(args, size=size, variant=contender.variant.name, **said)
    return [contender for contender in built.values() if contender.pace <= OUTCLASSED * fastest]


def measure(size: str, args: argparse.Namespace) -> None:
    with common.Pool(args) as pool:
        contenders = build_all(size, pool, args)
        units = {c.variant.name: functools.partial(c.timed, args.unit) for c in contenders}
        seconds = common.interleave(units, args.rounds)
    for contender in contenders:
        contender.seconds = seconds[contender.variant.name]
    report(size, contenders, args)


def report(size: str, contenders: list[Contender], args: argparse.Namespace) -> None:
    tokens, work = SIZES[size]["batch"] * SIZES[size]["context"], flops_per_token(SIZES[size])
    ranked = sorted(contenders, key=lambda c: statistics.median(c.seconds))
    best = next((c for c in ranked if c.variant.peer != "polyhead"), None)
    rows = []
    for contender in ranked:
        step = statistics.median(contender.seconds)
        row: Row = {"size": size, "variant": contender.variant.name, "ms_per_step": step * 1e3}
        row |= {"tokens_per_s": tokens / step, "GFLOPs": work * tokens / step / 1e9}
        row |= {
            "params": contender.params,
            "setup_s": contender.setup,
            "spread": common.spread(contender.seconds),
        }
        row["of_best_peer"] = common.speedup(contender.seconds, best.seconds) if best else None
        rows.append(common.emit(args, bench="train_step", **row))
    common.table(f"{size}: training step (reach: polyhead's best >= {REACH[size]} of the best peer)", rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--size", choices=["S", "M", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--unit", type=float, default=1.0, help="seconds that a timed unit should take")
    args = parser.parse_args()
    common.machine(args)
    for size in ("S", "M") if args.size == "all" else (args.size,):
        measure(size, args)


if __name__ == "__main__":
    main()
