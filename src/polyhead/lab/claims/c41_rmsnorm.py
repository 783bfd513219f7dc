"""C41: RMSNorm against LayerNorm: loss, parameters, time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from polyhead.nn import LayerNormSpec, RMSNormSpec, Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus
from ..counting import milliseconds
from ..language import held_loss, learn, next_character
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, LENGTH, LAYERS = 48, 48, 2
BIG, ROWS = 512, 1024  # of the norm timed alone: features, tokens
EQUAL = 0.03  # nats
ARMS: dict[str, dict[str, Any]] = {"LayerNorm": {"kind": "layer"}, "RMSNorm": {"kind": "rms"}}


def measure(trial: Trial) -> Numbers:
    """trial.arm: the norm's specification."""
    changes = {
        "decoder.embedding.position": {"kind": "learned", "length": LENGTH}, "decoder.blocks.layer.norm": trial.arm, "decoder.final_norm": trial.arm,
    }  # fmt: skip
    model = small(VOCAB, width=WIDTH, layers=LAYERS, context=LENGTH, changes=changes).build(trial.seed)
    norms = sum(p.numel() for name, p in model.named_parameters() if "join" in name or "final_norm" in name)
    learn(model, trial.steps(300, 1500), trial.seed, batch=16, length=LENGTH)
    alone, whole = ratios(trial, model)
    return {"loss": held_loss(model, LENGTH), "unigram": corpus().unigram, "parameters": norms, "alone": alone, "whole": whole}


def ratios(trial: Trial, model: nn.Module) -> tuple[float, float]:
    """Time of this norm, forward and backward, over LayerNorm's, alone and within a training step; each of the two timed
    several times in turn, least of each."""
    generator = torch.Generator().manual_seed(trial.seed)
    x = torch.randn(1, ROWS, BIG, generator=generator, requires_grad=True)
    ids = torch.randint(VOCAB, (8, LENGTH + 1), generator=generator)
    build = {"layer": LayerNormSpec, "rms": RMSNormSpec}
    times: dict[str, list[tuple[float, float]]] = {"layer": [], "rms": []}
    models = {}
    for kind in times:
        changes = {"decoder.blocks.layer.norm": {"kind": kind}, "decoder.final_norm": {"kind": kind}}
        models[kind] = small(VOCAB, width=256, layers=LAYERS, context=LENGTH, changes=changes).build(trial.seed)
    for _ in range(1 if trial.mode == "smoke" else 5):
        for kind, found in times.items():
            norm = build[kind]().build(BIG)
            one = milliseconds(lambda norm=norm: norm(x, None).sum().backward(), repeat=3, seconds=0.02)  # type: ignore[misc]
            step = milliseconds(lambda net=models[kind]: _step(net, ids), repeat=2, seconds=0.02)  # type: ignore[misc]
            found.append((one, step))
    least = {kind: [min(parts) for parts in zip(*found, strict=True)] for kind, found in times.items()}
    own = least[trial.arm["kind"]]
    return own[0] / least["layer"][0], own[1] / least["layer"][1]


def _step(model: nn.Module, ids: Tensor) -> None:
    next_character(lambda read: model(Tokens(read)), ids).backward()


def rule(table: Table) -> Ruling:
    layer, rms = table.arms
    gap, alone, whole = table.gap(layer, rms, "loss"), table.interval(rms, "alone"), table.interval(rms, "whole")
    loss = table.mean(layer, "loss")
    told = (
        f"LayerNorm ends at {loss:.3f} nats, RMSNorm at {gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}), with {table.mean(rms, 'parameters'):.0f} instead of {table.mean(layer, 'parameters'):.0f} parameters. Its time is {alone.mean:.2f} "
        f"({alone.low:.2f} to {alone.high:.2f}) of LayerNorm's alone, and {whole.mean:.2f} ({whole.low:.2f} to {whole.high:.2f}) in a training step."
    )
    if loss > table.mean(layer, "unigram") - 0.3:
        return Ruling(Verdict.OPEN, f"Too little is learnt to tell. {told}")
    if gap.low > EQUAL:
        return Ruling(Verdict.WRONG, told)
    if gap.high > EQUAL:
        return Ruling(Verdict.OPEN, told)
    return Ruling(Verdict.HOLDS if alone.high < 1 and whole.high < 1 else Verdict.CONDITION, told)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(2, width=9.0)
    style.bars(left, table, "loss", format="{:.3f}")
    left.set(ylabel="held-out loss (nats per character)", ylim=(0, 1.15 * table.mean("LayerNorm", "unigram")))
    style.reference(left, table.mean("LayerNorm", "unigram"), "character frequencies alone")
    style.groups(right, table, {"alone": "the norm alone", "whole": "a training step"}, format="{:.2f}")
    right.set(ylabel="time / LayerNorm's", ylim=(0, None))
    style.reference(right, 1.0)
    style.legend(right, loc="upper right")
    return fig


CLAIM = Claim(
    id="C41",
    title="Is RMSNorm a cheaper equal of LayerNorm?",
    topic="residuals and norms",
    kind="trained",
    statement="RMSNorm does as well as LayerNorm and is cheaper.",
    notes=("000 §5",),
    literature=(
        "Zhang & Sennrich 2019 (arXiv 1910.07467): as good on translation and other tasks, and 7 to 64 % less running time, the upper end by a partial variant; RMSNorm alone 6.9 to 40.8 %. That was in the frameworks of 2019; fused kernels "
        "read and write the tensor once either way."
    ),
    method=(
        f"A character model of {LAYERS} layers (width {WIDTH}), the same training, every norm a LayerNorm or every norm an RMSNorm. Held-out loss; parameters of norms; and processor time as a ratio to LayerNorm's, both timed in turn five times, the "
        f"least of each: forward and backward of the norm alone ({ROWS} tokens of {BIG} features), and a training step of two layers of width 256."
    ),
    decides=(
        f"Wrong if RMSNorm's loss is more than {EQUAL} nats higher (whole interval); not decided if it may be. Else it holds if its time is below LayerNorm's alone and in a training step (whole intervals), with a condition (equal, not cheaper here) if not."
    ),
    expected=Verdict.HOLDS,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={"loss": "nats per character", "unigram": "nats per character", "parameters": "of norms", "alone": "of LayerNorm's time", "whole": "of LayerNorm's time"},
    alone=True,
    corpus=True,
    limits=(
        "Times are of this package's norms on one core of a machine that was busy with other work: read them as ratios, and not as the last word. There LayerNorm is one fused kernel and "
        "RMSNorm, in training, several operations; a GPU's or a compiler's fused RMSNorm may differ."
    ),
)  # fmt: skip
