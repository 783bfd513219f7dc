"""C45: do several heads force diversity?"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..relations import HEADS, LAYERS, build, learnt, right, text
from ..table import Numbers, Table
from ..watching import Watched, watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL, SLACK = LAYERS * HEADS, 0.02
USUAL, ALIKE = "as usual", "heads alike at the start"


def alike(parts: list[Watched]) -> float:
    """How much of their weight two heads of a layer share: the mean over pairs of heads, queries and layers of Σ min."""
    shares = []
    for part in parts:
        assert part.seen is not None
        seen = part.seen[:, :, 1:]  # the first token can look at itself alone
        shares += [torch.minimum(seen[:, a], seen[:, b]).sum(-1).mean() for a in range(HEADS) for b in range(a)]
    return float(torch.stack(shares).mean())


def shared(model: Transformer, ids: Tensor) -> float:
    copy, parts = watched(model)
    with torch.no_grad():
        copy(Tokens(ids))
    return alike(parts["decoder"])


def measure(trial: Trial) -> Numbers:
    """trial.arm: whether all heads of a layer start with the same numbers."""
    model = learnt(trial.seed, trial.steps(240, 1000), trial.arm)
    chance = Random(1000 + trial.seed)
    rows, judged = text(150, chance), text(300, chance)
    copy, parts = watched(model)
    heads = [(part, head) for part in parts["decoder"] for head in range(HEADS)]
    curve = [sum(right(copy, judged)) / 4]
    while heads:
        best, least = -1.0, heads[0]
        for part, head in heads:
            part.gate[head] = 0.0
            share = sum(right(copy, rows)) / 4
            part.gate[head] = 1.0
            if share > best:
                best, least = share, (part, head)
        least[0].gate[least[1]] = 0.0
        heads.remove(least)
        curve.append(sum(right(copy, judged)) / 4)
    gone = next((n for n, share in enumerate(curve) if share < curve[0] - SLACK), ALL + 1) - 1
    return {
        "right": curve[0], "without": curve, "removable": gone / ALL, "shared": shared(model, judged.ids),
        "shared at the start": shared(build(trial.seed, trial.arm), judged.ids),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    removable, same = table.interval(USUAL, "removable"), table.interval(ALIKE, "shared")
    told = (
        f"Of {ALL} heads, a share of {removable} can be removed greedily for at most {SLACK} of the answers. Two heads of a layer share {table.interval(USUAL, 'shared')} of their weight after training; where they "
        f"started alike, {same}, and {table.interval(ALIKE, 'right')} of answers are right, against {table.interval(USUAL, 'right')}."
    )
    if table.mean(USUAL, "right") < 0.9:
        return Ruling(Verdict.OPEN, f"The task is not learnt. {told}")
    if removable.low >= 0.5:
        return Ruling(Verdict.WRONG, told)
    if removable.high < 0.5 and same.high < 0.9:
        return Ruling(Verdict.HOLDS, told)
    if removable.high < 0.5 and same.low > 0.99:
        return Ruling(Verdict.CONDITION, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, (left, right_) = style.figure(2, width=9.6)
    style.lines(left, table, "without", range(ALL + 1))
    left.set(xlabel=f"heads removed of {ALL}, the least missed first", ylabel="right answers (share)", ylim=(0, 1.06))
    style.reference(left, 0.25, "chance")
    style.legend(left, loc="center left")
    style.groups(right_, table, {"shared at the start": "untrained", "shared": "trained"}, format="{:.2f}")
    right_.set(ylabel="weight two heads of a layer share", ylim=(0, 1.35), yticks=[0, 0.25, 0.5, 0.75, 1])
    style.legend(right_, loc="upper center")
    return figure


CLAIM = Claim(
    id="C45",
    title="Do several heads force diversity?",
    topic="heads",
    kind="trained",
    statement="Several heads force diversity in attention and encourage disentangled representations.",
    notes=("004:167", "004:168", "004:169"),
    literature=(
        "Li et al. (2018, arXiv 1810.10183) add a penalty for heads that agree, since nothing else keeps them apart. Michel et al. (2019, arXiv 1905.10650) and Voita et al. (2019, arXiv 1905.09418, 38 of 48 "
        "encoder heads for 0.15 BLEU) remove heads of trained models."
    ),
    method=(
        f"The text with four planted relations and the model of C44, {LAYERS} layers of {HEADS} heads. After training, heads are closed one by one, each time the one whose absence leaves most answers right on 150 texts, "
        "and the answers are judged on 300 others. Arms: the usual start, and one in which all heads of a layer have the same numbers, so that only what training does can part them. Beside it: how much of their weight two heads of a layer share."
    ),
    decides=(
        f"Wrong if half of the heads or more can be removed for at most {SLACK} of the answers. Holds if fewer can, and heads that start alike are driven apart (share less than 0.9 of their weight). With a condition if fewer can, but heads that start alike stay "
        "so (more than 0.99): then it is the start that makes them differ. Not decided otherwise (whole intervals), or if less than 90 % of answers are right."
    ),
    expected=Verdict.WRONG,
    arms={USUAL: False, ALIKE: True},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"right": "share of answers", "removable": "share of heads", "shared": "share of weight", "shared at the start": "share of weight"},
    limits="Four relations and eight heads: what share can go depends on how many there are for the task. Untrained heads look everywhere, so that they share most. The task was drawn anew once, when one of its relations was not learnt.",
)
