"""C19: which costs of attention are quadratic, of necessity, and when they count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from polyhead.families.presets import preset
from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.counting import flops, milliseconds, peak_bytes, slope
from polyhead.lab.readable.tiled import attend_at_once, attend_tiled
from polyhead.lab.table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 128
LENGTHS = (128, 256, 512, 1024, 2048)
MODELS = {"GPT-3": ("gpt3", 2048), "BERT": ("bert-base", 512), "GPT-2": ("gpt2", 1024), "Llama 3.1 8B": ("llama-3.1-8b", 131_072)}


def shares() -> dict[str, float]:
    """Of a forward pass' layers, the share of FLOPs in q·kᵀ and weights·v, at a model's context."""
    found = {}
    for label, (name, tokens) in MODELS.items():
        parts = preset(name).flops(tokens).parts
        layer = {part: sum(n for key, n in parts.items() if key.endswith("." + part)) for part in ("attention", "scores", "feed_forward")}
        found[f"scores_share {label}"] = layer["scores"] / sum(layer.values())
    return found


def measure(trial: Trial) -> Numbers:
    """trial.arm: tiled?"""
    run = attend_tiled if trial.arm else attend_at_once
    lengths, generator = LENGTHS if trial.mode != "smoke" else LENGTHS[:2], torch.Generator().manual_seed(trial.seed)
    names = ("ms", "flops", "peak_bytes", "ffn_ms", "ffn_flops")
    found: dict[str, list[float]] = {name: [] for name in names}
    up, down = torch.randn(4 * WIDTH, WIDTH, generator=generator) / 12, torch.randn(WIDTH, 4 * WIDTH, generator=generator) / 23
    apart = 0.0
    with torch.no_grad():
        for n in lengths:
            q, k, v = torch.randn(3, n, WIDTH, generator=generator)

            def attend(q=q, k=k, v=v):  # type: ignore[no-untyped-def]
                return run(q, k, v)

            def feed(x=q):  # type: ignore[no-untyped-def]
                return F.linear(F.relu(F.linear(x, up)), down)

            apart = max(apart, float((attend() - attend_at_once(q.double(), k.double(), v.double())).abs().max()))
            row = (milliseconds(attend), flops(attend), peak_bytes(attend), milliseconds(feed), flops(feed))
            for name, value in zip(names, row, strict=True):
                found[name].append(float(value))
    exponents = {f"{name}_exponent": slope(lengths, found[name]) for name in ("ms", "flops", "peak_bytes", "ffn_ms")}
    return {**found, **exponents, "largest_difference": apart, **shares()}


def rule(table: Table) -> Ruling:
    dense, tiled = "all scores at once", "tile by tile"
    work, time = table.mean(dense, "flops_exponent"), table.mean(dense, "ms_exponent")
    memory = {arm: table.mean(arm, "peak_bytes_exponent") for arm in (dense, tiled)}
    apart = float(table.values(tiled, "largest_difference").max())
    share = {label: table.mean(dense, f"scores_share {label}") for label in MODELS}
    numbers = (
        f"FLOPs of attention grow like n^{work:.2f} and its time here like n^{time:.2f}. Memory beside the inputs grows like "
        f"n^{memory[dense]:.2f} with all scores at once and n^{memory[tiled]:.2f} tile by tile, with the same result ({apart:.0e}). Of a "
        f"layer's FLOPs scores take {share['BERT']:.0%} in BERT at 512 tokens, {share['GPT-2']:.0%} in GPT-2 at 1024, {share['GPT-3']:.1%} in "
        f"GPT-3 at 2048, {share['Llama 3.1 8B']:.0%} in Llama 3.1 8B at 131 072; half at n = 6·width."
    )
    if not 1.9 < work < 2.1 or memory[dense] < 1.8 or apart > 1e-4:
        return Ruling(Verdict.OPEN, "A control failed. " + numbers)
    if memory[tiled] < 1.2:
        return Ruling(Verdict.WRONG, "Time is quadratic, memory need not be. " + numbers)
    return Ruling(Verdict.HOLDS if min(share.values()) > 0.5 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(columns=3)
    dense, tiled = "all scores at once", "tile by tile"
    for index, arm in enumerate((dense, tiled)):
        style.line(left, LENGTHS, table.values(arm, "peak_bytes") / 2**20, arm, index)
        style.line(middle, LENGTHS, table.values(arm, "ms"), arm, index)
    style.line(middle, LENGTHS, table.values(dense, "ffn_ms"), "feed-forward", 2)
    left.set(ylabel="memory beside the inputs, MiB", title="Memory")
    middle.set(ylabel="milliseconds", title=f"Time, width {WIDTH}")
    for ax in (left, middle):
        ax.set(xscale="log", yscale="log", xlabel="tokens n")
        ax.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
        ax.minorticks_off()
    style.legend(middle)
    ratio = torch.logspace(-1.7, 2, 60).tolist()
    right.plot(ratio, [100 * r / (6 + r) for r in ratio], color=style.MUTED(), linewidth=1.4)
    for index, (label, (name, tokens)) in enumerate(MODELS.items()):
        place, share = tokens / preset(name).top.width, 100 * table.mean(dense, f"scores_share {label}")
        right.plot(place, share, "o", color=style.colour(index))
        look = {"va": "bottom", "ha": "right"} if place < 6 else {"va": "top", "ha": "left"}
        away = (-6, 3) if place < 6 else (5, -5)
        right.annotate(label, (place, share), away, textcoords="offset points", fontsize=8.5, color=style.INK(), **look)
    style.reference(right, 6, "n = 6·width", vertical=True)
    right.set(xscale="log", xlabel="tokens / width", ylabel="scores, % of a layer's FLOPs", title="When it counts", ylim=(0, 100), xlim=(0.02, 1000))
    return fig


CLAIM = Claim(
    id="C19", title="Is attention O(n²d) in time and O(n²) in memory, and is that the bottleneck?", topic="efficiency", kind="exact",
    statement="Self-attention costs O(n²d) compute and O(n²) memory; the quadratic term is the bottleneck.",
    notes=("001 Q13", "002 Q1", "003 §6", "000 §4", "004:138"),
    literature=(
        "Vaswani et al. 2017 (arXiv 1706.03762) table 1: O(n²·d). Rabe & Staats 2021 (arXiv 2112.05682): exact attention in O(log n) memory. "
        "FlashAttention (Dao et al. 2022, arXiv 2205.14135): exact, with memory linear in n. A layer's projections and feed-forward network "
        "cost 24nd², scores and mixing 4n²d: equal at n = 6d."
    ),
    method=(
        f"One axis, how one head of width {WIDTH} is computed: with the whole table of scores, or by tiles of 64 × 64 with a running softmax. "
        "FLOPs, processor time and peak memory beside the inputs for 128 to 2048 tokens; a feed-forward network of the same width beside it. Shares of "
        "published models are counted from their specs."
    ),
    decides=(
        "Decided only if dense FLOPs grow with an exponent within 0.1 of 2, dense memory above 1.8, and both agree within 1e-4. Wrong if the "
        "tiles' memory grows with an exponent below 1.2. Else it holds if scores are more than half of a layer's FLOPs in each of the four "
        "models; with a condition if not."
    ),
    expected=Verdict.WRONG,
    arms={"all scores at once": False, "tile by tile": True},
    measure=measure, rule=rule, draw=draw,
    units={"ms": "ms", "flops": "FLOPs", "peak_bytes": "bytes", "ffn_ms": "ms", "ffn_flops": "FLOPs"},
    alone=True,
    limits="Time of tiles in Python says nothing about a fused kernel; full attention is counted, a causal kernel does half of it.",
)  # fmt: skip
