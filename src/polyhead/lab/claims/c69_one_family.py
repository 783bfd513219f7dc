"""C69: GPT, LLaMA, Mistral, Falcon and DeepSeek: one block, and what each sets otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from polyhead.families import preset
from polyhead.nn import ModelSpec, Transformer
from polyhead.nn.pattern import causal_only

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = {  # parameters of the published checkpoint; of GPT-3, of the sizes that its paper's table 2.1 gives
    "gpt2": 124_439_808, "gpt3": 174_604_259_328, "llama-7b": 6_738_415_616, "llama-2-70b": 68_976_648_192, "llama-3-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096, "mixtral-8x7b": 46_702_792_704, "falcon-7b": 6_921_720_704, "falcon-40b": 41_303_293_952,
    "deepseek-llm-7b": 6_910_365_696, "deepseek-llm-67b": 67_425_001_472, "deepseek-v2": 235_741_434_880, "deepseek-v3": 671_026_404_352,
}  # fmt: skip
SECRET = ("GPT-4",)  # named with them, its architecture unpublished
VALUES = {
    "norm": ("layer", "rms"), "feed-forward": ("plain", "gated", "experts"), "activation": ("gelu", "silu"), "position": ("learned", "rotary"),
    "keys and values": ("per head", "grouped", "one", "latent"), "pattern": ("causal", "window"), "sublayers": ("in turn", "side by side"), "biases": ("yes", "no"),
}  # fmt: skip
CACHE = 2  # bytes of a number in the cache


def choices(spec: ModelSpec) -> dict[str, str]:
    """What the model's last kind of layer sets on each axis, in the words of VALUES."""
    stack = spec.top
    block = stack.blocks[stack.layout[-1]]
    attention, heads = block.attention, block.attention.heads
    kv = "latent" if heads.kind == "latent" else "per head" if heads.kv == heads.heads else "one" if heads.kv == 1 else "grouped"
    relative = attention.position.kind
    bias = getattr(heads, "bias", "")
    return {
        "norm": block.norm.kind, "feed-forward": block.ffn.kind, "activation": str(block.ffn.act).removesuffix("_tanh"),
        "position": stack.embedding.position.kind if relative == "none" else relative, "keys and values": kv, "pattern": attention.pattern.kind,
        "sublayers": "in turn" if block.residual.parallel == "no" else "side by side", "biases": "yes" if bias else "no",
    }  # fmt: skip


