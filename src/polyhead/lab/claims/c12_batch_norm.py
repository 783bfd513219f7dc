"""C12: why LayerNorm and not BatchNorm?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus, spread
from ..language import held_loss, learn, next_character
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTH, BATCH, PLACES = 32, 16, 64
LOSSES = {
    "as trained": "in training's mode,\n16 rows",
    "in use": "in use,\n16 rows",
    "in use, one row": "in use,\none row at a time",
    "own statistics": "statistics of\none row",
    "trained on one row": "trained on one row:\ntraining's mode",
    "trained on one row, in use": "trained on one row:\nin use",
}


def build(norm: str, seed: int) -> Transformer:
    changes = {
        "decoder.blocks.layer.norm": {"kind": norm}, "decoder.final_norm": {"kind": norm},
        "decoder.blocks.layer.attention.position": {"kind": "rotary"},
    }  # fmt: skip
    return small(VOCAB, context=LENGTH, width=48, changes=changes).build(seed)


def measure(trial: Trial) -> Numbers:
    model, lone = build(trial.arm, trial.seed), build(trial.arm, trial.seed)
    learn(model, trial.steps(150, 800), trial.seed, batch=BATCH, length=LENGTH)
    learn(lone, trial.steps(150, 800), trial.seed, batch=1, length=LENGTH)
    rows = spread(corpus().held, 16 * BATCH, LENGTH + 1)
    few = rows[:: len(rows) // PLACES]
    return {
        "as trained": in_training(model, rows, BATCH), "in use": in_use(model, few, BATCH), "in use, one row": in_use(model, few, 1),
        "own statistics": in_training(model, few, 1), "trained on one row": in_training(lone, few, 1), "trained on one row, in use": held_loss(lone, LENGTH, characters=8192),
        "leak": leak(model, rows[:4]), "unigram": corpus().unigram,
    }  # fmt: skip


@torch.no_grad()
def in_use(model: nn.Module, rows: Tensor, batch: int) -> float:
    """Nats per character with the statistics that training has gathered."""
    return sum(float(next_character(lambda ids: model(Tokens(ids)), part)) for part in rows.split(batch)) * batch / len(rows)


def in_training(model: nn.Module, rows: Tensor, batch: int) -> float:
    """Nats per character with the statistics of each batch of these rows, as in training; those gathered stay as they are."""
    gathered = {name: value.clone() for name, value in model.state_dict().items()}
    loss = in_use(model.train(), rows, batch)
    model.load_state_dict(gathered)
    model.eval()
    return loss


def leak(model: nn.Module, rows: Tensor) -> list[list[float]]:
    """(8, 8): how far, in training's mode, the answer at place i (rows) of a text moves when the character at place j (columns) is changed."""
    gathered = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    ids, moved = rows[:, :8], torch.zeros(8, 8)
    with torch.no_grad():
        before = model(Tokens(ids))
        for j in range(8):
            other = ids.clone()
            other[0, j] = (ids[0, j] + 1) % VOCAB
            moved[:, j] = (model(Tokens(other)) - before)[0].abs().amax(-1)
    model.load_state_dict(gathered)
    model.eval()
    return [[float(number) for number in row] for row in moved]


def future(table: Table, arm: str) -> float:
    """The least, over seeds, of the largest change of an answer by a character behind it."""
    return min(float(max(moved[i, i + 1 :].max() for i in range(7))) for moved in table.values(arm, "leak"))


