"""C26: do sinusoids let a model find relative positions by linear combination?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyhead.nn import At, SinusoidalSpec, Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, LENGTH, OFFSETS = 128, 512, (1, 2, 4, 8, 16, 32, 64, 128)


def angles(pos: Tensor) -> Tensor:
    """(T, WIDTH/2) fp64, as Vaswani et al. 2017 §3.5 have them."""
    return pos.double()[:, None] * 10000.0 ** (-torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)


def table_of(pos: Tensor) -> Tensor:
    """(T, WIDTH) fp64: sin and cos in turn, what SinusoidalSpec gives in fp32."""
    a = angles(pos)
    return torch.stack([a.sin(), a.cos()], -1).flatten(1)


def moved(rows: Tensor, offset: int) -> Tensor:
    """rows times the matrix M_offset that turns each pair (sin, cos) by offset × its frequency: it knows no position."""
    turn = angles(torch.tensor([offset]))[0]
    s, c = rows[:, 0::2], rows[:, 1::2]
    return torch.stack([s * turn.cos() + c * turn.sin(), c * turn.cos() - s * turn.sin()], -1).flatten(1)


def spread(scores: Tensor) -> list[float]:
    """Deviation of the scores over positions at each fixed offset, in deviations of all scores: 0 = the offset alone decides."""
    return [float(scores.diagonal(-k).std() / scores.std()) for k in OFFSETS]


def measure(trial: Trial) -> Numbers:
    pos = torch.arange(LENGTH)
    rows = table_of(pos)
    ours = SinusoidalSpec().build(WIDTH, 1).embed(torch.zeros(1, LENGTH, WIDTH), At.of(Tokens(ids=pos[None])).pos)[0]
    generator = torch.Generator().manual_seed(trial.seed)
    scores = rows @ rows.T
    if trial.arm == "projected":
        q, k = (torch.randn(WIDTH, WIDTH // 2, generator=generator, dtype=torch.float64) * WIDTH**-0.5 for _ in range(2))
        scores = (rows @ q) @ (rows @ k).T
    found = []
    for offset in OFFSETS:  # the query asks for the token `offset` before it by one fixed matrix
        best = (moved(rows, -offset) @ rows.T).argmax(1)
        found.append(float((best[offset:] == pos[offset:] - offset).double().mean()))
    return {
        "linear_error": max(float((moved(rows, k)[:-k] - rows[k:]).abs().max()) for k in OFFSETS),
        "module_error": float((ours.double() - rows).abs().max()),
        "found": found, "spread": spread(scores), "worst_spread": max(spread(scores)),
        "mirror": float((scores - scores.T).abs().max() / scores.std()),
        "profile": [[round(float(scores[at, at + k]), 3) for k in range(-64, 65)] for at in (100, 250, 400)],
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    error, found = table.mean("dot product", "linear_error"), float(table.curve("dot product", "found").min())
    plain, projected = table.interval("dot product", "worst_spread"), table.interval("after W_Q and W_K", "worst_spread")
    words = (
        f"PE(p+k) is a fixed matrix times PE(p) within {error:.0e}, and such a matrix finds the token k before in {found:.0%} of cases. "
        f"The offset alone decides PE(p)·PE(p+k) (spread {plain.mean:.0e}), but not the score after random projections (spread {projected})."
    )
    if error > 1e-6 or found < 0.9:
        return Ruling(Verdict.WRONG, words)
    if plain.high > 0.01:
        return Ruling(Verdict.OPEN, words)
    if projected.low > 0.5:
        return Ruling(Verdict.CONDITION, words)
    return Ruling(Verdict.HOLDS if projected.high < 0.1 else Verdict.OPEN, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    for panel, (arm, title) in zip(axes, {"dot product": "PE(p)·PE(p+k)", "after W_Q and W_K": "after random W_Q, W_K"}.items(), strict=True):
        profile = table.values(arm, "profile")[0]
        for index, (at, curve) in enumerate(zip((100, 250, 400), profile, strict=True)):
            look = dict(linewidth=(4.5, 2.8, 1.2)[index], alpha=(0.5, 0.8, 1.0)[index])
            panel.plot(range(-64, 65), curve, color=style.colour(index), label=f"p = {at}", **look)
        panel.set_title(title)
        panel.set_xlabel("offset k (tokens)")
    axes[0].set_ylabel("score")
    style.legend(axes[0], loc="upper right")
    return fig


CLAIM = Claim(
    id="C26",
    title="Do sinusoids give relative positions by linear combination?",
    topic="positions",
    kind="exact",
    statement="Sinusoidal encodings let the model infer relative positions from linear combinations of the signals.",
    notes=("000 §10", "001 Q7"),
    literature="Vaswani et al. 2017 (arXiv 1706.03762) §3.5: \"for any fixed offset k, PE(pos+k) can be represented as a linear function of "
    "PE(pos)\". Yan et al. 2019 (TENER, arXiv 1911.04474): the product knows the distance but not the direction, and the projections of "
    "attention destroy it.",
    method="In double precision, 512 positions, width 128: the error of PE(p+k) = M_k·PE(p) with M_k a rotation of each pair; whether a query "
    "M_k·PE(p) has its highest score at p − k; how much the score at a fixed offset varies over positions, for PE(p)·PE(p+k) and after "
    "random W_Q and W_K to 64 features, in deviations of all scores. The package's own table is compared.",
    decides="Wrong if the matrix misses by more than 1e-6 or finds fewer than 90% of the tokens it asks for. Holds if, besides, scores after random "
    "projections depend on the offset alone (spread below 0.1); with a condition if they do not (spread above 0.5).",
    expected=Verdict.CONDITION,
    arms={"dot product": "plain", "after W_Q and W_K": "projected"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"spread": "deviations of all scores", "found": "share of tokens"},
    limits="The projections are random: training may find ones that keep the offset, since the exact matrix exists.",
)
