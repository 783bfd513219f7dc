"""C32: sinusoidal positions against a learned table, inside the trained length and beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polyhead.nn import SinusoidalSpec, Transformer
from polyhead.nn.position import Sinusoidal

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus
from ..language import held_loss, learn, tail_losses
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, TRAINED, BEYOND, LAST = 48, 48, 96, 12
POSITION = "decoder.embedding.position"
ARMS: dict[str, dict[str, Any]] = {
    "sinusoidal": {POSITION: {"kind": "sinusoidal"}, "decoder.embedding.scale": 50.0},
    "learned": {POSITION: {"kind": "learned", "length": BEYOND}},
    "none": {},
}
EQUAL = 0.05  # nats


def table_of(model: Transformer, arm: str) -> Tensor:
    """(TRAINED, WIDTH): what is added at the trained positions."""
    if arm == "learned":
        return model.get_parameter(f"{POSITION.replace('embedding', 'embed')}.weight")[:TRAINED].detach()
    module = SinusoidalSpec().build(WIDTH, 1)
    assert isinstance(module, Sinusoidal)
    return module.table(torch.arange(TRAINED)[None], WIDTH)[0]


def measure(trial: Trial) -> Numbers:
    """trial.arm: its name."""
    model = small(VOCAB, width=WIDTH, context=BEYOND, changes=ARMS[trial.arm]).build(trial.seed)
    new = smooth(table_of(model, trial.arm)) if trial.arm != "none" else 0.0
    learn(model, trial.steps(300, 1500), trial.seed, batch=16, length=TRAINED)
    at, beyond = tail_losses(model, (TRAINED, BEYOND), LAST)
    found = {"inside": held_loss(model, TRAINED), "last inside": at, "last beyond": beyond, "costs": beyond - at}
    parameters = sum(p.numel() for name, p in model.named_parameters() if "embed.position" in name)
    if trial.arm == "none":
        return {**found, "parameters": parameters, "unigram": corpus().unigram, "smooth before": 0.0, "smooth after": 0.0, "likeness": [0.0] * TRAINED}
    positions = table_of(model, trial.arm)
    return {
        **found, "parameters": parameters, "unigram": corpus().unigram, "smooth before": new, "smooth after": smooth(positions),
        "likeness": likeness(positions),
    }  # fmt: skip


def smooth(positions: Tensor) -> float:
    """Share of the table's variance over positions in waves of at least 8 positions."""
    power = torch.fft.rfft(positions - positions.mean(0), dim=0).abs().square().sum(1)
    return float(power[1 : TRAINED // 8 + 1].sum() / power[1:].sum())


def likeness(positions: Tensor) -> list[float]:
    """The mean cosine of two positions' vectors, the mean vector taken off, by how far apart they are."""
    unit = torch.nn.functional.normalize(positions - positions.mean(0), dim=1)
    cosines = unit @ unit.T
    return [float(cosines.diagonal(k).mean()) for k in range(TRAINED)]


def rule(table: Table) -> Ruling:
    inside, beyond = table.gap("learned", "sinusoidal", "inside"), {arm: table.interval(arm, "costs") for arm in ("sinusoidal", "learned")}
    binds = table.gap("learned", "none", "inside")
    told = (
        f"Inside {TRAINED} characters the loss is {table.mean('sinusoidal', 'inside'):.3f} nats with sinusoids and {table.mean('learned', 'inside'):.3f} with a learned table (difference {inside.mean:+.3f}, {inside.low:+.3f} to {inside.high:+.3f}; without positions "
        f"{table.mean('none', 'inside'):.3f}). At {BEYOND} the last characters cost {beyond['sinusoidal'].mean:+.2f} and {beyond['learned'].mean:+.2f} nats. The table's smooth part went from "
        f"{table.mean('learned', 'smooth before'):.0%} to {table.mean('learned', 'smooth after'):.0%} (sinusoids {table.mean('sinusoidal', 'smooth after'):.0%})."
    )
    if binds.low < EQUAL and table.gap("sinusoidal", "none", "inside").low < EQUAL:
        return Ruling(Verdict.OPEN, f"Positions make no difference in this task. {told}")
    if inside.low > EQUAL or inside.high < -EQUAL:
        return Ruling(Verdict.WRONG, told)
    if inside.high > EQUAL or inside.low < -EQUAL:
        return Ruling(Verdict.OPEN, told)
    both = min(cost.low for cost in beyond.values()) > 2 * EQUAL
    return Ruling(Verdict.CONDITION if both else Verdict.HOLDS if max(cost.high for cost in beyond.values()) < EQUAL else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(2, width=9.6)
    style.groups(axes[0], table, {"inside": f"all of {TRAINED}", "last inside": f"last {LAST} of {TRAINED}", "last beyond": f"last {LAST} of {BEYOND}"}, format="{:.2f}")
    for note in axes[0].texts:
        note.set_fontsize(7)
    axes[0].set(ylabel="loss (nats per character)", ylim=(0, 1.5 * table.mean("none", "unigram")), title=f"Trained on {TRAINED} characters")
    style.reference(axes[0], table.mean("none", "unigram"), "character frequencies alone", start=True)
    style.legend(axes[0], ncols=3, loc="upper center")
    style.lines(axes[1], table, "likeness", range(TRAINED), {"sinusoidal": "sinusoidal", "learned": "learned, after training"})
    axes[1].set(xlabel="positions apart", ylabel="cosine of their vectors", title="Does a learned table become smooth?")
    style.legend(axes[1])
    return fig


CLAIM = Claim(
    id="C32",
    title="Sinusoidal or learned positions?",
    topic="positions",
    kind="trained",
    statement="Sinusoidal and learned positional embeddings do equally well.",
    notes=("004:71", "000 §9", "001 Q8", "002 Q11"),
    literature=(
        "Vaswani et al. 2017 (arXiv 1706.03762, table 3E): perplexity 4.92 with both, BLEU 25.8 with sinusoids and 25.7 with a table. Wang & Chen 2020 (arXiv 2010.04903) look at what tables learn. Press et al. 2022 (arXiv 2108.12409): "
        "sinusoids lose beyond the trained length."
    ),
    method=(
        f"Character models of two layers (width {WIDTH}), trained alike on windows of {TRAINED}. Arms, each as it is usually made: sinusoids, added to tokens' vectors of deviation 1 (2017); a table of {BEYOND} rows of which training reaches {TRAINED}, drawn like the "
        f"tokens' vectors (BERT, GPT-2); no positions. Measured: held-out loss inside the length, and of the last {LAST} characters of {TRAINED} and of {BEYOND}; how smooth the table is over positions (share of its variance in waves of 8 positions or more), and how alike the vectors are by distance."
    ),
    decides=(
        f"Not decided if having no positions costs less than {EQUAL} nats. Wrong if the losses inside differ by more than {EQUAL} nats (whole interval). If the interval lies within ±{EQUAL}: with a condition (inside the trained length) if both lose "
        f"more than {2 * EQUAL} at twice the length; holds if neither loses {EQUAL}. Not decided otherwise."
    ),
    expected=Verdict.CONDITION,
    arms={arm: arm for arm in ARMS},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"inside": "nats per character", "last inside": "nats per character", "last beyond": "nats per character", "costs": "nats per character", "parameters": "of positions"},
    corpus=True,
    limits="Short training of a small model. Rows of a table that were never trained hold their initial values; a real table ends there, and a longer text is an error.",
)  # fmt: skip