def rule(table: Table) -> Ruling:
    alone = table.difference("BatchNorm", "in use", "in use, one row")
    use, gap = table.interval("BatchNorm", "in use"), table.difference("BatchNorm", "trained on one row", "trained on one row, in use")
    leaks, level = future(table, "BatchNorm"), table.gap("LayerNorm", "BatchNorm", "in use")
    told = (
        f"Trained on {BATCH} rows, BatchNorm has {use.mean:.2f} nats per character in use ({level.mean:+.2f} beside LayerNorm), and {alone.mean:+.0e} more on one row at a time. "
        f"Trained on one row, it is {gap.mean:+.2f} worse in use than in training. While it trains, a character moves answers before it by up to {leaks:.1g} "
        f"(LayerNorm: {future(table, 'LayerNorm'):.0g})."
    )
    if use.high > table.mean("BatchNorm", "unigram") - 0.3:
        return Ruling(Verdict.OPEN, f"BatchNorm has not learnt enough to tell. {told}")
    if alone.low > 0.1:
        return Ruling(Verdict.HOLDS, told)
    if alone.high < 0.01 and leaks > 1e-4 and future(table, "LayerNorm") == 0:
        return Ruling(Verdict.WRONG, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(3, width=12.5)
    places = range(len(LOSSES))
    for index, arm in enumerate(table.arms):
        for place, name in enumerate(LOSSES):
            values = table.values(arm, name)
            at = place + 0.16 * (index - 0.5) * 2
            axes[0].vlines(at, values.min(), values.max(), color=style.colour(index), linewidth=1.5)
            axes[0].scatter([at] * len(values), values, s=22, color=style.colour(index), marker="os"[index % 2], label=None if place else arm, zorder=3)
    style.reference(axes[0], table.mean("BatchNorm", "unigram"), "character frequencies alone")
    axes[0].set_xticks(places, list(LOSSES.values()), fontsize=7.5, rotation=35, ha="right")
    axes[0].set(ylabel="loss (nats per character)")
    style.legend(axes[0], ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for part, arm in zip(axes[1:], ("LayerNorm", "BatchNorm"), strict=True):
        names = [str(i) for i in range(1, 9)]
        moved = table.values(arm, "leak")[0]
        style.heat(part, moved.clip(max=1), names, names, low=0, high=1, format="{:.1g}")
        for text in part.texts:
            text.set_fontsize(6.5)
        part.set(xlabel="the character changed")
        part.set_title(f"{arm}: an answer's change", fontsize=9.5)
    axes[1].set_ylabel("the answer at")
    return figure


CLAIM = Claim(
    id="C12",
    title="Why LayerNorm and not BatchNorm?",
    topic="residuals and norms",
    kind="trained",
    statement="BatchNorm cannot be used in Transformers: it does not work with a batch of one, and so not when text is generated.",
    notes=("001 Q10", "002 Q6", "003 §5", "004:212", "004:269", "004:279"),
    literature=(
        "Ba et al. (2016, arXiv 1607.06450) made layer normalisation independent of the batch. Shen et al. (2020, PowerNorm, arXiv 2003.07845) find that BatchNorm loses in Transformers "
        "since its batch statistics fluctuate, and that a batch norm which is repaired beats LayerNorm by 0.4 and 0.6 BLEU. In use Ioffe & Szegedy's (2015, arXiv 1502.03167) BatchNorm takes the "
        "statistics that training has gathered: one row or many make no difference."
    ),
    method=(
        f"A small decoder learns characters with LayerNorm or with BatchNorm over all tokens of the batch, from batches of {BATCH} rows and from single rows. Measured: the loss with a "
        "batch's own statistics, with those gathered, on batches and on one row at a time; and how far, in training's mode, an answer moves when a character is changed, earlier or later."
    ),
    decides=(
        "Wrong as stated if BatchNorm in use is at most 0.01 nats worse on one row than on many (whole interval), while in training it lets later characters through (more than 1e-4, "
        "LayerNorm exactly nothing): then it fails at something else. Holds if it is more than 0.1 worse. Not decided if it does not learn (within 0.3 nats of "
        "character frequencies), or in between."
    ),
    expected=Verdict.WRONG,
    arms={"LayerNorm": "layer", "BatchNorm": "batch"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={**dict.fromkeys(LOSSES, "nats per character"), "unigram": "nats per character"},
    corpus=True,
    limits="LayerNorm is still the one to take: no leak, no second mode, nothing to gather. BatchNorm's reason to fail is training, not use.",
)  # fmt: skip
