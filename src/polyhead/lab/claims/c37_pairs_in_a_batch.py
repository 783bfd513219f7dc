"""C37: does training consider all token pairs within a batch?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VOCAB, DOCUMENTS, LENGTH = 32, 4, 10


def lay(arm: str, ids: Tensor) -> Tokens:
    """ids (DOCUMENTS, LENGTH) as rows of a batch, or end to end in one row, with or without its documents' numbers."""
    if arm in ("causal rows", "encoder rows"):
        return Tokens(ids=ids)
    pos = torch.arange(LENGTH).repeat(DOCUMENTS).unsqueeze(0)
    segment = torch.arange(DOCUMENTS).repeat_interleave(LENGTH).unsqueeze(0)
    if arm == "packed, documents ignored":
        return Tokens(ids=ids.reshape(1, -1))
    return Tokens(ids=ids.reshape(1, -1), pos=pos, segment=segment)


def influence(model: Transformer, tokens: Tokens) -> Tensor:
    """(all, all): by how much the logits of a token (row) move with the embedding of another (column), tokens numbered
    through the whole batch. Exactly 0 where nothing connects them."""
    seen: list[Tensor] = []
    hook = model.top.embed.register_forward_hook(lambda _, __, x: seen.append(x))
    logits = model(tokens)
    hook.remove()
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(logits.shape[-1], generator=generator, dtype=logits.dtype)
    said = (logits @ mix).flatten()
    rows = [torch.autograd.grad(one, seen[0], retain_graph=True)[0].abs().sum(-1).flatten() for one in said]
    return torch.stack(rows)


@torch.no_grad()
def stepwise(model: Transformer, ids: Tensor) -> float:
    """The largest difference between logits of the whole rows at once and token by token with a cache."""
    cache = model.new_cache(len(ids), ids.shape[1])
    steps = [model(Tokens(ids=ids[:, t : t + 1]), cache=cache) for t in range(ids.shape[1])]
    return float((torch.cat(steps, 1) - model(Tokens(ids=ids))).abs().max())


def measure(trial: Trial) -> Numbers:
    shape = "encoder" if trial.arm == "encoder rows" else "decoder"
    context = DOCUMENTS * LENGTH
    changes = {f"{shape}.blocks.layer.attention.position": {"kind": "rotary"}}
    model = small(VOCAB, "encoder" if shape == "encoder" else "decoder", width=32, heads=2, context=context, changes=changes)
    built = model.build(trial.seed).double()
    ids = torch.randint(VOCAB, (DOCUMENTS, LENGTH), generator=torch.Generator().manual_seed(trial.seed))
    found = influence(built, lay(trial.arm, ids))
    document = torch.arange(DOCUMENTS).repeat_interleave(LENGTH)
    same = document[:, None] == document[None]
    return {
        "within": float((found[same] > 0).double().mean()), "across": float((found[~same] > 0).double().mean()),
        "stepwise": 0.0 if shape == "encoder" else stepwise(built, ids), "connected": [sum(1 << i for i, one in enumerate(row) if one) for row in (found > 0).tolist()],  # a row's bits
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    within, across, step = (table.mean("causal rows", name) for name in ("within", "across", "stepwise"))
    leak = table.mean("packed, documents ignored", "across")
    words = (
        f"Of all pairs inside a sequence a causal model connects {within:.0%} (n(n+1)/2 of n²; an encoder {table.mean('encoder rows', 'within'):.0%}), of pairs "
        f"in different rows of the batch {across:.0%}. Packed into one row, {leak:.0%} across documents, {table.mean('packed, documents apart', 'across'):.0%} with "
        f"documents kept apart. Token by token with a cache the logits are the same within {step:.0e}."
    )
    if table.mean("encoder rows", "within") < 1 or leak == 0:
        return Ruling(Verdict.OPEN, words)
    if step > 1e-9:
        return Ruling(Verdict.WRONG, words)
    return Ruling(Verdict.HOLDS if within == 1 and across == 1 else Verdict.CONDITION, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=len(table.arms))
    for panel, arm in zip(axes, table.arms, strict=True):
        rows = [[int(row) >> i & 1 for i in range(DOCUMENTS * LENGTH)] for row in table.values(arm, "connected")[0]]
        panel.imshow(rows, cmap=style.shades(False), vmin=0, vmax=1, interpolation="nearest")
        for edge in range(LENGTH, DOCUMENTS * LENGTH, LENGTH):
            panel.axhline(edge - 0.5, color=style.MUTED(), linewidth=0.6)
            panel.axvline(edge - 0.5, color=style.MUTED(), linewidth=0.6)
        panel.set_title(arm.replace(", ", "\n"), fontsize=9)
        panel.set_xlabel("input token")
        panel.grid(visible=False)
    axes[0].set_ylabel("output token (4 sequences of 10)")
    return fig


CLAIM = Claim(
    id="C37",
    title="Does training consider all token pairs within a batch?",
    topic="generation",
    kind="exact",
    statement="In training, full sequences are processed at once, with all token pairs within each batch; in inference tokens come one at a time with cached keys "
    "and values.",
    notes=("001 Q19", "003 §9"),
    literature="Attention runs within each sequence (Vaswani et al. 2017, arXiv 1706.03762, §3.2); a causal one has n(n+1)/2 pairs. Packed documents see each other "
    "unless masked: GPT-3 left them unmasked (Brown et al. 2020, arXiv 2005.14165, §2.3), Llama 3 masks them (arXiv 2407.21783, §3.2).",
    method="Four sequences of ten tokens through a small model in fp64: as rows of a batch, packed into one row with and without document numbers, and through "
    "an encoder. The gradient of every token's logits by every token's embedding tells exactly which pairs are connected. The causal model then "
    "reads the rows token by token with its cache.",
    decides="Holds if every pair of the batch is connected; with a condition if only pairs within a sequence are, and steps with a cache give the same logits "
    "within 1e-9; wrong if they do not. Not decided if an encoder's pairs within a sequence are not all found or unmasked packing shows no leak.",
    expected=Verdict.CONDITION,
    arms={arm: arm for arm in ("causal rows", "encoder rows", "packed, documents apart", "packed, documents ignored")},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"within": "share of pairs", "across": "share of pairs", "stepwise": "logits"},
    limits="BatchNorm in training and in-batch negatives do connect rows of a batch; attention does not.",
)
