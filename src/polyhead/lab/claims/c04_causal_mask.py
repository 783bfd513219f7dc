"""C04: why does GPT use a causal mask, and what happens without it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from polyhead.nn import Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus, decode, encode, spread
from ..language import held_loss, learn
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTH, PLACES, PROMPT, WRITTEN = 64, 256, "    def ", 60
LENGTHS = tuple(range(8, LENGTH + 1, 8))
ATTENTION = "decoder.blocks.layer.attention"


def measure(trial: Trial) -> Numbers:
    changes = {f"{ATTENTION}.position": {"kind": "rotary"}, f"{ATTENTION}.pattern": {"kind": trial.arm}}
    model = small(VOCAB, context=LENGTH, changes=changes).build(trial.seed)
    losses = learn(model, trial.steps(300, 900), trial.seed, length=LENGTH)
    by_length = in_use(model)
    return {
        "train": sum(losses[-20:]) / len(losses[-20:]), "held": held_loss(model, LENGTH), "in use": sum(by_length) / len(by_length),
        "by length": by_length, "future": future(model), "unigram": corpus().unigram, "written": write(model),
    }  # fmt: skip


@torch.no_grad()
def in_use(model: nn.Module) -> list[float]:
    """Nats per character as when the model writes: the one after n true characters, none of those behind it given."""
    rows = spread(corpus().held, PLACES, LENGTH + 1)
    return [float(F.cross_entropy(model(Tokens(rows[:, :n]))[:, -1], rows[:, n])) for n in LENGTHS]


@torch.no_grad()
def future(model: nn.Module) -> float:
    """How far the answers before the last character move when that one is changed."""
    rows = spread(corpus().held, 16, LENGTH)
    other = torch.cat([rows[:, :-1], (rows[:, -1:] + 1) % VOCAB], 1)
    return float((model(Tokens(rows)) - model(Tokens(other)))[:, :-1].abs().max())


@torch.no_grad()
def write(model: nn.Module) -> str:
    """Characters drawn one by one after a prompt, at temperature 0.7."""
    ids, draw = encode(PROMPT)[None], torch.Generator().manual_seed(0)
    for _ in range(WRITTEN):
        shares = (model(Tokens(ids[:, -LENGTH:]))[:, -1] / 0.7).softmax(-1)
        ids = torch.cat([ids, torch.multinomial(shares, 1, generator=draw)], 1)
    return decode(ids[0])


def rule(table: Table) -> Ruling:
    true, bare = "with the mask", "without"
    held, used = table.gap(true, bare, "held"), table.gap(true, bare, "in use")
    told = (
        f"With the mask {table.mean(true, 'held'):.2f} nats per character where the whole text is there and {table.mean(true, 'in use'):.2f} when it "
        f"writes; without it {table.mean(bare, 'held'):.2f} and {table.mean(bare, 'in use'):.2f}, beside {table.mean(true, 'unigram'):.2f} of a model "
        "that only knows how frequent characters are."
    )
    if table.interval(true, "in use").high > table.mean(true, "unigram") - 0.5:
        return Ruling(Verdict.OPEN, f"The model with the mask has learnt too little to compare with. {told}")
    if held.high < -0.5 and used.low > 0.5:
        return Ruling(Verdict.HOLDS, told)
    if used.high < 0.05:
        return Ruling(Verdict.WRONG, f"Without the mask it writes as well. {told}")
    return Ruling(Verdict.CONDITION if used.low > 0 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(2, width=9.6)
    names = {"train": "training", "held": "held-out text,\nall of it there", "in use": "held-out text,\nas it is written"}
    style.groups(axes[0], table, names, format="{:.2f}")
    axes[0].set(ylabel="loss (nats per character)", ylim=(0, None))
    style.lines(axes[1], table, "by length", LENGTHS)
    axes[1].set(xlabel="characters given", ylabel="loss of the next one (nats)", xticks=LENGTHS, ylim=(0, None))
    for part in axes:
        style.reference(part, table.mean("with the mask", "unigram"), "character frequencies alone", start=True)
    written = "\n".join(f"{arm + ':':<15}{next(iter(seeds.values()))['written']!r}" for arm, seeds in table.arms.items())
    figure.supxlabel(written, fontsize=8, family="monospace", color=style.MUTED(), x=0.02, ha="left")
    return figure


CLAIM = Claim(
    id="C04",
    title="Why does GPT use a causal mask?",
    topic="masks",
    kind="trained",
    statement="GPT needs the causal mask: it keeps a token from seeing those after it, and a model trained without it cannot be used to write.",
    notes=("000 §8", "001 Q12", "001:166", "002 Q4", "003 §10", "004:179"),
    literature=(
        "Vaswani et al. (2017, arXiv 1706.03762, §3.2.3): the decoder's scores of later positions are set to −∞ “to prevent leftward information flow” "
        "and preserve the auto-regressive property. Radford et al. (2018, GPT) train a decoder with that mask on next tokens."
    ),
    method=(
        f"A small decoder with rotary positions learns to foretell the next character from windows of {LENGTH}, once with the causal mask and once with "
        "all attending to all. Measured on held-out text: the loss where the whole window is given, as in training, and the loss of the "
        "character after 8 to 64 given ones with nothing behind them, as when a model writes."
    ),
    decides=(
        "Holds if without the mask the loss on whole windows is lower by more than 0.5 nats and the loss in use higher by more than 0.5, whole intervals. "
        "Wrong if the loss in use is at most 0.05 higher. With a condition if it is higher, by less. Not decided if the model with the mask stays within "
        "0.5 nats of character frequencies, or the intervals do not tell."
    ),
    expected=Verdict.HOLDS,
    arms={"with the mask": "causal", "without": "full"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"train": "nats per character", "held": "nats per character, whole windows", "in use": "nats per character, as when writing",
           "future": "largest change of an earlier logit", "unigram": "nats per character"},
    corpus=True,
    limits="It is about training on next tokens: encoders see both sides and are trained on hidden tokens instead.",
)  # fmt: skip
