"""Decoding speed, GPT-2 124M and LLaMA 134M shapes: polyhead beside transformers' `generate` and gpt-fast.

Random weights, greedy (gpt-fast samples), prompt 128, 128 new tokens, batch 1 and 16, same dtype side by
side. A decode step's time is the difference between a run of 128 and a run of 2 new tokens; the read
bandwidth is taken just before each round of a variant; `of_bandwidth` is the share of it that reading the
weights once per step needs.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field

import common
from common import Row, Variant, Worker

# Weights that one step reads: all but the position or input embedding (a row per sequence).
READ = {"gpt2": 124_439_808 - 1024 * 768, "llama": 134_105_856 - 32000 * 768}
BYTES = {"fp32": 4, "bf16": 2}
SHORT = 2


@dataclass
class Timing:
    """A variant and its rounds: seconds of a short and of a full generation, GB/s read just before."""

    variant: Variant
    worker: Worker
    short: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    bandwidth: list[float] = field(default_factory=list)

    def round(self, new: int) -> None:
        self.bandwidth.append(self.worker.ask("bandwidth")["GBps"])
        self.short.append(self.worker.timed(self.variant.name, SHORT))
        self.full.append(self.worker.timed(self.variant.name, new))

    def steps(self, new: int) -> list[float]:
        """Seconds per decode step, round by round."""
        return [(full - short) / (new - SHORT) for full, short in zip(self.full, self.short, strict=True)]


def variants(shape: str, batch: int, args: argparse.Namespace) -> list[Variant]:
    result = []
    for dtype in args.dtypes.split(","):
        spec = {"shape": shape, "batch": batch, "prompt": args.prompt, "new": args.new, "dtype": dtype}
        result.append(Variant("polyhead", dtype, spec))
        result.append(Variant("hf", f"dynamic {dtype}", spec | {"compile": False}))
        result.append(Variant("hf", f"static compiled {dtype}", spec | {"compile": True}))
        if shape == "llama":
            result.append(Variant("gptfast", f"compiled {dtype}", spec))
    return result


def prepare(variant: Variant, pool: common.Pool, args: argparse.Namespace) -> Timing | None:
    """Build a variant and run it twice at both lengths, so that its caches and compiled steps exist."""
    try:
        worker, _ = pool.build(variant, "decode", key=variant.name)
        for units in (args.new, SHORT) * 2:
            worker.ask("run", patience=args.patience, name=variant.name, units=units)
    except common.WorkerError as error:
        where = {key: variant.spec[key] for key in ("shape", "batch")}
        common.emit(args, **where, variant=variant.name, error=str(error))
        return None
    return Timing(variant, worker)


def measure(shape: str, batch: int, args: argparse.Namespace) -> None:
    with common.Pool(args) as pool:
        candidates = common.chosen(variants(shape, batch, args), args)
        timings = [timing for variant in candidates if (timing := prepare(variant, pool, args))]
        for _ in range(args.rounds):
            for timing in timings:
                timing.round(args.new)
    report(shape, batch, timings, args)


def report(shape: str, batch: int, timings: list[Timing], args: argparse.Namespace) -> None:
    rows = []
    for timing in sorted(timings, key=lambda t: statistics.median(t.steps(args.new))):
        step, full = statistics.median(timing.steps(args.new)), statistics.median(timing.full)
        dtype, bandwidth = timing.variant.spec["dtype"], statistics.median(timing.bandwidth)
        read = READ[shape] * BYTES[dtype] / step / 1e9
        prefill = statistics.median(timing.short) - step * (SHORT - 1)
        row: Row = {"shape": shape, "batch": batch, "variant": timing.variant.name}
        row |= {"decode_tokens_per_s": batch / step, "all_tokens_per_s": batch * args.new / full}
        row |= {"ms_per_step": step * 1e3, "prefill_ms": prefill * 1e3, "weights_GBps": read}
        row |= {"bandwidth_GBps": bandwidth, "of_bandwidth": read / bandwidth}
        row |= {"spread": common.spread(timing.full)}
        row |= {f"x_{peer}": ratio(timing, timings, peer, args.new) for peer in ("hf", "gptfast")}
        rows.append(common.emit(args, bench="decode", **row))
    common.table(f"{shape}, batch {batch} (reach: polyhead >= 1.5 of the best hf of the same dtype)", rows)


def ratio(mine: Timing, timings: list[Timing], peer: str, new: int) -> float | None:
    """Decode speed over that of the peer's fastest variant of the same dtype."""
    dtype = mine.variant.spec["dtype"]
    others = [t for t in timings if t.variant.peer == peer and t.variant.spec["dtype"] == dtype]
    if not others:
        return None
    best = min(others, key=lambda t: statistics.median(t.steps(new)))
    return common.speedup(mine.steps(new), best.steps(new))


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--shapes", default="gpt2,llama")
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--dtypes", default="bf16,fp32")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--patience", type=float, default=120, help="seconds until a slow first run is given up"
    )
    args = parser.parse_args()
    common.machine(args)
    for shape in args.shapes.split(","):
        for batch in args.batches.split(","):
            measure(shape, int(batch), args)


if __name__ == "__main__":
    main()
