"""C46: does each head get a portion of the embedding?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from polyhead.nn import GroupedSpec, Tokens, Transformer
from polyhead.nn.heads import Grouped

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table
from ..training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS, PAIRS, HEADS, BATCH, STEPS = 16, 8, 2, 64, 500
WIDTH = 2 * KINDS
SHOWN = (8, 64)  # heads and width of the picture


class Sliced(nn.Module):
    """A square weight with all but its `heads` diagonal blocks set to 0: output slice i reads input slice i alone."""

    blocks: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        which = torch.arange(width) // (width // heads)
        self.register_buffer("blocks", (which[:, None] == which[None]).float())

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.blocks


def slice_heads(heads: Grouped, width: int) -> None:
    for linear in (heads.q, heads.k, heads.v):
        parametrize.register_parametrization(linear, "weight", Sliced(width, heads.heads))


def touched(heads: Grouped, width: int) -> Tensor:
    """(heads, width): how strongly each head's query, key and value move with each input feature."""
    x = torch.randn(1, 4, width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    q, (k, v) = heads.project(x, lambda t: t)
    each = [(q[:, i].square() + k[:, i].square() + v[:, i].square()).sum() for i in range(heads.heads)]
    return torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0].abs().sum((0, 1)) for one in each])


def build(arm: str, seed: int) -> Transformer:
    """One layer whose tokens are frozen: the first half of the features says the key, the second the value."""
    model = small(KINDS * KINDS + KINDS, "encoder", width=WIDTH, layers=1, heads=HEADS, context=PAIRS + 1, output=KINDS).build(seed)
    key = torch.arange(KINDS * KINDS + KINDS) // KINDS
    one = torch.eye(KINDS)
    table = torch.zeros(KINDS * KINDS + KINDS, WIDTH)
    table[: KINDS * KINDS] = torch.cat([one[key[: KINDS * KINDS]], one.repeat(KINDS, 1)], 1)
    table[KINDS * KINDS :, :KINDS] = one
    assert model.encoder is not None
    with torch.no_grad():
        model.table.copy_(table)
    model.table.requires_grad_(False)
    heads = model.encoder.layers[0].attention.heads
    assert isinstance(heads, Grouped)
    if arm == "sliced":
        slice_heads(heads, WIDTH)
    return model


def draw_batch(generator: torch.Generator, rows: int = BATCH) -> tuple[Tensor, Tensor]:
    """ids (rows, PAIRS + 1): pairs of different keys with values, then a key alone; the answer is that key's value."""
    keys = torch.rand(rows, KINDS, generator=generator).argsort(1)[:, :PAIRS]
    values = torch.randint(KINDS, (rows, PAIRS), generator=generator)
    asked = torch.randint(PAIRS, (rows, 1), generator=generator)
    query = KINDS * KINDS + keys.gather(1, asked)
    return torch.cat([keys * KINDS + values, query], 1), values.gather(1, asked)[:, 0]


def measure(trial: Trial) -> Numbers:
    model, generator = build(trial.arm, trial.seed), torch.Generator().manual_seed(trial.seed)

    def loss(step: int) -> Tensor:
        ids, answer = draw_batch(generator)
        return F.cross_entropy(model(Tokens(ids=ids))[:, -1], answer)

    losses = train(model, loss, trial.steps(STEPS, 2 * STEPS), lr=5e-3, warmup=20)
    ids, answer = draw_batch(generator, 2048)
    with torch.no_grad():
        right = (model(Tokens(ids=ids))[:, -1].argmax(-1) == answer).double().mean()
    shown = GroupedSpec(heads=SHOWN[0]).build(SHOWN[1])
    for number, p in enumerate(shown.parameters()):
        nn.init.normal_(p, std=SHOWN[1] ** -0.5, generator=torch.Generator().manual_seed(number))
    if trial.arm == "sliced":
        slice_heads(shown, SHOWN[1])
    seen = touched(shown, SHOWN[1])
    return {
        "touched": float((seen > 0).double().mean()), "accuracy": float(right), "loss": sum(losses[-20:]) / len(losses[-20:]),
        "map": [[round(x, 3) for x in row] for row in (seen / seen.amax()).tolist()],
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    built, sliced = table.mean("as built", "touched"), table.mean("truly sliced", "touched")
    scores = [table.interval(arm, "accuracy") for arm in ("as built", "truly sliced")]
    gap = table.gap("truly sliced", "as built", "accuracy")
    words = (
        f"Each of {SHOWN[0]} heads' queries, keys and values move with {built:.0%} of the input's features ({sliced:.1%} if the embedding is really sliced). "
        f"Where key and value lie in different slices, heads as built answer {scores[0].mean:.0%} right, sliced ones {scores[1].mean:.0%}."
    )
    if sliced > 0.5 or gap.low < 0.2:
        return Ruling(Verdict.OPEN, words)
    if built > 0.99:
        return Ruling(Verdict.WRONG, words)
    return Ruling(Verdict.HOLDS if built <= 1.5 / SHOWN[0] else Verdict.CONDITION, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=3)
    for panel, arm in zip(axes[:2], table.arms, strict=True):
        panel.imshow(table.values(arm, "map")[0], cmap=style.shades(False), vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        panel.set_title(f"Heads {arm}")
        panel.set_xlabel("feature of the embedding")
        panel.set_ylabel("head")
        panel.grid(visible=False)
    style.bars(axes[2], table, "accuracy", format="{:.2f}")
    style.reference(axes[2], 1 / PAIRS)
    axes[2].set_xlabel("dashed: a guess among the values")
    axes[2].set_ylabel("share of right answers")
    axes[2].set_title("Look up a value by its key")
    return fig


CLAIM = Claim(
    id="C46",
    title="Does each head get a portion of the embedding?",
    topic="heads",
    kind="exact",
    statement="Each head gets a portion of the embedding: with d_model = 512 and 8 heads, 64 features each.",
    notes=("003 §2",),
    literature="Vaswani et al. 2017 (arXiv 1706.03762) §3.2.2: queries, keys and values are \"linearly projected h times with different, learned linear "
    "projections\" from all d_model features to d_k; what is split into 8 × 64 is the result of a d×d projection.",
    method="The gradient of each head's query, key and value (8 heads, width 64) by every input feature. Then one layer with two heads learns to look up a value by its "
    "key among 8 pairs, keys in the first half of a frozen embedding and values in the second: heads as built, and heads whose projections are cut to "
    "blocks so that each reads its own portion.",
    decides="Wrong if a built head moves with more than 99% of the features; holds if with no more than its share. Not decided if slicing does not show in the "
    "gradient, or costs less than 20 points of accuracy (95% interval).",
    expected=Verdict.WRONG,
    arms={"as built": "full", "truly sliced": "sliced"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"touched": "share of features", "accuracy": "share right", "loss": "nats"},
    limits="The task is made so that slicing hurts; with learned embeddings a model could put what a head needs into its slice.",
)
