"""C77: is encoder–decoder attention a broader term than cross-attention?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from polyhead.families import override, preset, with_vocab
from polyhead.nn import At, AttentionSpec, GroupedSpec, ModelSpec, NormalInit, Tokens, Transformer
from polyhead.nn.attend import Lowered
from polyhead.nn.attention import Attention, View

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, SOURCE, TARGET, VOCAB = 32, 9, 6, 24
NAMED = ("Transformer (2017)", "T5", "BART")
ALONE = "decoder without an encoder"


def spec_of(arm: str) -> ModelSpec:
    """A small model of the family, or a decoder with cross-attention whose memory the caller gives."""
    if arm == ALONE:
        cross = AttentionSpec(heads=GroupedSpec(heads=4)).model_dump()
        return small(VOCAB, "decoder", width=WIDTH, changes={"decoder.blocks.layer.cross": cross})
    name = {"Transformer (2017)": "transformer-nano", "T5": "t5-small", "BART": "bart-base"}[arm]
    return with_vocab(override(preset(name), {"encoder.layers": 2, "decoder.layers": 2, "init": NormalInit().model_dump()}), VOCAB)


def unplug(model: Transformer) -> None:
    """Silence every cross-attention: its output matrix becomes 0."""
    assert model.decoder is not None
    for block in model.decoder.layers:
        assert block.cross is not None
        out = block.cross.heads.o
        assert isinstance(out, nn.Linear)
        for p in out.parameters():
            nn.init.zeros_(p)


@torch.no_grad()
def reading(model: Transformer, seed: int) -> float:
    """How much the decoder's states change with what it reads, over the deviation of its states."""
    generator = torch.Generator().manual_seed(seed)
    target = Tokens(ids=torch.randint(VOCAB, (2, TARGET), generator=generator))
    assert model.decoder is not None
    states = []
    for _ in range(2):
        if model.encoder is None:
            memory = torch.randn(2, SOURCE, model.spec.top.width, generator=generator)
            at = At.of(Tokens(ids=torch.zeros(2, SOURCE, dtype=torch.long)))
            states.append(model.decoder(target, None, memory, at)[0])
        else:
            states.append(model.hidden(target, Tokens(ids=torch.randint(VOCAB, (2, SOURCE), generator=generator)))[0])
    return float((states[0] - states[1]).abs().max() / states[0].std())


def one_function(seed: int) -> tuple[float, float, float]:
    """One attention module called three ways: the largest difference between self-attention and cross-attention whose
    memory is the same sequence; the same, another memory; whether a query count other than the memory's works."""
    generator = torch.Generator().manual_seed(seed)
    attention = Attention(AttentionSpec(heads=GroupedSpec(heads=4)), WIDTH)
    for number, p in enumerate(attention.parameters()):
        nn.init.normal_(p, std=WIDTH**-0.5, generator=torch.Generator().manual_seed(seed + number))
    x, other = (torch.randn(2, n, WIDTH, generator=generator) for n in (TARGET, SOURCE))
    view = View(At(torch.arange(TARGET).unsqueeze(0)), Lowered("reference"), lambda t: t)

    def cross(memory: Tensor) -> Tensor:
        return attention(x, view, memory=attention.heads.entry(memory, view.turn))[0]

    with torch.no_grad():
        own, same, source = attention(x, view)[0], cross(x), cross(other)
    return float((own - same).abs().max()), float((own - source).abs().max()), float(source.shape[1] == TARGET)


