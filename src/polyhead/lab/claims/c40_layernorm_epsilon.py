"""C40: is LayerNorm (x − μ)/(σ + ε)?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyhead.nn import LayerNormSpec, Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, ROWS, EPS = 256, 512, 1e-5
SCALES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)


def normalise(form: str, x: Tensor) -> Tensor:
    if form != "unbiased":
        return LayerNormSpec(eps=EPS, form="sqrt" if form == "sqrt" else "plus").build(WIDTH).double()(x)
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + EPS)


def logits(form: str, seed: int) -> Tensor:
    """Of a small decoder at its start, whose norms have this form."""
    changes = {f"decoder.{place}.form": form for place in ("blocks.layer.norm", "final_norm")}
    ids = torch.randint(64, (4, 32), generator=torch.Generator().manual_seed(seed))
    return small(64, changes=changes).build(seed).double()(Tokens(ids=ids))


@torch.no_grad()
def measure(trial: Trial) -> Numbers:
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(trial.seed), dtype=torch.float64)
    other, paper = [normalise(trial.arm, x * s) for s in SCALES], [normalise("sqrt", x * s) for s in SCALES]
    difference = [float((a - b).abs().max()) for a, b in zip(other, paper, strict=True)]
    ours, first = (logits(form, trial.seed) for form in ("plus" if trial.arm == "plus" else "sqrt", "sqrt"))
    return {
        "scale": list(SCALES), "difference": difference, "deviation": [float(a.std()) for a in other],
        "at_1": difference[SCALES.index(1.0)], "at_0.001": difference[SCALES.index(0.001)],
        "logits": float((ours - first).abs().max() / first.std()),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    near, far = table.interval("σ + ε", "at_1"), table.interval("σ + ε", "at_0.001")
    places = list(table.curve("σ + ε", "scale"))
    spread = [float(table.curve(arm, "deviation")[places.index(0.001)]) for arm in ("√(σ² + ε)", "σ + ε")]
    words = (
        f"Written as σ + ε instead of √(σ² + ε), ε = 1e-5, the output differs by {near.mean:.1e} where σ is 1, and by {far.mean:.2g} where σ is 0.001 "
        f"(output deviation {spread[1]:.2f} instead of {spread[0]:.2f}); a small model's first logits differ by "
        f"{table.mean('σ + ε', 'logits'):.1%} of their deviation."
    )
    if near.low > 1e-3:
        return Ruling(Verdict.WRONG, words)
    if far.low > 0.1:
        return Ruling(Verdict.CONDITION, words)
    return Ruling(Verdict.HOLDS if far.high < 1e-3 else Verdict.OPEN, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    for index, arm in enumerate(table.arms):
        axes[0].plot(SCALES, table.curve(arm, "deviation"), marker="o", color=style.colour(index), label=arm)
        if index:
            axes[1].plot(SCALES, table.curve(arm, "difference"), marker="o", color=style.colour(index), label=arm)
    for panel in axes:
        panel.set_xscale("log")
        panel.set_xlabel("standard deviation of the input")
    axes[1].set_yscale("log")
    axes[0].set_ylabel("standard deviation of the output")
    axes[1].set_ylabel("largest difference from √(σ² + ε)")
    style.legend(axes[0], loc="lower right")
    return fig


CLAIM = Claim(
    id="C40",
    title="Is LayerNorm (x − μ)/(σ + ε)?",
    topic="residuals and norms",
    kind="exact",
    statement="LN(x) = γ·(x − μ)/(σ + ε) + β.",
    notes=("001 Q10", "003 §5"),
    literature="Ba et al. 2016 (arXiv 1607.06450) eq. 4 has no ε at all. PyTorch and tensor2tensor divide by √(σ² + ε); the Annotated Transformer "
    "(Rush 2018) divides by σ + ε with the unbiased σ.",
    method="The package's LayerNorm in both forms, and the one with the unbiased deviation, on normal rows of 256 features in fp64, scaled by 1 … 0.0003, "
    "ε = 1e-5: the largest difference of outputs from √(σ² + ε), and the output's deviation. Also the logits of a small decoder at its start.",
    decides="Wrong if the two forms differ by more than 1e-3 on inputs of deviation 1; holds if they differ by less than 1e-3 at deviation 0.001 too; with a "
    "condition (σ well above √ε) if they differ by more than 0.1 there.",
    expected=Verdict.CONDITION,
    arms={"√(σ² + ε)": "sqrt", "σ + ε": "plus", "unbiased σ + ε": "unbiased"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"difference": "output", "deviation": "output", "logits": "deviations of the logits"},
    limits="The difference matters where activations or gradients are tiny and where a checkpoint of one form is run in the other; training adapts to either.",
)
