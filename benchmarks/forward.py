"""Forward pass, BERT-base 32 x 128 and LLaMA 134M 1 x 512: polyhead beside transformers with sdpa, eager and compiled.

The same folder of random weights is loaded on both sides, as a user does; the answer is the pooled row over the hidden
states (BERT) or the logits of every token (LLaMA), in inference mode, without padding, mask or cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import common
from common import Row, Variant, Worker

LLAMA = {
    "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 12, "num_key_value_heads": 12, "max_position_embeddings": 2048,
}  # fmt: skip
REACH = {"fp32": 1.2, "bf16": 1.1}
ARITHMETIC = {"avx512f", "avx512_bf16", "amx_bf16", "bf16"}  # vectors with which bf16 is more than emulated row by row


@dataclass
class Timing:
    """A variant, its passes per round, and its rounds: seconds of one pass."""

    variant: Variant
    worker: Worker
    units: int
    sample: list[float]
    seconds: list[float] = field(default_factory=list)

    def round(self) -> None:
        self.seconds.append(self.worker.timed(self.variant.name, self.units) / self.units)


def variants(shape: str, dtype: str, folder: Path, args: argparse.Namespace) -> list[Variant]:
    batch, tokens = size(getattr(args, shape))
    spec = {"shape": shape, "dtype": dtype, "folder": str(folder), "batch": batch, "tokens": tokens}
    return [
        Variant("polyhead", dtype, spec),
        Variant("hf", f"sdpa {dtype}", spec | {"compile": False}),
        Variant("hf", f"sdpa compiled {dtype}", spec | {"compile": True}),
    ]


def size(text: str) -> tuple[int, int]:
    """32x128 -> (32, 128)"""
    batch, tokens = text.split("x")
    return int(batch), int(tokens)


def prepare(variant: Variant, pool: common.Pool, args: argparse.Namespace) -> Timing | None:
    """Build a variant and run it until it is warm: once to compile, once to see how many passes a round takes."""
    try:
        worker, _ = pool.build(variant, "forward", key=variant.name)
        reply = worker.ask("run", patience=args.patience, name=variant.name, units=1)
        if reply["seconds"] < args.least or variant.spec.get("compile"):
            reply = worker.ask("run", patience=args.patience, name=variant.name, units=1)
    except common.WorkerError as error:
        common.emit(args, shape=variant.spec["shape"], variant=variant.name, error=str(error))
        return None
    units = max(1, round(args.least / reply["seconds"]))
    return Timing(variant, worker, units, reply["sample"])


def measure(shape: str, dtype: str, folder: Path, args: argparse.Namespace) -> None:
    with common.Pool(args) as pool:
        timings: list[Timing] = []
        for variant in common.chosen(variants(shape, dtype, folder, args), args):
            timing = prepare(variant, pool, args)
            if timing is None and variant.peer == "polyhead":
                return  # nothing to compare with
            timings += [timing] if timing else []
        for _ in range(args.rounds):
            for timing in timings:
                timing.round()
    report(shape, dtype, timings, args)


def report(shape: str, dtype: str, timings: list[Timing], args: argparse.Namespace) -> None:
    labels = {"x_sdpa": f"hf sdpa {dtype}", "x_compiled": f"hf sdpa compiled {dtype}"}
    known, (batch, tokens) = {timing.variant.name: timing for timing in timings}, size(getattr(args, shape))
    rows = []
    for timing in sorted(timings, key=lambda t: statistics.median(t.seconds)):
        seconds = statistics.median(timing.seconds)
        row: Row = {"shape": shape, "size": getattr(args, shape), "variant": timing.variant.name}
        row |= {"ms": seconds * 1e3, "tokens_per_s": batch * tokens / seconds}
        row |= {"spread": common.spread(timing.seconds), "passes": timing.units}
        for key, label in labels.items():
            row[key] = common.speedup(timing.seconds, known[label].seconds) if label in known else None
        reference = known.get(labels["x_sdpa"])
        row["apart"] = common.apart(timing.sample, reference.sample) if reference else None
        rows.append(common.emit(args, bench="forward", **row))
    reach = f"reach: polyhead >= {REACH[dtype]} of the faster hf"
    common.table(f"{shape} {getattr(args, shape)}, {dtype} ({reach})", rows)


def dtypes(asked: str, vectors: list[str], args: argparse.Namespace) -> list[str]:
    """What was asked for; without a wish fp32, and bf16 where the processor is made for it."""
    if asked:
        return asked.split(",")
    if ARITHMETIC & set(vectors):
        return ["fp32", "bf16"]
    common.emit(args, bench="forward", left_out="bf16", why="no bf16 arithmetic here; --dtypes fp32,bf16 runs it")
    return ["fp32"]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--shapes", default="bert,llama")
    parser.add_argument("--dtypes", default="", help="default: fp32, and bf16 where the processor has arithmetic for it")
    parser.add_argument("--bert", default="32x128", help="rows x tokens")
    parser.add_argument("--llama", default="1x512", help="rows x tokens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least", type=float, default=1.0, help="seconds that a round of a variant takes at least")
    parser.add_argument("--patience", type=float, default=180, help="seconds until a slow first run is given up")
    args = parser.parse_args()
    facts = common.machine(args)
    wanted = dtypes(args.dtypes, facts["vectors"], args)
    for shape in args.shapes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            common.random_folder(args, Path(folder), shape=shape, config=LLAMA, dtype="fp32")
            for dtype in wanted:
                measure(shape, dtype, Path(folder), args)


if __name__ == "__main__":
    main()
