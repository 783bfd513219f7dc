"""C48: are standard Transformers limited to about 4096 tokens?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from polyhead.families import preset
from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VOCAB, WIDTH, LAST, BYTES = 64, 32, 64, 4
LENGTHS, LONGEST = (512, 1024, 2048, 4096), 16384
RELEASED = {  # the year of each model's paper or release; the context is the preset's
    "bert-base": 2018, "gpt2": 2019, "gpt3": 2020, "longformer-base-4096": 2020, "opt-175b": 2022, "llama-7b": 2023,
    "llama-2-7b": 2023, "mistral-7b": 2023, "llama-3-8b": 2024, "llama-3.1-8b": 2024, "qwen2.5-7b": 2024, "gemma-3-4b": 2025,
}  # fmt: skip


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made, in numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else (out,):
            if isinstance(one, Tensor):
                self.numbers = max(self.numbers, one.numel())
        return out


def build(seed: int) -> Transformer:
    changes = {"decoder.blocks.layer.attention.position": {"kind": "rotary"}}
    return small(VOCAB, width=WIDTH, layers=1, heads=1, context=LONGEST, changes=changes).build(seed)


def largest(model: Transformer, length: int, backend: Any) -> int:
    """Bytes of the largest tensor of a forward pass."""
    with Largest() as seen:
        model.use(backend=backend)(Tokens(ids=torch.arange(length).unsqueeze(0) % VOCAB))
    return seen.numbers * BYTES


def far_error(model: Transformer, length: int, generator: torch.Generator) -> float:
    """The last logits of a whole tiled pass against those of plain products: all but the LAST tokens go into a cache, the last
    look at it with every score written out. Largest difference over the logits' deviation."""
    ids = torch.randint(VOCAB, (1, length), generator=generator)
    tiled = model.use(backend="sdpa")(Tokens(ids=ids))[:, -LAST:]
    cache = model.new_cache(1, length)
    model(Tokens(ids=ids[:, :-LAST]), cache=cache)
    plain = model.use(backend="reference")(Tokens(ids=ids[:, -LAST:]), cache=cache)
    return float((tiled - plain).abs().max() / plain.std())


@torch.no_grad()
def measure(trial: Trial) -> Numbers:
    model, generator = build(trial.seed), torch.Generator().manual_seed(trial.seed)
    lengths, longest = (LENGTHS[:2], 2048) if trial.mode == "smoke" else (LENGTHS, LONGEST)
    dense, tiled = ([largest(model, n, backend) for n in lengths] for backend in ("reference", "sdpa"))
    return {
        "length": list(lengths), "dense_bytes": dense, "tiled_bytes": tiled, "dense_slope": slope(lengths, dense),
        "tiled_slope": slope(lengths, tiled), "longest": longest, "error": far_error(model, longest, generator),
        "contexts": [preset(name).context for name in RELEASED], "years": list(RELEASED.values()),
    }  # fmt: skip


def slope(x: Any, y: Any) -> float:
    return (math.log(y[-1]) - math.log(y[0])) / (math.log(x[-1]) - math.log(x[0]))


def rule(table: Table) -> Ruling:
    (arm,) = table.arms
    error, reached = table.interval(arm, "error"), table.mean(arm, "longest")
    dense, tiled = table.mean(arm, "dense_slope"), table.mean(arm, "tiled_slope")
    longer = [int(c) for c in table.curve(arm, "contexts") if c > 4096]
    words = (
        f"{len(longer)} of {len(RELEASED)} published models read more than 4096 tokens, up to {max(longer, default=0)}. Attention over {reached:.0f} tokens is computed "
        f"here to {error.mean:.0e} of the logits' deviation with tensors that grow as n^{tiled:.1f}; with all scores written out they grow as n^{dense:.1f}."
    )
    if dense < 1.7:
        return Ruling(Verdict.OPEN, words)
    if error.high < 1e-3 and tiled < 1.2 and reached > 4096 and longer:
        return Ruling(Verdict.WRONG, words)
    return Ruling(Verdict.CONDITION if longer else Verdict.HOLDS, words)


def draw(table: Table) -> Figure:
    (arm,) = table.arms
    fig, axes = style.figure(columns=2)
    left, right = axes
    contexts, years = table.curve(arm, "contexts"), table.curve(arm, "years")
    left.scatter(years, contexts, s=26, color=style.colour(0))
    shown = {"bert-base": (6, -3), "gpt2": (6, -3), "gpt3": (6, -9), "longformer-base-4096": (-20, 7), "llama-2-7b": (6, -10),
             "mistral-7b": (-12, 7), "llama-3-8b": (6, -3), "llama-3.1-8b": (-60, 4)}  # fmt: skip
    for name, context, year in zip(RELEASED, contexts, years, strict=True):
        if name in shown:
            left.annotate(name, (year, context), shown[name], textcoords="offset points", fontsize=8, color=style.INK())
    left.set_yscale("log", base=2)
    left.set_xlim(2017.5, 2025.9)
    left.set_xticks(range(2018, 2026))
    style.reference(left, 4096, "4096")
    left.set_xlabel("year")
    left.set_ylabel("context (tokens)")
    x = table.curve(arm, "length")
    for index, (name, label) in enumerate({"dense_bytes": "all scores written out", "tiled_bytes": "tile by tile"}.items()):
        right.plot(x, table.curve(arm, name) / 2**20, marker="o", color=style.colour(index), label=label)
    right.set_xscale("log", base=2)
    right.set_yscale("log", base=2)
    right.set_xlabel("tokens")
    right.set_ylabel("largest tensor of a layer (MiB)")
    style.legend(right)
    return fig


CLAIM = Claim(
    id="C48",
    title="Are standard Transformers limited to about 4096 tokens?",
    topic="efficiency",
    kind="counting",
    statement="The N×N matrix of self-attention limits standard Transformers to sequences of about 4096 tokens.",
    notes=("002 Q1",),
    literature="Exact attention needs no N×N matrix in memory: Rabe & Staats 2021 (arXiv 2112.05682), FlashAttention (Dao et al. 2022, arXiv 2205.14135). Contexts "
    "grew from 512 (BERT, 2018) to 131 072 (Llama 3.1, arXiv 2407.21783) with the same attention.",
    method="A causal decoder (one layer, one head, width 32, rotary) reads 512 … 4096 tokens with all scores written out and with torch's tiled kernel; the largest "
    "tensor any operation makes is recorded. At 16 384 tokens the last logits of the tiled pass are compared with plain products over a cache. "
    "Contexts of published models are those of the presets.",
    decides="Wrong if the tiled pass at 16 384 tokens is exact (1e-3 of the logits' deviation), its tensors grow no faster than n^1.2, and published models read more "
    "than 4096 tokens; with a condition if only the last; else holds. Not decided if the plain pass does not show n² (slope below 1.7).",
    expected=Verdict.WRONG,
    arms={"one layer": "one layer"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"dense_bytes": "bytes", "tiled_bytes": "bytes", "length": "tokens", "contexts": "tokens", "error": "deviations of the logits"},
    limits="Time still grows as n², and a model answers well only at distances it has seen in training; the memory is no limit.",
)
