"""A training step's real peak of memory, in a process of its own: `python -m tests.plan.peaks '{"name": …}'` prints bytes above what
the imports took. CASES: what is trained, by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# name → (base, changes of the spec, training, tokens); some 300 MB to 1.5 GB each
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "gpt": ("gpt2", {"layers": 6, "width": 384, "heads": 6}, {"batch": 4}, 256),
    "gpt, plain attention": ("gpt2", {"layers": 4, "width": 256, "heads": 8}, {"batch": 2}, 1024),
    "gpt, recomputed": ("gpt2", {"layers": 12, "width": 512, "heads": 8}, {"batch": 4, "checkpointing": True}, 256),
    "gpt, Muon": ("gpt2", {"layers": 8, "width": 512, "heads": 8}, {"batch": 2, "optimizer": {"kind": "muon"}}, 256),
    "gpt, accumulated": ("gpt2", {"layers": 6, "width": 384, "heads": 6}, {"batch": 8, "accumulate": 4}, 256),
    "gpt, averaged": ("gpt2", {"layers": 6, "width": 384, "heads": 6}, {"batch": 2, "ema": 0.99}, 256),
    "gpt, LoRA": ("gpt2", {"layers": 12, "width": 512, "heads": 8}, {"batch": 4, "trained": {"kind": "lora"}}, 256),
    "llama": ("llama-3-8b", {"layers": 6, "width": 512, "heads": 8, "kv_heads": 2, "inner": 1376, "vocab": 32000}, {"batch": 2}, 1024),
    "long vocabulary": ("llama-3-8b", {"layers": 2, "width": 128, "heads": 4, "kv_heads": 4, "inner": 384, "vocab": 262144}, {"batch": 4}, 256),
    "windows": ("gemma-3-270m", {"layers": 6, "width": 256, "heads": 4, "kv_heads": 1, "head_dim": 64, "inner": 768, "vocab": 16384}, {"batch": 1}, 4096),
    "experts": ("mixtral-8x7b", {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": {"inner": 640}, "vocab": 16384}, {"batch": 4}, 256),
    "encoder–decoder": ("t5-small", {}, {"batch": 4}, 192),
    "encoder": ("bert-base", {"layers": 6, "width": 384, "heads": 6}, {"batch": 8, "objective": "masked"}, 256),
}  # fmt: skip


def spec_of(base: str, changes: dict[str, Any]) -> Any:
    """A preset at another size."""
    from polyhead.families import preset
    from polyhead.nn import ModelSpec

    tree = preset(base).model_dump(mode="json")
    changes = dict(changes)
    for place in ("encoder", "decoder"):
        if (stack := tree.get(place)) is None:
            continue
        stack.update({key: changes[key] for key in ("layers", "width") if key in changes})
        if "vocab" in changes:
            stack["embedding"]["vocab"] = changes["vocab"]
        if stack["embedding"]["scale"] != 1.0:
            stack["embedding"]["scale"] = stack["width"] ** 0.5
        for block in stack["blocks"].values():
            block["attention"]["heads"].update({k: changes[k] for k in ("heads", "kv_heads", "head_dim") if k in changes})
            if "inner" in changes:
                block["ffn"].update(inner=changes["inner"], ratio=None)
            block["ffn"].update(changes.get("ffn", {}))
        if block["ffn"]["kind"] == "plain" and "width" in changes:
            block["ffn"].update(inner=None, ratio=4)
    for head in tree["heads"].values():
        if "vocab" in changes:
            head["output"] = changes["vocab"]
        if head["dense"] and "width" in changes:
            head["dense"] = changes["width"]
    return ModelSpec.model_validate(tree)


def resident(what: str) -> int:
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows[what].split()[0]) * 1024


def measure(name: str) -> dict[str, int]:
    """In this process: the planned and the measured peak of three steps."""
    import torch

    from polyhead.nn import Batch, Tokens
    from polyhead.train import Trainer, TrainingConfig
    from polyhead.train.memory import step_memory
    from polyhead.train.trained import apply

    torch.set_num_threads(1)
    base, changes, training, tokens = CASES[name]
    spec, config = spec_of(base, changes), TrainingConfig(**({"precision": "fp32"} | training))
    spec = config.objective.spec(spec, {}) if spec.encoder is not None and spec.decoder is None else spec
    before = resident("VmRSS")
    net = spec.build(0)
    apply(config.trained, net)
    trainer = Trainer(net, config, seed=0)
    rows, drawn = config.batch // config.accumulate, torch.Generator().manual_seed(0)

    def batch() -> Batch:
        ids = torch.randint(0, spec.vocab or 2, (rows, tokens), generator=drawn)
        weights = torch.ones(rows, tokens) if config.objective.kind != "masked" else (torch.rand(rows, tokens, generator=drawn) < 0.15).float()
        return Batch(Tokens(ids), ids.clone(), weights, Tokens(ids.clone()) if spec.encoder and spec.decoder else None)

    for step in range(2):
        trainer.step([batch() for _ in range(config.accumulate)], step)
    peak = resident("VmHWM") - before
    plan = step_memory(spec, config, tokens)
    return {"measured": peak, "planned": plan.total, **{f"part {k}": v for k, v in plan.peak.items()}}


def in_child(name: str) -> dict[str, int]:
    done = subprocess.run([sys.executable, "-m", "tests.plan.peaks", name], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    import polyhead.train  # noqa: F401 -- the baseline is the program with everything imported

    print(json.dumps(measure(sys.argv[1])))
