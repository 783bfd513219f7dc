"""C13: does translation need an encoder and a decoder?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table
from ..translation import learnt, spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = (75, 150, 225, 300)  # steps of training at which models are asked
WORDS = 8  # of source and of target, for the count of operations
BOTH, TURNED, ADDED = "encoder and decoder", "decoder alone, rotary", "decoder alone, learned"
ARMS = {BOTH: ("encoder-decoder", "learned"), TURNED: ("decoder-only", "rotary"), ADDED: ("decoder-only", "learned")}


def measure(trial: Trial) -> Numbers:
    arrangement, positions = trial.arm
    looks = (1, 2) if trial.mode == "smoke" else tuple(trial.pick(1, 4) * step for step in LOOKS)
    model, curve = learnt(arrangement, positions, trial.seed, looks)
    plan = spec(arrangement, positions)
    work = plan.flops(WORDS, source=WORDS) if arrangement == "encoder-decoder" else plan.flops(2 * WORDS)
    return {
        "exact": curve, "at the end": curve[-1], "over training": sum(curve) / len(curve),
        "parameters": sum(p.numel() for p in model.parameters()), "FLOPs": work.total,
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    ends = {arm: table.gap(BOTH, arm, "at the end") for arm in (TURNED, ADDED)}
    ways = {arm: table.gap(BOTH, arm, "over training") for arm in (TURNED, ADDED)}
    told = (
        f"Of sentences, encoder and decoder translate {table.interval(BOTH, 'at the end')} word for word at the end of training and {table.mean(BOTH, 'over training'):.2f} on average over it; "
        f"the decoder alone {table.interval(TURNED, 'at the end')} and {table.mean(TURNED, 'over training'):.2f} with rotary positions, {table.interval(ADDED, 'at the end')} and "
        f"{table.mean(ADDED, 'over training'):.2f} with learned ones."
    )
    if max(table.mean(arm, "at the end") for arm in table.arms) < 0.8:
        return Ruling(Verdict.OPEN, f"None has learnt the language. {told}")
    level = [arm for arm, gap in ends.items() if gap.low > -0.05]
    behind = [arm for arm, gap in ends.items() if gap.high < -0.1]
    if len(behind) == 2:
        return Ruling(Verdict.HOLDS, told)
    if len(level) == 2 and all(gap.low > -0.05 for gap in ways.values()):
        return Ruling(Verdict.WRONG, told)
    if level and (behind or any(gap.high < -0.05 for gap in ways.values())):
        return Ruling(Verdict.CONDITION, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, (left, right) = style.figure(2, width=9.6)
    steps = LOOKS[: table.values(BOTH, "exact").shape[1]]
    style.lines(left, table, "exact", steps)
    left.set(xlabel="training steps", ylabel="translated word for word (share)", ylim=(-0.03, 1.05))
    style.legend(left)
    for index, arm in enumerate(table.arms):
        once = 3 * table.mean(arm, "FLOPs") / 1e9  # forward and backward pass
        style.line(right, [once * step for step in steps], table.values(arm, "exact"), arm, index)
    right.set(xlabel="operations of training, per row of a batch (10⁹ FLOPs)", ylabel="translated word for word (share)", ylim=(-0.03, 1.05))
    return figure


CLAIM = Claim(
    id="C13",
    title="Is a decoder alone worse at translation?",
    topic="families",
    kind="trained",
    statement="Translation needs an encoder and a decoder. A decoder-only model is not ideal: it treats translation as one long sequence and struggles with alignment and reordering.",
    notes=("004:371", "004:394", "004:403", "001 Q18", "002 Q12"),
    literature=(
        "Gao et al. (2022, arXiv 2210.11807): a language model over source and target is on par with encoder–decoders in all cases they compare. Wang et al. (2022, arXiv 2204.05832): "
        "which arrangement is better depends on the objective and on what follows pre-training."
    ),
    method=(
        "A made-up language pair: subject–verb–object becomes subject–object–verb, adjectives change sides, and a verb has two translations of which its subject tells; one or two clauses of "
        f"three to five words. Encoder and decoder of two layers each, or a decoder of four layers that reads source and target as one sequence; the same number of parameters in their "
        "blocks, the same sentences in the same order, and the loss on target words alone. The decoder alone comes twice: with rotary positions, as is usual for it, and with learned ones added, as the "
        f"other arm has. Measured: the share of unseen sentences that greedy decoding translates word for word, at {', '.join(map(str, LOOKS))} steps."
    ),
    decides=(
        "Wrong if the decoder alone, with either kind of position, is not more than 0.05 behind at the end and on average over training (whole intervals of the difference). Holds if with both it is more than "
        "0.1 behind at the end. With a condition if with one kind it is on par at the end, and with the other more than 0.1 behind, or more than 0.05 behind over training. Not decided otherwise, or if none reaches 0.8."
    ),
    expected=Verdict.WRONG,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={"at the end": "share of sentences", "over training": "share of sentences", "parameters": "parameters", "FLOPs": f"FLOPs, {WORDS} words to {WORDS}"},
    limits=(
        "A toy grammar of 17 words, short sentences, short training: no claim about large systems. At equal parameters the decoder alone does twice the operations. First looks changed the design: with sinusoids, "
        "encoder and decoder reached 0.92 in 400 steps and the decoder alone nothing; with learned positions alone, it was 0.38 behind and the claim held. The rotary arm and the condition were written after that, when one seed of rotary had been seen to reach 0.98."
    ),
)
