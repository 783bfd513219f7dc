"""C38: what becomes of a deep Transformer without normalisation?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus, spread
from ..language import held_loss, learn
from ..small import small
from ..table import Interval, Numbers, Table, interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTHS, TRAINED, LENGTH, WORST = (6, 20, 64), 8, 32, 10.0  # a loss above WORST, or no number, counts as WORST
STARTS = {"xavier": "Xavier", "normal": "GPT-2's"}
BARE = {"norm": {"kind": "none"}, "residual.placement": "none"}
ARMS: dict[str, dict[str, Any]] = {"pre-norm": {}, "none": BARE, "none, ReZero": BARE | {"residual.gain": {"kind": "rezero"}}}


def build(arm: dict[str, Any], start: str, layers: int, seed: int) -> Transformer:
    changes = {"init": {"kind": start}, "decoder.embedding.position": {"kind": "learned", "length": LENGTH}}
    changes |= {f"decoder.blocks.layer.{field}": value for field, value in arm.items()} | ({"decoder.final_norm": None} if arm else {})
    return small(VOCAB, context=LENGTH, width=32, layers=layers, changes=changes).build(seed)


def measure(trial: Trial) -> Numbers:
    numbers: dict[str, Any] = {"unigram": corpus().unigram}
    for start in STARTS:
        numbers[f"{start}, gradients"] = [first_gradient(build(trial.arm, start, layers, trial.seed)) for layers in DEPTHS]
        model = build(trial.arm, start, TRAINED, trial.seed)
        learn(model, trial.steps(300, 800), trial.seed, batch=8, length=LENGTH, lr=3e-3)
        loss = held_loss(model, LENGTH, characters=8192)
        numbers[f"{start}, loss"] = min(loss, WORST) if math.isfinite(loss) else WORST
        numbers[f"{start}, gradient"] = numbers[f"{start}, gradients"][-1]
    return numbers


def first_gradient(model: Transformer) -> float:
    """Norm of the whole gradient of the loss before any training; at most 1e30."""
    rows = spread(corpus().train, 4, LENGTH + 1)
    F.cross_entropy(model(Tokens(rows[:, :-1])).flatten(0, 1), rows[:, 1:].flatten()).backward()
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
    return min(norm, 1e30) if math.isfinite(norm) else 1e30


def rule(table: Table) -> Ruling:
    base = min(STARTS, key=lambda start: table.mean("pre-norm", f"{start}, loss"))
    normed = table.mean("pre-norm", f"{base}, loss")
    gaps = {(arm, start): _behind(table, base, arm, start) for arm in table.arms if arm != "pre-norm" for start in STARTS}
    wild, calm = table.mean("none", "xavier, gradient"), table.mean("pre-norm", "xavier, gradient")
    told = (
        f"{TRAINED} layers end at {normed:.2f} nats with norms; without they are from that "
        + ", ".join(f"{gap.mean:+.2f} ({'ReZero, ' * ('ReZero' in arm)}{STARTS[start]} start)" for (arm, start), gap in gaps.items())
        + f". Untrained, the gradient of {DEPTHS[-1]} layers from Xavier's start is {wild:.1g} without norms and {calm:.1g} with them, from GPT-2's "
        f"{table.mean('none', 'normal, gradient'):.1g} without."
    )
    if normed > table.mean("pre-norm", "unigram") - 0.2:
        return Ruling(Verdict.OPEN, f"With norms too little is learnt to tell. {told}")
    if min(gap.low for gap in gaps.values()) > 0.5:
        return Ruling(Verdict.HOLDS, told)
    if min(gap.high for gap in gaps.values()) < 0.1 and wild > 100 * calm:
        return Ruling(Verdict.WRONG, told)
    return Ruling(Verdict.OPEN, told)


def _behind(table: Table, base: str, arm: str, start: str) -> Interval:
    return interval(table.values(arm, f"{start}, loss") - table.values("pre-norm", f"{base}, loss"))


def draw(table: Table) -> Figure:
    figure, axes = style.figure(2, width=9.6)
    names = {f"{start}, loss": f"{label} start" for start, label in STARTS.items()}
    style.groups(axes[0], table, names, format="{:.2f}")
    axes[0].set(ylabel=f"loss of {TRAINED} layers (nats per character)")
    axes[0].margins(y=0.4)
    style.legend(axes[0], ncols=3, loc="upper center")
    style.reference(axes[0], table.mean("pre-norm", "unigram"), "character frequencies alone")
    for index, arm in enumerate(table.arms):
        for start, dashes in zip(STARTS, ("-", ":"), strict=True):
            style.line(axes[1], DEPTHS, table.values(arm, f"{start}, gradients"), f"{arm}, {STARTS[start]}", index, linestyle=dashes)
    axes[1].set(xlabel="layers", ylabel="gradient before training (norm)", xscale="log", yscale="log")
    axes[1].set_xticks(DEPTHS, [str(n) for n in DEPTHS])
    axes[1].minorticks_off()
    style.legend(axes[1])
    return figure


CLAIM = Claim(
    id="C38",
    title="Does training diverge without normalisation?",
    topic="residuals and norms",
    kind="trained",
    statement="Without normalisation gradients explode or vanish and training diverges; it is LayerNorm that makes deep Transformers possible.",
    notes=("000 §5", "003 §5", "004:233", "004:241"),
    literature=(
        "Bachlechner et al. (2020, ReZero, arXiv 2003.04887) train Transformers of more than 100 layers without norms, by a gain per sublayer that starts at zero; Zhu et al. (2025, DyT, arXiv "
        "2503.10622) match normalised models with a tanh in the norm's place. And LayerNorm alone, after each addition, did not reach such depths: Wang et al. (2022, DeepNet, arXiv "
        "2203.00555) needed a scaled skip."
    ),
    method=(
        "Decoders with a LayerNorm before each sublayer, with no norm at all, and with no norm but ReZero's gain; each from Xavier's initial values and from GPT-2's (deviation 0.02, "
        f"smaller in the matrices that write into the stream). Untrained, {DEPTHS[0]} to {DEPTHS[-1]} layers: the norm of the gradient. Then {TRAINED} layers learn characters."
    ),
    decides=(
        f"Wrong as stated if a model of {TRAINED} layers without norms ends within 0.1 nats of the better one with them (whole interval), while without norms the gradient of {DEPTHS[-1]} layers "
        "from Xavier's start is more than 100 times that with them: the danger is real, and the norm not the only way out. Holds if all without norms end more than 0.5 behind. Not decided "
        "in between, or if norms too stay within 0.2 nats of character frequencies."
    ),
    expected=Verdict.WRONG,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={
        **{f"{start}, loss": "nats per character (at most 10)" for start in STARTS}, **{f"{start}, gradient": f"norm, {DEPTHS[-1]} layers (at most 1e30)" for start in STARTS},
        "unigram": "nats per character",
    },
    corpus=True,
    limits="Narrow models at one learning rate: norms also widen the range of rates that work, which is not measured here. Runs of 100 steps did not decide: the arms were 0.16 to 0.23 nats behind.",
)  # fmt: skip
