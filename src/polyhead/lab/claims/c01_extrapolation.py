"""C01: sinusoidal encodings extrapolate to longer sequences than those trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus
from ..language import learn, tail_losses
from ..small import small
from ..style import figure, legend, lines, reference
from ..table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINED, LENGTHS, LAST = 64, (64, 80, 128, 256, 512), 16
RELATIVE = "decoder.blocks.layer.attention.position"
ARMS: dict[str, dict[str, Any]] = {
    "sinusoidal": {"decoder.embedding.position": {"kind": "sinusoidal"}, "decoder.embedding.scale": 8.0},
    "learned": {"decoder.embedding.position": {"kind": "learned", "length": LENGTHS[-1]}},
    "rotary": {RELATIVE: {"kind": "rotary"}},
    "T5's buckets": {RELATIVE: {"kind": "buckets", "two_sided": False}},
    "ALiBi": {RELATIVE: {"kind": "alibi"}},
    "none": {},
}


def measure(trial: Trial) -> dict[str, Any]:
    model = small(VOCAB, context=LENGTHS[-1], width=trial.pick(64, 96), layers=trial.pick(2, 3), changes=trial.arm).build(trial.seed)
    learn(model, trial.steps(300, 600), trial.seed, length=TRAINED)
    losses = tail_losses(model, LENGTHS, LAST)
    return {"loss": losses, "at 64": losses[0], "at 80": losses[1], "at 128": losses[2], "at 512": losses[-1], "unigram": corpus().unigram}


def rule(table: Table) -> Ruling:
    at = table.interval("sinusoidal", "at 64")
    quarter, double = (_gap(table, "sinusoidal", name) for name in ("at 80", "at 128"))
    numbers = f"sinusoidal, last {LAST} characters: {at.mean:.2f} nats at {TRAINED}, {quarter.mean:+.2f} at 80, {double.mean:+.2f} at 128"
    if at.mean > table.mean("sinusoidal", "unigram") - 0.5:
        return Ruling(Verdict.OPEN, f"The model has learnt too little at the trained length to tell. {numbers}.")
    best = min((arm for arm in table.arms if arm != "sinusoidal"), key=lambda arm: _gap(table, arm, "at 128").mean)
    control = _gap(table, best, "at 128")
    if quarter.low > 0.1 and double.low > max(0.1, control.high + 0.1):
        return Ruling(Verdict.WRONG, f"{numbers}, while {best} changes by {control.mean:+.2f} at 128 and {_gap(table, best, 'at 512').mean:+.2f} at 512.")
    if double.high < 0.05:
        return Ruling(Verdict.HOLDS, f"{numbers}: no loss at twice the length.")
    return Ruling(Verdict.OPEN, f"{numbers}: neither clearly worse nor clearly as good.")


def _gap(table: Table, arm: str, name: str) -> Any:
    return table.difference(arm, "at 64", name)


def draw(table: Table) -> Figure:
    fig, axes = figure()
    lines(axes, table, "loss", LENGTHS)
    reference(axes, table.mean("sinusoidal", "unigram"), "character frequencies alone")
    axes.set_xscale("log", base=2)
    axes.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
    axes.minorticks_off()
    axes.set_xlabel("characters read (trained on 64)")
    axes.set_ylabel(f"loss of the last {LAST} (nats per character)")
    legend(axes, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig


CLAIM = Claim(
    id="C01",
    title="Do sinusoidal positions extrapolate to longer texts?",
    topic="positions",
    kind="trained",
    statement="Sinusoidal encodings extrapolate to sequences longer than those seen in training.",
    notes=("000 §10", "001 Q7", "002 Q11", "003 §3", "004:77"),
    literature=(
        "Vaswani et al. (2017, arXiv 1706.03762, §3.5) chose sinusoids because they “may allow the model to extrapolate”. Press et al. "
        "(2022, arXiv 2108.12409) measured it: trained on 512 tokens, sinusoids gain until about 20 tokens more and then get worse, from a "
        "perplexity of 20.05 to 406 at 15,512, while ALiBi goes from 19.73 to 18.31. Kazemnejad et al. (2023, arXiv 2305.19466) find "
        "absolute encodings among the worst for length, and decoders without any encoding among the best."
    ),
    method=(
        "A small decoder learns to foretell the next character from windows of 64. Arms differ in the position encoding alone. Measured: the loss of "
        "the same held-out characters, 16 at each of 128 places, when 64 to 512 characters up to them are read."
    ),
    decides=(
        "Wrong as stated if the sinusoidal arm's loss is higher at 80 and at 128 characters than at 64 by more than 0.1 nats, whole interval, and by 0.1 "
        "more than that of the arm that bears it best. Holds if it is at most 0.05 higher at 128. Not decided if the model has not learnt (within 0.5 "
        "nats of character frequencies), or in between."
    ),
    expected=Verdict.WRONG,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={"at 64": "nats per character", "at 80": "nats per character", "at 128": "nats per character", "at 512": "nats per character", "unigram": "nats per character"},
    corpus=True,
    limits="Small models of characters, trained for a minute; larger ones last a little longer, as Press et al. show, and end alike.",
)