def measure(trial: Trial) -> Numbers:
    model = spec_of(trial.arm).build(trial.seed).eval()
    assert model.decoder is not None
    crossing = sum(block.cross is not None for block in model.decoder.layers)
    kinds = {name.split(".")[2] for name, m in model.decoder.named_modules() if isinstance(m, Attention)}
    reads = reading(model, trial.seed)
    unplug(model)
    same, other, _ = one_function(trial.seed)
    return {
        "reads": reads, "reads_unplugged": reading(model, trial.seed), "cross_layers": crossing, "attention_kinds": len(kinds),
        "encoder": int(model.encoder is not None), "self_less_cross_of_itself": same, "self_less_cross_of_another": other,
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    reads = min(table.mean(arm, "reads") for arm in table.arms)
    left = max(table.mean(arm, "reads_unplugged") for arm in NAMED)
    alone, same = table.mean(ALONE, "reads"), max(table.mean(arm, "self_less_cross_of_itself") for arm in table.arms)
    words = (
        f"In {', '.join(NAMED)} the decoder's states change by {reads:.2g} deviations or more with the source, and by {left:.1g} once cross-attention is silenced: "
        f"nothing else reads the encoder. A decoder without any encoder has cross-attention too (its memory moves it by {alone:.2g}). Called on its own sequence, "
        f"cross-attention is self-attention to {same:.0g}."
    )
    if reads < 1e-3 or table.mean(ALONE, "encoder"):
        return Ruling(Verdict.OPEN, words)
    if left > 1e-6:  # encoder–decoder attention is more than cross-attention
        return Ruling(Verdict.HOLDS, words)
    return Ruling(Verdict.WRONG if alone > 1e-3 and same == 0 else Verdict.CONDITION, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    style.groups(axes[0], table, {"reads": "as built", "reads_unplugged": "cross-attention\nsilenced"}, format="{:.2g}")
    axes[0].set_ylabel("change with what is read (deviations)")
    axes[0].set_title("What the decoder reads it by")
    rows = [
        ("", "queries from", "keys from", "for example"),
        ("self-attention", "a sequence", "the same", "BERT, GPT"),
        ("cross-attention", "a sequence", "any other", "Flamingo, Perceiver"),
        ("encoder–decoder\nattention", "the decoder", "the encoder", "T5, BART, 2017"),
    ]
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            head = r == 0 or c == 0
            axes[1].text((0.0, 0.29, 0.5, 0.69)[c], 0.88 - 0.25 * r, text, fontsize=8.5, va="center", color=style.INK() if head else style.MUTED())
    axes[1].set_axis_off()
    axes[1].set_title("One function, three calls")
    return fig


CLAIM = Claim(
    id="C77",
    title="Is encoder–decoder attention a broader term than cross-attention?",
    topic="attention",
    kind="exact",
    statement="Cross-attention takes queries from the decoder and keys and values from the encoder; encoder–decoder attention is a broader term for how the decoder "
    "interacts with the encoder.",
    notes=("001 Q9", "002 Q12", "004:115"),
    literature="In Vaswani et al. 2017 (arXiv 1706.03762) §3.2.3 \"encoder-decoder attention\" names exactly the layers whose queries come from the decoder and whose keys "
    "and values come from the encoder. Cross-attention is the broader word: Perceiver (Jaegle et al. 2021, arXiv 2103.03206) and Flamingo (Alayrac et al. "
    "2022, arXiv 2204.14198) have it without such an encoder. \"Self\" means that queries, keys and values come from one sequence.",
    method="Two-layer models of three encoder–decoder families and a decoder whose memory the caller gives: how far the decoder's states move when the source "
    "changes, as built and with the output of every cross-attention silenced. One attention module is called on itself as self-attention and as "
    "cross-attention.",
    decides="Holds if the decoder still reads the encoder with cross-attention silenced (more than 1e-6). Wrong if it does not, cross-attention works without "
    "an encoder, and self-attention equals cross-attention of its own sequence bit for bit; if not all of these, with a condition. Not decided if a "
    "source does not move the states.",
    expected=Verdict.WRONG,
    arms={arm: arm for arm in (*NAMED, ALONE)},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"reads": "deviations", "reads_unplugged": "deviations", "self_less_cross_of_itself": "output"},
    limits="A word means what its users make it mean; what is measured is which mechanism each word can name.",
)
