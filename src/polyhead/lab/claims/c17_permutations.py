"""C17: is self-attention permutation invariant?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyhead.nn import GroupedSpec, SinusoidalSpec
from polyhead.nn.attend import Lowered, attend
from polyhead.nn.heads import Grouped

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS, TOKENS, WIDTH, HEADS = 200, 12, 32, 4
EXACT, BROKEN = 1e-12, 1e-6  # fp64: rounding stays far below the one, a real difference far above the other


def attention(heads: Grouped, queries: Tensor, source: Tensor, arm: str) -> Tensor:
    """(B, T, D): queries look at source; self-attention where both are one."""
    if arm == "positions added":
        place = SinusoidalSpec().build(WIDTH, HEADS)
        queries, source = (place.embed(x, torch.arange(x.shape[1])[None]) for x in (queries, source))
    q, (k, v) = heads.query(queries, lambda t: t), heads.entry(source, lambda t: t)
    lowered = Lowered("reference", causal=arm == "causal mask")
    return heads.output(attend(q, k, v, lowered, scale=(WIDTH // HEADS) ** -0.5))


def measure(trial: Trial) -> Numbers:
    generator = torch.Generator().manual_seed(trial.seed)
    heads: Grouped = GroupedSpec(heads=HEADS).build(WIDTH).double()
    for weight in heads.parameters():
        weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64) * WIDTH**-0.5
    a, b = (torch.randn(DRAWS, TOKENS, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2))
    order = torch.rand(DRAWS, TOKENS, generator=generator).argsort(1)

    def moved(x: Tensor) -> Tensor:
        return x.gather(1, order[..., None].expand(-1, -1, WIDTH))

    with torch.no_grad():
        out, after = attention(heads, a, a, trial.arm), attention(heads, moved(a), moved(a), trial.arm)
        swapped = attention(heads, a, b, trial.arm) - attention(heads, b, a, trial.arm)
    largest = out.abs().max()
    return {
        "invariance": float((after - out).abs().max() / largest),
        "equivariance": float((after - moved(out)).abs().max() / largest),
        "pooled": float((after.mean(1) - out.mean(1)).abs().max() / out.mean(1).abs().max()),
        "swap": float(swapped.abs().max() / largest),
    }


def rule(table: Table) -> Ruling:
    worst = {name: float(table.values("neither", name).max()) for name in ("invariance", "equivariance", "pooled", "swap")}
    controls = [float(table.values(arm, "equivariance").min()) for arm in table.arms if arm != "neither"]
    told = (
        f"Moving the tokens changes what each place gives out by {worst['invariance']:.2g} of the largest output, but every token gets "
        f"the same answer as before within {worst['equivariance']:.1g}, and so does the mean over tokens within {worst['pooled']:.1g}; "
        f"Attention(A, B) and Attention(B, A) are {worst['swap']:.2g} apart"
    )
    if min(controls) <= BROKEN:
        return Ruling(Verdict.OPEN, f"{told}. But a mask or positions change nothing here either, so that the measurement sees no order at all.")
    told += f". With a causal mask or positions the answers do change, by {min(controls):.2g} or more."
    if worst["invariance"] <= EXACT and worst["swap"] <= EXACT:
        return Ruling(Verdict.HOLDS, told)
    if min(float(table.values("neither", name).min()) for name in ("invariance", "swap")) > BROKEN:
        return Ruling(Verdict.WRONG, told)
    return Ruling(Verdict.CONDITION if worst["invariance"] <= EXACT else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(width=6.6)
    names = {"invariance": "each place\nas before", "equivariance": "each token\nas before", "pooled": "mean of tokens\nas before",
             "swap": "A and B\nswapped"}  # fmt: skip
    arms = {"neither": "no mask, no positions", "causal mask": "causal mask", "positions added": "sinusoids added"}
    style.groups(axes, table, names, arms, format="{:.1g}")
    axes.set_yscale("log")
    axes.set(ylim=(1e-17, 3e4), xlim=(-0.55, 4.3), ylabel="largest difference\n(share of the largest output)")
    style.reference(axes, 2.0**-53, "rounding in fp64")
    style.legend(axes, loc="upper center", ncols=3)
    return figure


CLAIM = Claim(
    id="C17",
    title="Is self-attention permutation invariant?",
    topic="attention",
    kind="exact",
    statement="Self-attention is permutation invariant: Attention(A, B) = Attention(B, A).",
    notes=("002 Q13", "004:61"),
    literature=(
        "Self-attention commutes with permutations, Att(PX) = P·Att(X): it is equivariant (Lee et al. 2019, arXiv 1810.00825, “Set "
        "Transformer”, property 1, where invariance comes from a pooling on top). Vaswani et al. (2017, arXiv 1706.03762, §3.5) "
        "add positions because without recurrence and convolution the model has no notion of order."
    ),
    method=(
        f"Multi-head attention with random weights, {HEADS} heads, width {WIDTH}, on {DRAWS} random sequences of {TOKENS} tokens in fp64, each "
        "before and after a random permutation. Measured: how far each place, each token (followed to its new place) and the mean of "
        "all tokens move; and, for two sequences, how far Attention(A, B), queries from A and keys from B, is from Attention(B, A). "
        "Arms differ in what tells order: nothing, a causal mask, sinusoids added."
    ),
    decides=(
        f"Holds if without mask and positions each place gives out the same (within {EXACT:g} of the largest output) and A and B can be "
        f"swapped; holds with a condition if only the former; wrong as stated if both differ by more than {BROKEN:g}. Not decided if the mask or the "
        "positions, which do tell order, change no token's answer either."
    ),
    expected=Verdict.WRONG,
    arms={"neither": "neither", "causal mask": "causal mask", "positions added": "positions added"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"invariance": "share of the largest output", "equivariance": "share of the largest output", "pooled": "share of the largest mean",
           "swap": "share of the largest output"},
    limits="It says nothing about what a model can learn of order without positions; C03 measures that.",
)