def measure(trial: Trial) -> Numbers:
    """trial.arm: a preset, or a name whose architecture is not published. Tensors without storage."""
    if trial.arm in SECRET:
        return {"published": 0, "decoder": 0, "off": 0, "parameters": 0, "cache": 0.0, "choices": [-1] * len(VALUES)}
    spec = preset(trial.arm)
    with torch.device("meta"):
        model = Transformer(spec)
    parameters = sum(p.numel() for p in model.parameters())
    blocks = spec.top.blocks.values()
    lone = spec.encoder is None and all(block.cross is None and causal_only(block.attention.pattern) for block in blocks)
    numbers = sum(n * width for i in model.top.order for n, width in model.top.layers[i].attention.heads.shapes())
    found = choices(spec)
    return {
        "published": 1, "decoder": int(lone), "off": parameters - PUBLISHED[trial.arm], "parameters": parameters, "cache": numbers * CACHE / 1024,
        "choices": [values.index(found[axis]) for axis, values in VALUES.items()],
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    shown = [arm for arm in table.arms if table.mean(arm, "published") == 1]
    hidden = [arm for arm in table.arms if arm not in shown]
    others = [arm for arm in shown if table.mean(arm, "decoder") < 1]
    exact = sum(table.mean(arm, "off") == 0 for arm in shown)
    cache = {arm: table.mean(arm, "cache") for arm in shown}
    rows = {tuple(table.curve(arm, "choices")) for arm in shown}
    most, least = max(cache, key=lambda arm: cache[arm]), min(cache, key=lambda arm: cache[arm])
    told = (
        f"{len(shown) - len(others)} of {len(shown)} published models are causal decoders of one block, {exact} with exactly the published number of parameters; they make {len(rows)} different choices on {len(VALUES)} axes, "
        f"and keep {cache[least]:.0f} ({least}) to {cache[most]:.0f} KiB ({most}) per token."
    )
    if not shown or exact < len(shown):
        return Ruling(Verdict.OPEN, f"Not all models are built as published. {told}")
    if others:
        return Ruling(Verdict.WRONG, f"{', '.join(others)} is no decoder alone. {told}")
    if hidden:
        return Ruling(Verdict.CONDITION, f"{told} Of {', '.join(hidden)} the architecture is not published: 1 of {len(table.arms)} names is a guess.")
    return Ruling(Verdict.HOLDS, told)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(2, width=13.0, height=5.6)
    shown, axes = [arm for arm in table.arms if table.mean(arm, "published") == 1], list(VALUES)
    codes = [table.curve(arm, "choices") for arm in shown]
    left.imshow([[code / 3 for code in row] for row in codes], cmap=style.shades(False), vmin=0, vmax=2.4, aspect="auto")
    for row, values in enumerate(codes):
        for column, value in enumerate(values):
            left.text(column, row, VALUES[axes[column]][int(value)], ha="center", va="center", fontsize=7.5, color=style.INK())
    left.set_xticks(range(len(axes)), [name.replace(" and ", "\nand ") for name in axes], fontsize=8)
    left.set_yticks(range(len(shown)), shown)
    left.grid(visible=False)
    left.set_title("What each sets (shaded: other than GPT-2)")
    cache = [table.mean(arm, "cache") for arm in shown]
    right.barh(range(len(shown)), cache, color=style.colour(0), alpha=0.75)
    for row, kib in enumerate(cache):
        right.annotate(f"{kib:,.0f}", (kib, row), (4, 0), textcoords="offset points", va="center", fontsize=8.5, color=style.INK())
    right.set(xscale="log", xlabel="KiB of cache per token, 16 bits a number", xlim=(min(cache) / 1.6, max(cache) * 2.4), ylim=(len(shown) - 0.5, -0.5))
    right.set_yticks(range(len(shown)), [])
    right.grid(axis="y", visible=False)
    right.set_title("What a token costs when writing")
    return fig


CLAIM = Claim(
    id="C69",
    title="Are GPT, LLaMA, Mistral, Falcon and DeepSeek one family?",
    topic="families",
    kind="counting",
    statement="GPT-2, GPT-3, GPT-4, LLaMA, Mistral, Falcon and DeepSeek are decoder-only models.",
    notes=("004:347", "004:348"),
    literature=(
        "GPT-3: Brown et al. 2020 (arXiv 2005.14165); LLaMA: Touvron et al. 2023 (arXiv 2302.13971); Mistral: Jiang et al. 2023 (arXiv 2310.06825); Falcon: Almazrouei et al. 2023 (arXiv 2311.16867); DeepSeek-V2: 2024 "
        "(arXiv 2405.04434), whose cache that is 93.3 % smaller than DeepSeek 67B's is 82 % by latent attention and the rest by fewer bits a number. The report on GPT-4 (OpenAI 2023, arXiv 2303.08774) gives \"no further details about "
        "the architecture\"."
    ),
    method=(
        "Each model is built from its specification without storage: does it have a causal decoder and nothing else, how many parameters against the published ones, what does its last kind of layer set on eight axes, and how many bytes "
        "does one token leave in the cache, at two bytes a number, the window not counted."
    ),
    decides=(
        "Not decided if a model's parameters are not exactly as published. Wrong if a published one is no causal decoder alone; with a condition if all are and some of those named have no published architecture; else it holds."
    ),
    expected=Verdict.CONDITION,
    arms={name: name for name in (*PUBLISHED, *SECRET)},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"published": "1: yes", "decoder": "1: a causal decoder alone", "off": "parameters", "parameters": "parameters", "cache": "KiB per token"},
    limits="Counts and choices, not quality: which of the choices lowers the loss is not measured here.",
)  # fmt: skip
