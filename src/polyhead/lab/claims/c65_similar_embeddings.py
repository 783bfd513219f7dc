"""C65: are the vectors of similar words similar, before training and after?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES, WORDS, LENGTH, WIDTH = 8, 12, 16, 32
VOCAB = CLASSES * WORDS
CHANCE = (WORDS - 1) / (VOCAB - 1)


def chain(kinds: int, generator: torch.Generator) -> Tensor:
    """(kinds, 3): the three that may follow each, in a circle drawn at random the next, the second and the fourth: all stand
    equally often, and no two are followed alike."""
    circle = torch.randperm(kinds, generator=generator)
    place = torch.arange(kinds)[:, None] + torch.tensor([1, 2, 4])
    return torch.empty(kinds, 3, dtype=torch.long).index_copy(0, circle, circle[place % kinds])


def sentences(n: int, follows: Tensor, grouped: bool, generator: torch.Generator) -> Tensor:
    """(n, 16). grouped: what may follow depends on a word's class alone, and all words of a class are alike. Else every word has
    three followers of its own."""
    ids = torch.randint(VOCAB, (n, 1), generator=generator)
    for _ in range(LENGTH - 1):
        which = torch.randint(3, (n, 1), generator=generator)
        last = ids[:, -1:]
        if grouped:
            following = follows[last // WORDS].squeeze(1).gather(1, which) * WORDS + torch.randint(WORDS, (n, 1), generator=generator)
        else:
            following = follows[last].squeeze(1).gather(1, which)
        ids = torch.cat([ids, following], 1)
    return ids


def alike(table: Tensor) -> float:
    """Share of words whose nearest other word, by cosine, is of their class."""
    unit = F.normalize(table, dim=1)
    near = (unit @ unit.T).fill_diagonal_(-2).argmax(1)
    return float((near // WORDS == torch.arange(VOCAB) // WORDS).float().mean())


def flat(table: Tensor) -> list[list[float]]:
    """(VOCAB, 2): the two directions of largest variance."""
    centred = table - table.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    return [[round(float(v), 4) for v in row] for row in centred @ directions[:2].T]


def measure(trial: Trial) -> Numbers:
    """trial.arm: whether the text has classes."""
    generator = torch.Generator().manual_seed(trial.seed)
    follows = chain(CLASSES if trial.arm else VOCAB, generator)
    model = small(VOCAB, width=WIDTH, layers=1, heads=2, context=LENGTH).build(trial.seed)
    table = model.get_parameter("decoder.embed.token")
    before, picture = alike(table.detach()), flat(table.detach())
    with torch.no_grad():
        ids = sentences(4, follows, trial.arm, generator)
        gap = float((F.one_hot(ids, VOCAB).float() @ table - F.embedding(ids, table)).abs().max())

    def loss(_: int) -> Tensor:
        ids = sentences(32, follows, trial.arm, generator)
        return F.cross_entropy(model(Tokens(ids[:, :-1])).flatten(0, 1), ids[:, 1:].flatten())

    losses = train(model, loss, trial.steps(400, 1500), lr=3e-3, decay=cosine)
    return {
        "before": before, "after": alike(table.detach()), "one-hot gap": gap, "picture before": picture, "picture after": flat(table.detach()),
        "loss": sum(losses[-10:]) / len(losses[-10:]), "least": float(torch.tensor(3.0 * (WORDS if trial.arm else 1)).log()),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    classes, none = table.arms
    new, after, other = table.interval(classes, "before"), table.interval(classes, "after"), table.interval(none, "after")
    told = (
        f"The nearest word is of the same class for {new.mean:.0%} of words before training and {after.mean:.0%} after it (chance {CHANCE:.0%}); where the text has no classes, {other.mean:.0%} after it. "
        f"One-hot vectors times the table are the embedding to {table.mean(classes, 'one-hot gap'):.0e}."
    )
    if table.mean(none, "loss") > table.mean(none, "least") + 1 or other.low > 0.3:
        return Ruling(Verdict.OPEN, f"The text without classes is not learnt, or shows classes that it has not. {told}")
    if after.high < 0.3:
        return Ruling(Verdict.WRONG, told)
    if new.low > 0.8:
        return Ruling(Verdict.HOLDS, told)
    return Ruling(Verdict.CONDITION if after.low > 0.8 and new.high < 0.3 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(3, width=12.4)
    arm = next(iter(table.arms))
    for ax, name, title in ((axes[0], "picture before", "Before training"), (axes[1], "picture after", "After it")):
        points = table.values(arm, name)[0]
        for group in range(CLASSES):
            own = points[group * WORDS : (group + 1) * WORDS]
            ax.scatter(own[:, 0], own[:, 1], s=16, color=style.colour(group), marker="o^"[group // len(style.COLOURS())])
        ax.locator_params(nbins=5)
        ax.set(xlabel="first principal component", ylabel="second", title=f"{title}: a colour and shape a class")
    style.groups(axes[2], table, {"before": "before training", "after": "after it"}, format="{:.2f}")
    axes[2].set(ylabel="words whose nearest is of their class", ylim=(0, 1.35), yticks=[0, 0.25, 0.5, 0.75, 1])
    style.reference(axes[2], CHANCE, "chance")
    style.legend(axes[2], loc="upper left")
    return fig


CLAIM = Claim(
    id="C65",
    title="Are the embeddings of similar words similar?",
    topic="tokens",
    kind="trained",
    statement="Token embeddings map tokens to dense vectors that preserve semantic similarity.",
    notes=("004:49", "004:55", "004:58"),
    literature=(
        "Mikolov et al. 2013 (arXiv 1301.3781) and Pennington et al. 2014 (GloVe, EMNLP) learn such vectors from which words stand near which, after Harris 1954 (Distributional structure). Press & Wolf 2017 (arXiv 1608.05859) find them in a "
        "language model's input and output tables. A table is drawn at random at first: there is nothing that it could preserve."
    ),
    method=(
        f"Text of {VOCAB} words: of {CLASSES} classes of {WORDS}, where a word's class alone says which three classes may follow; or without classes, each word with three followers of its own. A causal model of one layer (width {WIDTH}) learns the next "
        "word. All stand equally often, and no two classes are followed alike (of classes drawn freely some are hardly ever used). Measured: for how many words the nearest one by cosine is of their class, before and after; and the difference between the embedding and one-hot vectors times the table."
    ),
    decides=(
        "Not decided if the text without classes is not learnt (within 1 nat of the least loss) or seems to have classes (above 0.3). Wrong if training leaves it below 0.3 where there are classes; holds if it is above 0.8 before training; "
        "with a condition (after training) if it is above 0.8 after and below 0.3 before. Not decided in between."
    ),
    expected=Verdict.CONDITION,
    arms={"classes in the text": True, "none": False},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"before": "share of words", "after": "share of words", "loss": "nats per word", "least": "nats per word", "one-hot gap": "largest difference"},
    limits="Classes of words that are used alike; meaning in text is that and more. Other words' vectors say only what the training text says of them.",
)  # fmt: skip
