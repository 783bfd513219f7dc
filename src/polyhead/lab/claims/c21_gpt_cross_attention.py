"""C21: does GPT have cross-attention?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from polyhead.families import override, preset
from polyhead.nn import AttentionSpec, GroupedSpec, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = {"gpt2": 124_439_808, "gpt3": 174_604_259_328, "llama-7b": 6_738_415_616, "bart-base": 139_470_681, "t5-small": 60_506_624}
GPTS = ("GPT-2", "GPT-3", "LLaMA-7B")
CROSSED = "GPT-2 with cross-attention"


def measure(trial: Trial) -> Numbers:
    """Numbers in the tensors of the built decoder, by part; a module counts as cross-attention by where it is built: its
    queries come from the decoder, its keys from a memory."""
    name, added = trial.arm
    spec = preset(name)
    if added:
        spec = override(spec, {"decoder.blocks.layer.cross": AttentionSpec(heads=GroupedSpec(heads=12, bias="qkvo")).model_dump()})
    with torch.device("meta"):
        model = Transformer(spec)
    assert model.decoder is not None
    parts = {"self_attention": 0, "cross_attention": 0, "feed_forward": 0, "norms": 0}
    for block in model.decoder.layers:
        for part, module in (("self_attention", block.attention), ("cross_attention", block.cross), ("feed_forward", block.ffn)):
            parts[part] += 0 if module is None else sum(p.numel() for p in module.parameters())
        parts["norms"] += sum(p.numel() for p in block.parameters())
    parts["norms"] -= sum(parts[part] for part in ("self_attention", "cross_attention", "feed_forward"))
    total = sum(p.numel() for p in model.parameters())
    return {**parts, "width": spec.top.width, "layers": spec.top.layers, "total": total, "published": PUBLISHED[name]}


def rule(table: Table) -> Ruling:
    cross = {arm: table.mean(arm, "cross_attention") for arm in table.arms}
    missed = {arm: table.mean(arm, "total") - table.mean(arm, "published") for arm in table.arms}
    if cross["BART decoder"] == 0 or cross["T5 decoder"] == 0 or any(missed[arm] for arm in GPTS):
        return Ruling(Verdict.OPEN, f"The count fails its controls: {cross['BART decoder']:.0f} and {cross['T5 decoder']:.0f} "
                      f"parameters of cross-attention in BART and T5, published totals missed by {[int(missed[arm]) for arm in GPTS]}.")  # fmt: skip
    owners = [arm for arm in GPTS if cross[arm] > 0]
    words = (
        f"{', '.join(owners) or 'None of ' + ', '.join(GPTS)} has cross-attention parameters; BART's decoder has "
        f"{cross['BART decoder'] / 1e6:.1f} M. With cross-attention GPT-2 would have {missed[CROSSED] / 1e6:.1f} M parameters more than published."
    )
    if len(owners) == len(GPTS):
        return Ruling(Verdict.HOLDS, words)
    return Ruling(Verdict.CONDITION if owners else Verdict.WRONG, words)


def draw(table: Table) -> Figure:
    """One layer of each decoder as a column of its modules, as high as their parameters."""
    fig, axes = style.figure()
    names = {"self_attention": "masked self-attention", "cross_attention": "cross-attention", "feed_forward": "feed-forward"}
    for place, arm in enumerate(table.arms):
        unit, level = table.mean(arm, "layers") * table.mean(arm, "width") ** 2, 0.0
        for index, (part, label) in enumerate(names.items()):
            size = table.mean(arm, part) / unit
            if size == 0:
                continue
            axes.bar(place, size, 0.7, bottom=level, color=style.colour(index), edgecolor=style.BACK(), linewidth=2,
                     label=label if arm == CROSSED else None)  # fmt: skip
            axes.text(place, level + size / 2, f"{size:.1f}·d²", ha="center", va="center", fontsize=8.5, color=style.BACK())
            level += size
    axes.set_xticks(range(len(table.arms)), [arm.replace(" ", "\n") for arm in table.arms], fontsize=8)
    axes.set_ylim(0, 22)
    style.legend(axes, loc="upper left", ncols=2)
    axes.set_ylabel("parameters of a decoder layer / d²")
    axes.grid(axis="x", visible=False)
    return fig


CLAIM = Claim(
    id="C21",
    title="Does GPT have cross-attention?",
    topic="families",
    kind="counting",
    statement="A decoder has masked self-attention, and cross-attention to the encoder (GPT).",
    notes=("002 Q5", "003 §10", "004:317"),
    literature="GPT keeps the decoder's masked self-attention and drops the rest: there is no encoder (Radford et al. 2018; Radford et al. 2019 "
    "for GPT-2; Liu et al. 2018, arXiv 1801.10198, for the decoder-only form). The decoder of 2017 has cross-attention because it belongs "
    "to an encoder–decoder (Vaswani et al. 2017, arXiv 1706.03762, §3.1).",
    method="Decoders of published models are built and the parameters of their layers counted by module; BART and T5 are the controls that have an "
    "encoder. GPT-2 is built a second time with cross-attention and its total compared with the published 124 439 808.",
    decides="Wrong if no decoder-only model has a cross-attention parameter while both controls have; holds if all have, with a condition if some "
    "have. Not decided if a control has none or a total misses the published one.",
    expected=Verdict.WRONG,
    arms={
        "GPT-2": ("gpt2", False), "GPT-3": ("gpt3", False), "LLaMA-7B": ("llama-7b", False), "BART decoder": ("bart-base", False),
        "T5 decoder": ("t5-small", False), CROSSED: ("gpt2", True),
    },
    measure=measure,
    rule=rule,
    draw=draw,
    units={"total": "parameters", "published": "parameters", "self_attention": "parameters", "cross_attention": "parameters"},
    seeds=(1, 1),
    limits="It counts what was published; a decoder-only model can be given cross-attention, as models that read images are.",
)  # fmt: skip
