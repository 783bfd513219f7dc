"""The planner beside reality on this machine: `python -m benchmarks.plan` for time, `python -m benchmarks.plan memory` for peaks of memory.

One thread; times are the processor's own (other programs' share left out), the machine's rates being measured in the same way just
before and just after each model: both plans are printed. Prints JSON lines and a table.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from polyhead.families import preset
from polyhead.nn import Batch, ModelSpec, Tokens
from polyhead.plan import measure, timing, writing
from polyhead.plan.device import Device
from polyhead.train import Trainer, TrainingConfig

TRAINED = {"gpt-nano": ("gpt-nano", 8, 256), "gpt-mini": ("gpt-mini", 2, 256), "llama-nano": ("llama-nano", 8, 256)}
WRITTEN = {"gpt-mini, 1 row": ("gpt-mini", 1, 128), "gpt2, 1 row": ("gpt2", 1, 256), "gpt2, 8 rows": ("gpt2", 8, 256)}


def trained(spec: ModelSpec, rows: int, tokens: int) -> float:
    """Seconds of the fastest of a few steps."""
    trainer = Trainer(spec.build(0), TrainingConfig(batch=rows, precision="fp32"), seed=0)
    ids = torch.randint(0, spec.vocab or 2, (rows, tokens))
    batch = Batch(Tokens(ids), ids, torch.ones(rows, tokens))
    return measure.best(lambda: trainer.step([batch], 0), 3, 2.0)


def row(name: str, before: Device, after: Device, planned: list[float], real: float) -> None:
    line = {"name": name, "planned_before": planned[0], "planned_after": planned[1], "measured": real, "off": sum(planned) / 2 / real - 1}
    print(json.dumps(line), flush=True)
    print(f"  {name:<28} planned {planned[0] * 1e3:9.1f} / {planned[1] * 1e3:9.1f} ms  measured {real * 1e3:9.1f} ms  {line['off']:+.0%}", flush=True)


def times() -> None:
    torch.set_num_threads(1)
    before = measure.measure()
    for name, (base, rows, tokens) in TRAINED.items():
        spec = preset(base)
        real, after = trained(spec, rows, tokens), measure.measure()
        config = TrainingConfig(batch=rows, precision="fp32")
        row(f"train {name}", before, after, [timing.training(spec, config, tokens, on).seconds for on in (before, after)], real)
        before = after
    for name, (base, rows, tokens) in WRITTEN.items():
        spec = preset(base)
        real, after = measure.best(measure.writer(spec, rows, tokens), 16, 2.0), measure.measure()
        row(f"write {name}", before, after, [writing.decode(spec, on, "fp32", rows, tokens).seconds for on in (before, after)], real)
        before = after


def memory() -> None:
    from tests.plan.peaks import CASES, in_child

    for name in CASES:
        start, found = time.time(), in_child(name)
        off = found["planned"] / found["measured"] - 1
        print(json.dumps({"name": name, "off": off, "seconds": time.time() - start} | found), flush=True)
        print(f"  {name:<24} planned {found['planned'] / 2**20:8.0f} MiB  measured {found['measured'] / 2**20:8.0f} MiB  {off:+.1%}", flush=True)


if __name__ == "__main__":
    memory() if sys.argv[1:] == ["memory"] else times()
