"""C44: does each head take a role of its own?"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import torch

from polyhead.nn import Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..relations import HEADS, LAYERS, RELATIONS, learnt, right, text
from ..table import Numbers, Table
from ..watching import watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLEAN = 0.5  # of a head's weight, on the token that tells
NAMES = [f"{layer + 1}.{head + 1}" for layer in range(LAYERS) for head in range(HEADS)]


def measure(trial: Trial) -> Numbers:
    model = learnt(trial.seed, trial.steps(240, 1000))
    rows = text(300, Random(1000 + trial.seed))
    copy, parts = watched(model)
    with torch.no_grad():
        copy(Tokens(rows.ids))
    seen = torch.cat([part.seen for part in parts["decoder"] if part.seen is not None], 1)  # (B, heads of both layers, T, T)
    told = seen.gather(3, rows.where.clamp(min=0)[:, None, :, None].expand(-1, seen.shape[1], -1, -1))[..., 0]
    found = [[float(told[:, head][rows.relation == which].mean()) for which in range(len(RELATIONS))] for head in range(seen.shape[1])]
    roles = [[share > CLEAN for share in head] for head in found]
    return {
        "right": min(right(model, rows)), "weight": found,
        "relations with a head": sum(map(any, zip(*roles, strict=True))),
        "heads with one role": sum(sum(head) == 1 for head in roles) / len(roles),
        "heads with several": sum(sum(head) > 1 for head in roles) / len(roles),
        "heads with none": sum(not any(head) for head in roles) / len(roles),
    }  # fmt: skip


def moved(table: Table) -> float:
    """Over pairs of seeds: the share of (head, relation) roles of one that the other lacks at the same head."""
    roles = [seed > CLEAN for seed in table.values("heads", "weight")]
    shares = [(a & ~b).sum() / max(1, a.sum()) for i, a in enumerate(roles) for j, b in enumerate(roles) if i != j]
    return float(sum(shares) / len(shares)) if shares else 0.0


def rule(table: Table) -> Ruling:
    relations, one = table.values("heads", "relations with a head"), table.interval("heads", "heads with one role")
    several, none = table.interval("heads", "heads with several"), table.interval("heads", "heads with none")
    told = (
        f"On average {relations.mean():.3g} of {len(RELATIONS)} relations have a head that puts more than {CLEAN} of its weight on the token that tells. Of {len(NAMES)} heads, {one.mean:.0%} have one such relation, "
        f"{several.mean:.0%} several and {none.mean:.0%} none; from seed to seed {moved(table):.0%} of the roles are with other heads."
    )
    if table.mean("heads", "right") < 0.9:
        return Ruling(Verdict.OPEN, f"The relations are not learnt. {told}")
    if relations.min() == len(RELATIONS) and one.low > 0.75:
        return Ruling(Verdict.HOLDS, told)
    if relations.max() <= 1:
        return Ruling(Verdict.WRONG, told)
    if relations.min() >= 3 and one.high < 0.75:
        return Ruling(Verdict.CONDITION, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    seeds = table.seeds[:3]
    figure, axes = style.figure(len(seeds), width=3.4 + 2.9 * len(seeds))
    for panel, seed, weight in zip(axes if len(seeds) > 1 else [axes], seeds, table.values("heads", "weight"), strict=False):
        style.heat(panel, weight, NAMES, RELATIONS, low=0, high=1)
        panel.set_title(f"seed {seed}")
        panel.axhline(HEADS - 0.5, color=style.BACK(), linewidth=3)
    (axes if len(seeds) == 1 else axes[0]).set_ylabel("layer.head")
    figure.supxlabel("relation: weight on the one token that tells (share)", fontsize=10)
    return figure


CLAIM = Claim(
    id="C44",
    title="Does each head learn a role of its own?",
    topic="heads",
    kind="trained",
    statement="Each head looks at something else: one at syntax, one at coreference, one at distant tokens, one at neighbours.",
    notes=("002 Q3", "001 Q5", "003 §2", "004:147", "004:171"),
    literature=(
        "Clark et al. (2019, arXiv 1906.04341) find BERT heads for single syntactic relations, and many that look at separators. Voita et al. (2019, arXiv 1905.09418) find a few "
        "positional, syntactic and rare-word heads in translation; the others can be removed."
    ),
    method=(
        f"Made-up text in which a token may ask for the value of the token before it, of the latest opening bracket of its kind, of its subject, or of the earlier token with its name; each is told by one token alone. "
        f"A causal decoder of {LAYERS} layers with {HEADS} heads each learns to answer. Measured: the weight that each head gives, where a relation is asked for, to the token that tells."
    ),
    decides=(
        f"A head has a role in a relation if more than {CLEAN} of its weight is on the token that tells. Holds if with every seed all four relations have such a head and more than 75 % of heads have exactly one role. "
        "With a condition if at least three relations have one, but fewer than 75 % of heads have exactly one role. Wrong if no seed gives more than one relation a head. Not decided otherwise (whole intervals), or if "
        "less than 90 % of answers are right."
    ),
    expected=Verdict.CONDITION,
    arms={"heads": None},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"right": "share of answers, worst relation", "relations with a head": "of 4", "heads with one role": "share of heads", "heads with several": "share of heads", "heads with none": "share of heads"},
    limits="A token asks for one thing at a time here, so that one head can serve several relations in turn; in real text a token has several relations at once, and what they truly are is annotated, not known. The task was drawn anew once, when one of its relations was not learnt.",
)
