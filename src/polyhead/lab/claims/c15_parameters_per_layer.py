"""C15: does a Transformer layer have 12·d² parameters?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from polyhead.families import preset
from polyhead.nn import BlockSpec, GroupedSpec, PlainSpec, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = {  # parameters of the checkpoint, as its makers' files have them
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "gpt3": 174_604_259_328,
    "opt-125m": 125_239_296,
    "opt-6.7b": 6_658_473_984,
    "bloom-7b1": 7_069_016_064,
    "bloom": 176_247_271_424,
    "pythia-70m": 70_426_624,
    "pythia-1b": 1_011_781_632,
    "gpt-neox-20b": 20_554_567_680,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "roberta-base": 124_645_632,
    "distilbert-base": 66_362_880,
    "albert-base-v2": 11_683_584,
    "albert-xxlarge-v2": 222_595_584,
    "electra-small": 13_483_008,
    "falcon-7b": 6_921_720_704,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096,
    "qwen2.5-7b": 7_615_616_512,
    "gemma-7b": 8_537_680_896,
    "mixtral-8x7b": 46_702_792_704,
    "t5-small": 60_506_624,
    "bart-base": 139_470_681,
}


def textbook(block: BlockSpec, width: int) -> bool:
    """What 4d² + 8d² assumes: as many key heads as query heads, together as wide as the model; a plain feed-forward 4
    times as wide; no cross-attention."""
    heads, ffn = block.attention.heads, block.ffn
    attention = isinstance(heads, GroupedSpec) and heads.kv == heads.heads and heads.heads * heads.dim(width) == width
    return attention and isinstance(ffn, PlainSpec) and ffn.params(width) // width // 8 == width and block.cross is None


def measure(trial: Trial) -> Numbers:
    """The numbers of the tensors of the built model, on torch's device without storage."""
    spec = preset(trial.arm)
    with torch.device("meta"):
        model = Transformer(spec)
    stack, width = model.top, spec.top.width
    block = stack.layers[-1]
    parts = {
        "attention": block.attention, "cross_attention": block.cross, "feed_forward": block.ffn,
    }  # fmt: skip
    numbers = {name: 0 if part is None else sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    layer = sum(p.numel() for p in block.parameters())
    layers = sum(sum(p.numel() for p in one.parameters()) for each in (model.encoder, model.decoder) if each for one in each.layers)
    total = sum(p.numel() for p in model.parameters())
    square = 12 * width**2
    return {
        **{f"{name}_share": n / square for name, n in numbers.items()},
        "width": width, "layer": layer, "ratio": layer / square, "layers_share": layers / total,
        "thumb_share": sum(12 * s.width**2 * len(s.owners()) for s in spec.stacks.values()) / total,
        "total": total, "published": PUBLISHED[trial.arm],
        "textbook": int(textbook(spec.top.blocks[spec.top.kind(spec.top.layers - 1)], width)),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    off = [arm for arm in table.arms if table.mean(arm, "total") != table.mean(arm, "published")]
    if off:
        return Ruling(Verdict.OPEN, f"The count misses published totals, so it proves nothing: {', '.join(off)}.")
    ratio = {arm: table.mean(arm, "ratio") for arm in table.arms}
    plain = {arm: r for arm, r in ratio.items() if table.mean(arm, "textbook")}
    rest = {arm: r for arm, r in ratio.items() if arm not in plain}
    worst = max(abs(r - 1) for r in plain.values()) if plain else 1.0
    words = f"Of {len(ratio)} models, all counted to the last parameter, {len(plain)} have the layer that 12·d² assumes, within {worst:.1%}"
    if rest:
        least, most = min(rest, key=rest.__getitem__), max(rest, key=rest.__getitem__)
        words += f"; the others run from {12 * rest[least]:.1f}·d² ({least}) to {12 * rest[most]:.1f}·d² ({most})"
    far = [arm for arm, r in rest.items() if abs(r - 1) > 0.05]
    if worst > 0.05:
        return Ruling(Verdict.WRONG, words + ".")
    return Ruling(Verdict.CONDITION if far else Verdict.HOLDS, words + ".")


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    arms = sorted(table.arms, key=lambda arm: table.mean(arm, "ratio"))
    parts = {"attention_share": "attention", "cross_attention_share": "cross-attention", "feed_forward_share": "feed-forward"}
    left, below = axes[0], np.zeros(len(arms))
    for index, (name, label) in enumerate(parts.items()):
        size = np.array([12 * table.mean(arm, name) for arm in arms])
        left.barh(range(len(arms)), size, left=below, color=style.colour(index), label=label)
        below += size
    style.reference(left, 12, vertical=True)
    left.set_title("The last layer; 12·d² dashed")
    left.set_xlabel("parameters of a layer / d²")
    left.set_xscale("symlog", linthresh=16)
    left.set_xticks([0, 4, 8, 12, 16, 32, 64], ["0", "4", "8", "12", "16", "32", "64"])
    left.set_yticks(range(len(arms)), arms, fontsize=7.5)
    left.grid(axis="y", visible=False)
    style.legend(left, loc="lower right")
    right = axes[1]
    for arm in arms:
        plain = bool(table.mean(arm, "textbook"))
        right.scatter(table.mean(arm, "total"), 100 * table.mean(arm, "thumb_share"), s=22, color=style.colour(0 if plain else 3))
    for arm in ("gpt2", "gpt3", "mixtral-8x7b", "pythia-70m", "gemma-7b", "falcon-7b"):
        place = (table.mean(arm, "total"), 100 * table.mean(arm, "thumb_share"))
        right.annotate(arm, place, (5, 4), textcoords="offset points", fontsize=8, color=style.INK())
    right.set_xscale("log")
    right.set_xlabel("parameters of the model")
    right.set_ylabel("12·L·d² / all parameters (%)")
    right.set_title("The whole model")
    right.set_ylim(0, 130)
    style.reference(right, 100)
    return fig


CLAIM = Claim(
    id="C15",
    title="Does a Transformer layer have 12·d² parameters?",
    topic="scale",
    kind="counting",
    statement="Attention has 4·d² parameters, the feed-forward network 8·d²: a layer has about 12·d².",
    notes=("002 Q15",),
    literature="Vaswani et al. 2017 (arXiv 1706.03762) §3.2.2 and §3.3: four d×d projections and an inner width of 4d. Kaplan et al. 2020 "
    "(arXiv 2001.08361) §2.1 count N ≈ 12·L·d² without embeddings. With biases and norms GPT-2's layer has 12d² + 13d exactly.",
    method="The last layer of 28 published architectures is built and the numbers in its tensors are counted, next to the whole model's, which "
    "must equal the published total to the last unit. A layer is textbook if it has full multi-head attention, a plain feed-forward of "
    "4d and no cross-attention.",
    decides="Holds if every layer is within 5% of 12·d²; with a condition if the textbook layers are and others are not; wrong if a textbook "
    "layer is not. Not decided if a total misses the published one.",
    expected=Verdict.CONDITION,
    arms={name: name for name in PUBLISHED},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"width": "features", "layer": "parameters", "total": "parameters", "published": "parameters"},
    seeds=(1, 1),
    limits="Published totals are those of the public configurations; ones that are no round textbook shape are the point, not an error.",
)
