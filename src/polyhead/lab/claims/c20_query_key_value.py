"""C20: why queries, keys and values, and not the vectors as they are?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import Tokens, Transformer

from .. import style
from ..baselines.projections import Missing, with_projections
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus
from ..language import held_loss, learn
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEYS, VALUES, LENGTH = 8, 8, 32
ARMS: dict[str, Missing] = {"separate": "none", "tied": "tied", "raw": "raw"}
RELATIONS = {"next": "of the key after\n(asymmetric)", "same": "of the other with this key\n(symmetric)"}


def rows(n: int, relation: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(ids, answers), (n, 8) each: tokens are a key and a value. next: each of eight keys once, asked is the value of the key after
    one's own (7 → 0); same: each of four keys twice, asked is the other's value."""
    order = torch.rand(n, KEYS, generator=generator).argsort(1)
    keys = order if relation == "next" else order // 2
    values = torch.randint(VALUES, (n, KEYS), generator=generator)
    partner = (order + 1) % KEYS if relation == "next" else order ^ 1
    return keys * VALUES + values, values.gather(1, order.argsort(1).gather(1, partner))


def learnt(missing: Missing, relation: str, steps: int, seed: int) -> float:
    """Share of right answers of one layer with one head, after training."""
    generator = torch.Generator().manual_seed(seed)
    model = with_projections(small(KEYS * VALUES, "encoder", width=32, layers=1, heads=1, context=KEYS, output=VALUES).build(seed), missing)

    def loss(_: int) -> Tensor:
        ids, wanted = rows(32, relation, generator)
        return F.cross_entropy(model(Tokens(ids)).flatten(0, 1), wanted.flatten())

    train(model, loss, steps, lr=1e-2, decay=cosine)
    ids, wanted = rows(512, relation, generator)
    with torch.no_grad():
        return float((model(Tokens(ids)).argmax(-1) == wanted).float().mean())


def measure(trial: Trial) -> Numbers:
    right = {relation: learnt(trial.arm, relation, trial.steps(1500, 3000), trial.seed) for relation in RELATIONS}
    return {**right, "text": text(trial), "unigram": corpus().unigram}


def text(trial: Trial) -> float:
    """Nats per character of a small language model."""
    changes = {"decoder.embedding.position": {"kind": "learned", "length": LENGTH}}
    model: Transformer = with_projections(small(VOCAB, context=LENGTH, width=48, changes=changes).build(trial.seed), trial.arm)
    learn(model, trial.steps(100, 600), trial.seed, batch=16, length=LENGTH)
    return held_loss(model, LENGTH, characters=8192)


def rule(table: Table) -> Ruling:
    own, raw = (table.interval(arm, "next") for arm in ("separate", "raw"))
    behind, even = table.gap("raw", "separate", "next"), table.gap("raw", "separate", "same")
    written, tied = table.gap("separate", "raw", "text"), table.gap("tied", "separate", "next")
    told = (
        f"Of the key after its own a token finds the value in {own.mean:.0%} of cases with separate projections, {raw.mean:.0%} from raw vectors and "
        f"{own.mean - tied.mean:.0%} with queries and keys tied; of the same key raw vectors are {even.mean:+.2f} behind; on text {written.mean:+.2f} nats."
    )
    if own.low < 0.9:
        return Ruling(Verdict.OPEN, f"With separate projections the task is not learnt. {told}")
    if behind.high < 0.05 and even.high < 0.05 and written.high < 0.03:
        return Ruling(Verdict.WRONG, told)
    if behind.low > 0.1:
        return Ruling(Verdict.HOLDS if even.low > 0.1 else Verdict.CONDITION if even.high < 0.1 else Verdict.OPEN, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(2, width=10.4)
    style.groups(axes[0], table, RELATIONS, format="{:.2f}")
    for note in axes[0].texts:
        note.set_fontsize(7)
    axes[0].set(ylabel="share of values found", ylim=(0, 1.42), yticks=[0, 0.25, 0.5, 0.75, 1])
    style.legend(axes[0], ncols=3, loc="upper center")
    style.reference(axes[0], 1 / VALUES, "chance")
    style.bars(axes[1], table, "text", {arm: arm.replace(" ", "\n") for arm in table.arms}, format="{:.2f}")
    axes[1].tick_params(axis="x", labelsize=8)
    axes[1].set(ylabel="loss on text (nats per character)", ylim=(0, None))
    style.reference(axes[1], table.mean("separate", "unigram"), "character frequencies alone")
    return figure


CLAIM = Claim(
    id="C20",
    title="Why queries, keys and values, and not the raw vectors?",
    topic="attention",
    kind="trained",
    statement="Tokens need separate projections to queries, keys and values; attention between the raw vectors would be worse.",
    notes=("000 §2", "000 §7", "001 Q2", "002 Q8", "004:103", "004:114"),
    literature=(
        "Kitaev et al. (2020, Reformer, arXiv 2001.04451) tie queries and keys, which “does not perform worse” on text. He & Hofmann (2023, arXiv 2311.01906) leave out the matrices of values "
        "and of the output. What one matrix cannot do is to be asymmetric: x·y is y·x."
    ),
    method=(
        "One layer with one head reads eight tokens, each a key with a value. A token is asked for the value of the key after its own, an asymmetric relation, or of the other token "
        "with its key, a symmetric one. Arms: separate matrices, queries and keys by one, queries and keys that are the normalised input itself. Two layers with four heads also "
        "learn characters."
    ),
    decides=(
        "If separate projections find at least 90 % of the key after, and raw vectors more than 0.1 less (whole intervals): holds where the symmetric relation costs them more than 0.1 too, "
        "with a condition (the relation is asymmetric) where it costs at most that. Wrong if raw vectors are within 0.05 on both and within 0.03 nats on text. Not decided otherwise."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={"next": "share of values", "same": "share of values", "text": "nats per character", "unigram": "nats per character"},
    corpus=True,
    limits="Raw vectors are normalised ones, with the norm's learnt gain per feature; a second layer could make up for one matrix. Runs of 600 steps did not decide: raw vectors found the same key in 0.38 to 1 of cases, by seed.",
)  # fmt: skip
