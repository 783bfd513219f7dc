"""C09: what a key–value cache saves per step, counted and timed, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from polyhead.families.presets import preset
from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.counting import flops, milliseconds, slope
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.nn import Tokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, LAYERS, VOCAB = 128, 4, 256
LENGTHS = (32, 64, 128, 256, 512, 1024)
PUBLISHED = {"LLaMA-2-7B": "llama-2-7b", "Mistral-7B": "mistral-7b", "LLaMA-2-70B": "llama-2-70b", "DeepSeek-V2": "deepseek-v2"}


def numbers_per_token(name: str) -> int:
    """What one token leaves in the cache of a published model, all layers."""
    stack = preset(name).top
    with torch.device("meta"):
        shapes = [stack.blocks[stack.kind(i)].attention.heads.build(stack.width).shapes() for i in range(stack.layers)]
    return sum(n * d for layer in shapes for n, d in layer)


def measure(trial: Trial) -> Numbers:
    """trial.arm: with a cache? One step means: the logits of token t, when t − 1 have been read."""
    lengths = LENGTHS if trial.mode != "smoke" else LENGTHS[:2]
    model = small(VOCAB, width=WIDTH, layers=LAYERS, context=LENGTHS[-1]).build(trial.seed).eval()
    generator = torch.Generator().manual_seed(trial.seed)
    ids = torch.randint(VOCAB, (1, LENGTHS[-1]), generator=generator)
    found: dict[str, list[float]] = {"ms": [], "flops": [], "cache_bytes": []}
    apart = 0.0
    with torch.no_grad():
        for t in lengths:
            cache = model.new_cache(1, t)
            model(Tokens(ids[:, : t - 1]), cache=cache)

            def cached(t: int = t, cache=cache):  # type: ignore[no-untyped-def]
                cache.truncate(t - 1)
                return model.logits(model.hidden(Tokens(ids[:, t - 1 : t]), cache=cache)[0])

            def whole(t: int = t):  # type: ignore[no-untyped-def]
                return model.logits(model.hidden(Tokens(ids[:, :t]))[0][:, -1:])

            step = cached if trial.arm else whole
            apart = max(apart, float((cached() - whole()).abs().max()))
            found["ms"].append(milliseconds(step, repeat=trial.pick(7, 15)))
            model.use(backend="reference")  # fused attention is not counted
            found["flops"].append(float(flops(step)))
            model.use(backend="auto")
            found["cache_bytes"].append(float(2 * LAYERS * WIDTH * 4 * t if trial.arm else 0))
    published = {f"numbers_per_token {label}": numbers_per_token(name) for label, name in PUBLISHED.items()}
    return {**found, "flops_slope": slope(lengths, found["flops"]), "largest_difference": apart, **published}


def rule(table: Table) -> Ruling:
    bare, kept = table.interval("without", "flops_slope").mean, table.interval("with a cache", "flops_slope").mean
    faster = table.curve("without", "ms") / table.curve("with a cache", "ms")
    fewer = table.curve("without", "flops") / table.curve("with a cache", "flops")
    apart = float(table.values("with a cache", "largest_difference").max())
    ms = table.curve("with a cache", "ms")
    memory = table.mean("with a cache", "numbers_per_token LLaMA-2-7B") * 4096 * 2 / 2**30
    numbers = (
        f"From {LENGTHS[0]} to {LENGTHS[-1]} tokens a step's FLOPs grow like n^{bare:.2f} without and n^{kept:.2f} with a cache (width {WIDTH}); "
        f"its time with a cache goes from {ms[0]:.2g} to {ms[-1]:.2g} ms. At {LENGTHS[-1]} tokens that saves a factor of {fewer[-1]:.0f} in FLOPs "
        f"and {faster[-1]:.0f} in time; logits differ by {apart:.0e}. The price is memory: {memory:.1f} GiB for LLaMA-2-7B at 4096 tokens in 16 bits."
    )
    if apart > 1e-3 or faster[-1] < 2:
        return Ruling(Verdict.WRONG if fewer[-1] > 2 or apart > 1e-3 else Verdict.OPEN, numbers)
    quadratic, linear = bare > 1.8, 0.8 < kept < 1.2
    return Ruling(Verdict.HOLDS if quadratic and linear else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(columns=3)
    for ax, name, label in ((left, "ms", "milliseconds a step"), (middle, "flops", "FLOPs a step")):
        style.lines(ax, table, name, LENGTHS)
        ax.set(xscale="log", yscale="log", xlabel="tokens read", ylabel=label)
        ax.set_xticks(LENGTHS, [str(t) for t in LENGTHS])
        ax.minorticks_off()
    left.set_yticks((5, 10, 20, 50), ("5", "10", "20", "50"))
    style.reference(middle, 6 * WIDTH, "n = 6·width", vertical=True)
    middle.set_ylim(top=1e11)
    left.set_title("Timed here")
    middle.set_title("Counted")
    style.legend(left)
    sizes = [table.mean("with a cache", f"numbers_per_token {label}") * 2 / 1024 for label in PUBLISHED]
    right.barh(range(len(sizes)), sizes, 0.62, color=[style.colour(i) for i in range(len(sizes))], alpha=0.75)
    for place, size in enumerate(sizes):
        right.annotate(f"{size:.0f}", (size, place), (4, 0), textcoords="offset points", va="center", fontsize=8.5, color=style.INK())
    right.set_yticks(range(len(sizes)), list(PUBLISHED))
    right.invert_yaxis()
    right.margins(x=0.18)
    right.set(xlabel="cache, KiB per token in 16 bits", title="The price")
    return fig


CLAIM = Claim(
    id="C09", title="What does a KV cache save?", topic="generation", kind="exact",
    statement="Caching keys and values reduces the cost of a decoding step from O(n²) to O(n) and dramatically accelerates decoding.",
    notes=("001 Q14", "001 Q19"),
    literature=(
        "Shazeer 2019 (arXiv 1911.02150) names what is left: reading the cache at each step, hence one head of keys and values for all "
        "queries; grouped heads (Ainslie et al. 2023, arXiv 2305.13245) and latent ones (DeepSeek-V2, arXiv 2405.04434) shrink it."
    ),
    method=(
        f"One axis, cache or none: a decoder of {LAYERS} layers of width {WIDTH}, one step after 31 to 1023 tokens. FLOPs counted on the "
        "reference backend, processor time of the quickest of 7 or more, logits compared. Cache sizes of published models are counted from their specs."
    ),
    decides=(
        "Wrong if logits differ by more than 1e-3, or at 1024 tokens time falls by less than half. Holds if FLOPs over 32 … 1024 tokens grow "
        "with an exponent above 1.8 without, and between 0.8 and 1.2 with a cache; else with a condition."
    ),
    expected=Verdict.CONDITION,
    arms={"without": False, "with a cache": True},
    measure=measure, rule=rule, draw=draw,
    units={"ms": "ms", "flops": "FLOPs", "cache_bytes": "bytes"},
    alone=True,
    limits="A small model on one core: where the linear term shows depends on width (n ≫ 6·width) and, in time, on the machine's bandwidth.",
)  # fmt: skip
