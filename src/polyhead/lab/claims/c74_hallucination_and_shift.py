"""C74: what a model that knows some facts says about others, and what becomes of the facts when the question looks different."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.nn import Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTERS, SPELT, CITIES, KNOWN, NAMELESS = 12, 6, 8, 48, 256
UNKNOWN, ASK, OTHERWISE = CITIES, LETTERS, LETTERS + 1  # a ninth answer; two words that ask
BEFORE, LONGER = 3, 8  # letters before the name: up to so many in training, and more
SHIFTS = ("longer", "re-ordered", "synonym", "one typo")
BINS = 10


class World:
    """Names of six letters with a city each, and names without one; the first half of the known ones is asked for by one word
    alone in training, the others by two."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.names, self.nameless, self.fresh = self.letters(KNOWN, SPELT), self.letters(NAMELESS, SPELT), self.letters(512, SPELT)
        self.city = torch.randint(CITIES, (KNOWN,), generator=self.generator)

    def letters(self, *shape: int) -> Tensor:
        return torch.randint(LETTERS, shape, generator=self.generator)

    def question(self, names: Tensor, word: Tensor | int, before: int) -> Tensor:
        """(n, before + 7): letters that say nothing, the name, a word that asks."""
        last = torch.as_tensor(word).expand(len(names))[:, None]
        return torch.cat([self.letters(len(names), before), names, last], 1)

    def batch(self, refuses: bool) -> tuple[Tensor, Tensor]:
        """(ids, answers) of 64 questions; refuses: three in eight are about names without a city."""
        which = torch.randint(KNOWN, (64,), generator=self.generator)
        word = torch.where((which >= KNOWN // 2) & (torch.rand(64, generator=self.generator) < 0.5), OTHERWISE, ASK)
        names, answers = self.names[which], self.city[which]
        if refuses:
            names[:24] = self.nameless[torch.randint(NAMELESS, (24,), generator=self.generator)]
            answers[:24] = UNKNOWN
        return self.question(names, word, int(torch.randint(BEFORE + 1, (), generator=self.generator))), answers

    def shifted(self, shift: str) -> tuple[Tensor, Tensor]:
        """(ids, answers): what is known, asked in another way than in training."""
        if shift == "longer":
            return self.question(self.names, ASK, LONGER), self.city
        if shift == "re-ordered":
            return self.question(self.names.roll(SPELT // 2, 1), ASK, 0), self.city
        if shift == "synonym":
            return self.question(self.names[: KNOWN // 2], OTHERWISE, 0), self.city[: KNOWN // 2]
        where = torch.randint(SPELT, (KNOWN, 1), generator=self.generator)
        wrong = (self.names.gather(1, where) + 1 + torch.randint(LETTERS - 1, (KNOWN, 1), generator=self.generator)) % LETTERS
        return self.question(self.names.scatter(1, where, wrong), ASK, 0), self.city


def measure(trial: Trial) -> Numbers:
    """trial.arm: whether training has questions without an answer."""
    world = World(trial.seed)
    position = {"decoder.embedding.position": {"kind": "sinusoidal"}, "decoder.embedding.scale": 48.0}
    model = small(LETTERS + 2, width=48, context=LONGER + SPELT + 1, output=CITIES + 1, changes=position).build(trial.seed)

    def loss(_: int) -> Tensor:
        ids, answers = world.batch(trial.arm)
        return F.cross_entropy(model(Tokens(ids))[:, -1], answers)

    train(model, loss, trial.steps(800, 2000), lr=3e-3, warmup=20, decay=cosine)
    known, own = said(model, world.question(world.names, ASK, 0))
    unknown, other = said(model, world.question(world.fresh, ASK, 0))
    shifts = []
    for shift in SHIFTS:
        ids, city = world.shifted(shift)
        shifts.append(float((said(model, ids)[1] == city).float().mean()))
    return {
        "known right": float((own == world.city).float().mean()), "sure of known": float(known.mean()), "sure of unknown": float(unknown.mean()),
        "named a city": float((other != UNKNOWN).float().mean()), "told apart": float((known[:, None] > unknown[None]).float().mean()),
        "shifted": shifts, "shifted right": sum(shifts) / len(shifts),
        "known bins": bins(known), "unknown bins": bins(unknown),
    }  # fmt: skip


@torch.no_grad()
def said(model: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor]:
    """(the highest probability of a city, the answer), (n,) each."""
    chances = model(Tokens(ids))[:, -1].softmax(-1)
    return chances[:, :CITIES].max(-1).values, chances.argmax(-1)


def bins(sure: Tensor) -> list[float]:
    """Shares of questions by probability, in tenths."""
    return [float(n) / len(sure) for n in torch.histc(sure, BINS, 0, 1)]


def rule(table: Table) -> Ruling:
    plain, taught = table.arms
    right, sure = table.interval(plain, "known right"), table.interval(plain, "sure of unknown")
    falls, less = table.difference(plain, "shifted right", "known right"), table.gap(taught, plain, "sure of unknown")
    shifts = ", ".join(f"{name} {share:.0%}" for name, share in zip(SHIFTS, table.curve(plain, "shifted"), strict=True))
    told = (
        f"{right.mean:.0%} of the facts are known. Of names never seen the model gives a city a probability of {sure.mean:.2f} on average (of known ones {table.mean(plain, 'sure of known'):.2f}; chance is {1 / CITIES:.2f}); with "
        f"questions that have no answer in training {less.mean:.2f} less, and it names a city for {table.mean(taught, 'named a city'):.0%} of them. Asked in another way it knows: {shifts}."
    )
    if min(right.low, table.interval(taught, "known right").low) < 0.95 or less.low < 0.1:
        return Ruling(Verdict.OPEN, f"Either the facts are not learnt, or the probability does not react to what training shows. {told}")
    if sure.low > 0.5 and falls.low > 0.2:
        return Ruling(Verdict.HOLDS, told)
    if sure.high < 0.25 and falls.high < 0.1:
        return Ruling(Verdict.WRONG, told)
    return Ruling(Verdict.CONDITION if sure.low > 0.5 or falls.low > 0.2 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(3, width=13.0)
    middle = [(i + 0.5) / BINS for i in range(BINS)]
    for ax, arm in zip(axes[:2], table.arms, strict=True):
        for place, (name, label) in enumerate((("known bins", "known names"), ("unknown bins", "names never seen"))):
            at = [x + (place - 0.5) * 0.44 / BINS for x in middle]
            ax.bar(at, table.curve(arm, name), 0.42 / BINS, color=style.colour(place + 2), alpha=0.8, label=label)
        ax.set(xlabel="probability of the likeliest city", ylabel="share of questions", ylim=(0, 1), title=arm)
        style.reference(ax, 1 / CITIES, "chance", vertical=True)
    style.legend(axes[0], loc="upper center")
    for place, arm in enumerate(table.arms):
        shares = table.values(arm, "shifted")
        for spot, share in enumerate(shares.mean(0)):
            axes[2].bar(spot + 0.4 * place - 0.2, share, 0.36, color=style.colour(place), alpha=0.75, label=arm if spot == 0 else None)
            axes[2].scatter([spot + 0.4 * place - 0.2] * len(shares), shares[:, spot], s=13, color=style.BACK(), edgecolors=style.INK(), linewidths=0.8, zorder=3)
    axes[2].set_xticks(range(len(SHIFTS)), list(SHIFTS))
    axes[2].grid(axis="x", visible=False)
    axes[2].set(ylabel="share of known facts", ylim=(0, 1.3), yticks=[0, 0.25, 0.5, 0.75, 1], title="The same facts, asked in another way")
    style.reference(axes[2], 1 / CITIES, "chance")
    style.legend(axes[2], loc="upper left")
    return fig


CLAIM = Claim(
    id="C74",
    title="Do language models make things up, and does another wording break them?",
    topic="uses",
    kind="trained",
    statement="Transformers can hallucinate and are brittle to distribution shift.",
    notes=("000 §4",),
    literature=(
        "Kalai & Vempala 2023 (arXiv 2311.14648): a calibrated model must err on facts that it saw once or never. Kalai et al. 2025 (arXiv 2509.04664): who is never rewarded for \"I do not know\" learns to guess. "
        "How often large models do it depends on their training and use, and is not what a toy can tell."
    ),
    method=(
        f"{KNOWN} names of six random letters have one of {CITIES} cities each; a causal model of two layers (width 48) learns to answer, with up to {BEFORE} letters before the name. Arms: these facts alone, or in three of eight cases questions "
        f"about {NAMELESS} names without a city, answered \"unknown\". Asked are 512 names never seen: the probability of the likeliest city. And the known ones in another way: {LONGER} letters before the name, its halves "
        "exchanged, by a word that asked only for other names, with one letter wrong."
    ),
    decides=(
        "Not decided if fewer than 95 % of the facts are known in either arm, or questions without an answer lower the probability of a city for names never seen by less than 0.1. Holds if it is above 0.5 with facts alone, and the four shifts "
        "cost more than 0.2 of the facts on average; with a condition if one of the two; wrong if the probability is below 0.25 and shifts cost less than 0.1 (whole intervals)."
    ),
    expected=Verdict.HOLDS,
    arms={"facts alone": False, "unknown is an answer": True},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"known right": "share of facts", "shifted right": "share of facts", "named a city": "share of unknown names", "told apart": "chance that a known name is the surer one"},
    limits="A mechanism in a toy, not a rate: large models have sources, tuning and prompts, and their names are not random letters.",
)  # fmt: skip
