"""C57: do residual connections smooth the loss landscape?"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.nn import Tokens, Transformer

from .. import style
from ..baselines.skips import without_skips
from ..claim import Claim, Ruling, Trial, Verdict
from ..relations import LENGTH, VALUES, VOCAB, Text, text
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS, WIDTH = 2, 32
LOOKS = (0, 100, 200, 300)  # steps at which the curvature is taken
GRID = tuple(round(-1 + 0.2 * i, 1) for i in range(11))
WITH, WITHOUT = "with residuals", "without"
FITS = 0.35  # nats: an arm at or below this loss has left the start (ln 4 = 1.39) behind


def build(skips: bool, seed: int) -> Transformer:
    changes: dict[str, Any] = {"decoder.blocks.layer.attention.position": {"kind": "rotary"}, "init": {"kind": "xavier"}}
    model = small(VOCAB, width=WIDTH, layers=LAYERS, context=LENGTH, output=VALUES, changes=changes).build(seed).use(backend="reference")
    nn.init.normal_(model.table, generator=torch.Generator().manual_seed(seed))
    return model if skips else without_skips(model)


def nats(model: Transformer, rows: Text) -> Tensor:
    return F.cross_entropy(model(Tokens(rows.ids)).flatten(0, 1), rows.wanted.flatten())


def sharpest(model: Transformer, rows: Text, rounds: int) -> float:
    """The eigenvalue of the loss's Hessian that is largest in size, by power iteration."""
    chosen = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(nats(model, rows), chosen, create_graph=True)
    generator = torch.Generator().manual_seed(0)
    v, value = [torch.randn(p.shape, generator=generator) for p in chosen], 0.0
    for _ in range(rounds):
        size = torch.sqrt(sum((part.square().sum() for part in v), torch.zeros(())))
        v = [part / size for part in v]
        turned = torch.autograd.grad(grads, chosen, v, retain_graph=True)
        value = float(sum((a * b).sum() for a, b in zip(turned, v, strict=True)))
        v = [part.detach() for part in turned]
    return value


@torch.no_grad()
def slice_(model: Transformer, rows: Text, seed: int, grid: tuple[float, ...]) -> list[list[float]]:
    """The loss on a plane through the model, along two random directions of which each row has the norm of the weights' row
    that it is added to (Li et al. 2018); vectors of norms stay."""
    generator, directions = torch.Generator().manual_seed(seed), []
    matrices = [p for p in model.parameters() if p.dim() == 2]
    for _ in range(2):
        drawn = [torch.randn(p.shape, generator=generator) for p in matrices]
        directions.append([d / d.norm(dim=1, keepdim=True) * p.norm(dim=1, keepdim=True) for d, p in zip(drawn, matrices, strict=True)])
    kept = [p.clone() for p in matrices]
    found: list[list[float]] = []
    for a in grid:
        found.append([])
        for b in grid:
            for p, start, one, two in zip(matrices, kept, *directions, strict=True):
                p.copy_(start + a * one + b * two)
            found[-1].append(float(nats(model, rows)))
    for p, start in zip(matrices, kept, strict=True):
        p.copy_(start)
    return found


