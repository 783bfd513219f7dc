"""C14: post-norm, pre-norm, and warm-up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus, spread
from ..language import held_loss, learn
from ..small import small
from ..table import Numbers, Table
from ..training import constant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTHS, TRAINED, LENGTH, WIDTH = (3, 6, 12, 24), 6, 32, 48
RATES, WARMUPS = (1e-3, 3e-3), (0, 100)
WORST = 10.0  # a loss that is more, or no number, counts as this


def build(placement: str, layers: int, seed: int) -> Transformer:
    changes = {
        "init": {"kind": "xavier"}, "decoder.blocks.layer.residual.placement": placement,
        "decoder.final_norm": {"kind": "layer"} if placement == "pre" else None,
        "decoder.embedding.position": {"kind": "learned", "length": LENGTH},
    }  # fmt: skip
    return small(VOCAB, context=LENGTH, width=WIDTH, layers=layers, changes=changes).build(seed)


def name(rate: float, warmup: int) -> str:
    return f"{rate:g}, warm-up {warmup}"


def measure(trial: Trial) -> Numbers:
    numbers: Numbers = {"gradient": [first_gradient(build(trial.arm, layers, trial.seed)) for layers in DEPTHS], "unigram": corpus().unigram}
    for rate in RATES:
        for warmup in WARMUPS:
            model = build(trial.arm, TRAINED, trial.seed)
            learn(model, trial.steps(250, 800), trial.seed, batch=16, length=LENGTH, lr=rate, warmup=warmup, decay=constant)
            loss = held_loss(model, LENGTH, characters=8192)
            numbers = {**numbers, name(rate, warmup): min(loss, WORST) if math.isfinite(loss) else WORST}
    return numbers


def first_gradient(model: Transformer) -> float:
    """Norm of the loss's gradient at the last layer's second feed-forward matrix, before any training."""
    rows = spread(corpus().train, 8, LENGTH + 1)
    F.cross_entropy(model(Tokens(rows[:, :-1])).flatten(0, 1), rows[:, 1:].flatten()).backward()
    grad = model.top.layers[-1].get_parameter("ffn.down.weight").grad
    assert grad is not None
    return float(grad.norm())


def rule(table: Table) -> Ruling:
    (low, high), (cold, warm) = RATES, WARMUPS
    helped = table.difference("post-norm", name(high, warm), name(high, cold))
    behind, calm = table.gap("pre-norm", "post-norm", name(high, cold)), table.gap("pre-norm", "post-norm", name(low, cold))
    pre = table.difference("pre-norm", name(high, warm), name(high, cold))
    told = (
        f"At a rate of {high:g} post-norm without warm-up ends {helped.mean:+.2f} nats from itself with warm-up and {behind.mean:+.2f} from pre-norm without "
        f"(to which warm-up matters by {pre.mean:+.2f}); at {low:g} the two differ by {calm.mean:+.2f}."
    )
    if table.mean("pre-norm", name(high, cold)) > table.mean("pre-norm", "unigram") - 0.2 and behind.low < 0.1:
        return Ruling(Verdict.OPEN, f"Pre-norm has not learnt enough to tell. {told}")
    if behind.low > 0.2 and helped.low > 0.1:
        return Ruling(Verdict.HOLDS if calm.low > 0.1 else Verdict.CONDITION, told)
    if behind.high < 0.1 and calm.high < 0.1:
        return Ruling(Verdict.WRONG, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(2, width=9.6)
    style.lines(axes[0], table, "gradient", DEPTHS)
    axes[0].set(xlabel="layers", ylabel="first gradient of the last layer (norm)", ylim=(0, None))
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks(DEPTHS, [str(n) for n in DEPTHS])
    axes[0].minorticks_off()
    style.legend(axes[0])
    cells = [(arm, warmup) for arm in table.arms for warmup in WARMUPS]
    values = [[table.mean(arm, name(rate, warmup)) for rate in RATES] for arm, warmup in cells]
    style.heat(axes[1], values, [f"{arm}\n{f'{warmup} steps' if warmup else 'no'} warm-up" for arm, warmup in cells], [f"{rate:g}" for rate in RATES])
    axes[1].set(xlabel="learning rate")
    axes[1].set_title(f"loss of {TRAINED} layers (nats per character)")
    return figure


CLAIM = Claim(
    id="C14",
    title="Is post-norm unstable, pre-norm stable, and warm-up crucial?",
    topic="residuals and norms",
    kind="trained",
    statement="Post-norm has unstable gradients at the start and needs warm-up; pre-norm is stable.",
    notes=("000 §5", "001 Q16", "002 Q7", "002 Q17", "004:285"),
    literature=(
        "Xiong et al. (2020, arXiv 2002.04745): with the norm after the addition the first gradients near the output are large, with the norm before it they shrink as 1/√layers, and "
        "warm-up can be left out. Liu et al. (2020, arXiv 2004.08249) add that post-norm, where it trains, often ends better."
    ),
    method=(
        f"Decoders with Xavier's initial values learn characters, the norm after each addition or before each sublayer. Untrained, {DEPTHS[0]} to {DEPTHS[-1]} layers: the gradient of the "
        f"last feed-forward matrix. Then {TRAINED} layers are trained at two learning rates, with and without {WARMUPS[1]} steps of warm-up; after it the rate stays."
    ),
    decides=(
        f"At the rate {RATES[1]:g} post-norm without warm-up must end worse than pre-norm without it by more than 0.2 nats and worse than itself with it by more than 0.1 (whole intervals): holds "
        f"if at {RATES[0]:g} too it is more than 0.1 behind pre-norm, else holds with a condition. Wrong if it is at most 0.1 behind at both rates. Not decided otherwise, or "
        "if pre-norm stays within 0.2 nats of character frequencies."
    ),
    expected=Verdict.CONDITION,
    arms={"post-norm": "post", "pre-norm": "pre"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={**{name(rate, warmup): "nats per character (at most 10)" for rate in RATES for warmup in WARMUPS}, "unigram": "nats per character"},
    corpus=True,
    limits=(
        "Six narrow layers and a short training: where the limit lies depends on depth, width and optimiser. Size, length and rates are those at which post-norm learns at all "
        "in so short a time, found with one seed before the rule was asked."
    ),
)  # fmt: skip
