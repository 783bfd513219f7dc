"""C18: why several heads and not one?"""

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

KEYS, VALUES, WIDTH = 4, 16, 16
PAIRS = KEYS * VALUES
VOCAB = PAIRS + KEYS * KEYS
HEADS = (1, 2, 4, 8)
PUBLISHED = {1: 24.9, 4: 25.5, 8: 25.8, 16: 25.8, 32: 25.4}  # BLEU, Vaswani et al. 2017, table 3 (A)


def rows(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(ids (n, 5), answers (n, 2)): four keys in any order, each fused with a value, then a question for the values of two of them."""
    keys = torch.rand(n, KEYS, generator=generator).argsort(1)
    values = torch.randint(VALUES, (n, KEYS), generator=generator)  # of key 0, 1, …
    asked = torch.rand(n, KEYS, generator=generator).argsort(1)[:, :2]
    question = PAIRS + asked[:, :1] * KEYS + asked[:, 1:]
    return torch.cat([keys * VALUES + values.gather(1, keys), question], 1), values.gather(1, asked)


def measure(trial: Trial) -> Numbers:
    generator = torch.Generator().manual_seed(trial.seed)
    model = small(VOCAB, "encoder", width=WIDTH, layers=1, heads=trial.arm, context=KEYS + 1, output=2 * VALUES).build(trial.seed)

    def answers(ids: Tensor) -> Tensor:
        return model(Tokens(ids))[:, -1].unflatten(-1, (2, VALUES))

    def loss(_: int) -> Tensor:
        ids, wanted = rows(32, generator)
        return F.cross_entropy(answers(ids).flatten(0, 1), wanted.flatten())

    train(model, loss, trial.steps(700, 3000), lr=2e-2, warmup=30, decay=cosine)
    ids, wanted = rows(2000, generator)
    with torch.no_grad():
        hits = answers(ids).argmax(-1) == wanted
    return {"both": float(hits.all(1).float().mean()), "one of them": float(hits.float().mean())}


def rule(table: Table) -> Ruling:
    shares = {arm: table.interval(arm, "both") for arm in table.arms}
    one, most = shares["1"], shares[str(HEADS[-1])]
    best = max((arm for arm in shares if arm not in ("1", str(HEADS[-1]))), key=lambda arm: shares[arm].mean, default="1")
    told = "Both values are found by " + ", ".join(f"{arm} head{'s' * (arm != '1')} in {share}" for arm, share in shares.items()) + " of questions."
    if max(share.mean for share in shares.values()) < 0.5:
        return Ruling(Verdict.OPEN, f"No number of heads learns the task. {told}")
    if min(share.mean for share in shares.values()) > 0.9:
        return Ruling(Verdict.OPEN, f"Every number of heads learns the task, so that it does not bind. {told}")
    if one.low > shares[best].high and one.low > most.high:
        return Ruling(Verdict.WRONG, told)
    if shares[best].low > one.high + 0.1 and shares[best].low > most.high + 0.1:
        return Ruling(Verdict.CONDITION, told)
    if shares[best].low > one.high + 0.1 and most.low > one.high + 0.1:
        return Ruling(Verdict.HOLDS, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(2, width=9.0)
    style.bars(axes[0], table, "both", format="{:.2f}")
    axes[0].set(xlabel="heads (width 16 in all)", ylabel="share with both values right", ylim=(0, 1.15))
    axes[0].set_title("measured here")
    axes[1].plot(list(PUBLISHED), list(PUBLISHED.values()), marker="o", color=style.colour(0))
    axes[1].set(xlabel="heads (width 512 in all)", ylabel="BLEU, English to German", ylim=(24.5, 26.1))
    axes[1].set_xscale("log", base=2)
    axes[1].set_xticks(list(PUBLISHED), [str(n) for n in PUBLISHED])
    axes[1].minorticks_off()
    axes[1].set_title("published: Vaswani et al. 2017, table 3 (A)")
    return figure


CLAIM = Claim(
    id="C18",
    title="Why several heads and not one?",
    topic="heads",
    kind="trained",
    statement="Several heads are better than one: each looks at something else, and a single large head would average it all.",
    notes=("000 §7", "001 Q5", "002 Q3", "003 §2", "004:143", "004:169"),
    literature=(
        "Vaswani et al. (2017, arXiv 1706.03762, table 3 A): 24.9 BLEU with one head, 25.8 with 8 or 16, 25.4 with 32, at the same size. Michel et al. (2019, arXiv 1905.10650) and "
        "Voita et al. (2019, arXiv 1905.09418) find that once trained most heads can go: 38 of 48 for 0.15 BLEU."
    ),
    method=(
        f"One layer, {WIDTH} wide, reads four keys, each with one of {VALUES} values, and a question for two of the keys; it must name both values at once, so that it has to look at "
        "two places. Arms differ in the number of heads; the width, and so the number of parameters, stays."
    ),
    decides=(
        f"A middle number of heads must be above one head by more than 0.1 (intervals apart): holds if {HEADS[-1]} heads are so too, with a condition if {HEADS[-1]} heads are as far below "
        "that middle number, an inverted U. Wrong if one head is best. Not decided otherwise, or if the task does not bind: no arm reaches 0.5, or all exceed 0.9."
    ),
    expected=Verdict.CONDITION,
    arms={str(heads): heads for heads in HEADS},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"both": "share of questions", "one of them": "share of values"},
    seeds=(3, 8),
    limits="With fewer values, more width or longer training one head does it as well: what several give is room to look at several places at once.",
)