def measure(trial: Trial) -> Numbers:
    """trial.arm: with residual connections or without."""
    model, chance = build(trial.arm, trial.seed), Random(trial.seed)
    held = text(32, Random(1000 + trial.seed))
    looks = (0, 1, 2) if trial.mode == "smoke" else tuple(trial.pick(1, 4) * step for step in LOOKS)
    rounds, grid = trial.pick(12, 30), GRID if trial.mode != "smoke" else GRID[::5]
    curvature: list[float] = []
    losses: list[float] = []

    def look() -> None:
        curvature.append(sharpest(model, held, rounds))
        losses.append(float(nats(model, held).detach()))

    def loss(step: int) -> Tensor:
        if step in looks:
            look()
        return nats(model, text(32, chance))

    train(model, loss, looks[-1], lr=3e-3, warmup=looks[-1] // 10, decay=cosine)
    look()
    plane = slice_(model, held, trial.seed, grid)
    middle = len(grid) // 2
    ring = [plane[a][b] for a in (middle - 1, middle, middle + 1) for b in (middle - 1, middle, middle + 1) if (a, b) != (middle, middle)]
    return {
        "loss": losses[-1], "losses": losses, "curvature": curvature, "at the end": abs(curvature[-1]), "along training": max(map(abs, curvature[1:])),
        "rise": sum(ring) / len(ring) - plane[middle][middle], "plane": [[round(value, 3) for value in row] for row in plane],
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    own, other = table.values(WITH, "along training"), table.values(WITHOUT, "along training")
    low, high = float((other / own).min()), float((other / own).max())
    told = (
        f"The largest curvature along training is {own.mean():.3g} with residuals and {other.mean():.3g} without, {low:.2g} to {high:.2g} times by seed; at the end {table.mean(WITH, 'at the end'):.3g} and {table.mean(WITHOUT, 'at the end'):.3g}, "
        f"with losses of {table.mean(WITH, 'loss'):.3f} and {table.mean(WITHOUT, 'loss'):.3f} nats. Near the end point the loss rises by {table.mean(WITH, 'rise'):.2g} and {table.mean(WITHOUT, 'rise'):.2g}."
    )
    if float(table.values(WITH, "loss").max()) > FITS:
        return Ruling(Verdict.OPEN, f"With residuals the task is not learnt. {told}")
    if float(table.values(WITHOUT, "loss").max()) > FITS:
        return Ruling(Verdict.OPEN, f"Not comparable: without residuals not every seed ends at {FITS} nats or less, and what is learnt less is flatter. {told}")
    rise = table.gap(WITH, WITHOUT, "rise")
    if low > 1.5:
        return Ruling(Verdict.HOLDS if rise.low > 0 else Verdict.CONDITION, told)
    return Ruling(Verdict.WRONG if high < 1 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(3, width=13.0)
    for panel, arm in zip(axes[:2], table.arms, strict=True):
        plane = table.values(arm, "plane")[0]
        ends = GRID if len(plane) == len(GRID) else GRID[::5]
        drawn = panel.contourf(ends, ends, plane, levels=12, cmap=style.shades(False))
        panel.plot(0, 0, marker="+", color=style.INK(), markersize=9)
        panel.set(xlabel="along one direction (norms of the weights)", title=f"loss {arm}", xticks=(-1, -0.5, 0, 0.5, 1), yticks=(-1, -0.5, 0, 0.5, 1))
        panel.grid(visible=False)
        figure.colorbar(drawn, ax=panel, label="nats")
    axes[0].set_ylabel("along another")
    style.lines(axes[2], table, "curvature", LOOKS[: table.values(WITH, "curvature").shape[1]])
    axes[2].set(xlabel="training steps", ylabel="largest eigenvalue of the Hessian")
    style.legend(axes[2])
    return figure


CLAIM = Claim(
    id="C57",
    title="Do residuals smooth the loss landscape?",
    topic="residuals and norms",
    kind="trained",
    statement="Residual connections make the loss landscape smoother.",
    notes=("002 Q14",),
    literature=(
        "Li et al. (2018, arXiv 1712.09913) draw filter-normalised slices of the loss of convolutional networks: with residuals they are smooth, without them and deep, chaotic. It was not about Transformers, where a network without residuals "
        "soon makes all tokens alike (Dong et al. 2021, arXiv 2103.03404) and then does not learn at all."
    ),
    method=(
        f"A causal decoder of {LAYERS} layers learns the text with planted relations of C44, with residual connections or with each sublayer's output in place of the stream; norms, initial values (Glorot's) and training are the same. Measured: the Hessian's largest eigenvalue on "
        f"32 held-out texts, by power iteration, at {', '.join(map(str, LOOKS))} steps; and the loss on a plane of two random directions with the norms of the weights' rows, from −1 to 1."
    ),
    decides=(
        f"Comparable only if both end at {FITS} nats or less with every seed; else not decided. Holds if the largest eigenvalue of any look after the first is more than 1.5 times as large without residuals with every seed, and the loss around the end point rises more (interval of the difference above zero); with a condition if "
        "only the first. Wrong if the eigenvalue is smaller without residuals with every seed. Not decided otherwise."
    ),
    expected=Verdict.HOLDS,
    arms={WITH: True, WITHOUT: False},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"loss": "nats", "at the end": "nats per squared unit", "along training": "nats per squared unit", "rise": "nats"},
    limits="A slice along two random directions shows little of 27,000; and curvature depends on how the weights are scaled, which norms leave free. Twelve rounds of power iteration may fall short of the largest eigenvalue. Two layers, since a first look at three without residuals ended at 0.70 nats: the deeper, the less there is to compare.",
)
