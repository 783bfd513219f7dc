"""C47: are heads narrow for efficiency?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from polyhead.nn import Tokens

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table
from ..training import cosine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = TOKENS = 32
STEPS = 800
HEADS = (1, 2, 4, 8, 16, 32)


def cost(heads: int, head_dim: int) -> tuple[int, int]:
    """Parameters of one attention, and the operations of its products over TOKENS tokens, counted while it runs."""
    changes = {"decoder.blocks.layer.attention.heads": {"kind": "grouped", "heads": heads, "head_dim": head_dim}}
    model = small(8, width=WIDTH, layers=1, context=TOKENS, changes=changes).build(0).use(backend="reference")
    assert model.decoder is not None
    attention = model.decoder.layers[0].attention
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(Tokens(ids=torch.zeros(1, TOKENS, dtype=torch.long)))
    counted = counter.get_flop_counts()
    (ours,) = [sum(ops.values()) for name, ops in counted.items() if name.endswith("layers.0.attention")]
    return sum(p.numel() for p in attention.parameters()), int(ours)


def misfit(head_dim: int, trial: Trial) -> float:
    """KL divergence in nats per row between a random attention pattern of TOKENS tokens and the nearest that one head of
    this width finds: softmax(q·kᵀ), q and k free."""
    generator = torch.Generator().manual_seed(trial.seed)
    wanted = (2 * torch.randn(TOKENS, TOKENS, generator=generator)).log_softmax(-1)
    q, k = (torch.randn(TOKENS, head_dim, generator=generator).requires_grad_() for _ in range(2))
    steps, optimizer = trial.steps(STEPS, 2 * STEPS), torch.optim.Adam([q, k], lr=0.1)
    value: Tensor = torch.zeros(())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * cosine(step / steps)
        got = (q @ k.T * head_dim**-0.5).log_softmax(-1)
        value = (wanted.exp() * (wanted - got)).sum(-1).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return float(value.detach())


def measure(trial: Trial) -> Numbers:
    heads = trial.arm
    params, flops = cost(heads, WIDTH // heads)
    wide_params, wide_flops = cost(heads, WIDTH)
    return {
        "head_dim": WIDTH // heads, "params": params, "flops": flops, "wide_params": wide_params, "wide_flops": wide_flops,
        "misfit": misfit(WIDTH // heads, trial),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    one, eight = "1 head", "8 heads"
    against_one = table.mean(eight, "flops") / table.mean(one, "flops")
    against_wide = table.mean(eight, "flops") / table.mean(eight, "wide_flops")
    full, narrow = table.interval(one, "misfit"), table.interval(eight, "misfit")
    words = (
        f"8 heads of d/8 cost {against_one:.2f} times the operations of one head of width d ({table.mean(eight, 'params') / table.mean(one, 'params'):.2f} times "
        f"its parameters) and {against_wide:.2f} times those of 8 heads of width d. The price is rank: a random pattern is missed by {narrow} nats with d/8 features, "
        f"by {full} with d."
    )
    if full.high > 0.05:
        return Ruling(Verdict.OPEN, words)
    if against_wide > 0.9:
        return Ruling(Verdict.WRONG, words)
    if against_one < 0.9:
        return Ruling(Verdict.HOLDS, words)
    return Ruling(Verdict.CONDITION if narrow.low > 2 * full.high else Verdict.HOLDS, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    heads = [int(WIDTH / table.mean(arm, "head_dim")) for arm in table.arms]
    unit = table.mean("1 head", "flops")
    for index, (name, label) in enumerate({"flops": "heads of width d/h", "wide_flops": "heads of width d"}.items()):
        axes[0].plot(heads, [table.mean(arm, name) / unit for arm in table.arms], marker="o", color=style.colour(index), label=label)
    axes[0].set_xlabel("heads h")
    axes[0].set_ylabel("operations (one head of width d = 1)")
    axes[0].set_xscale("log", base=2)
    axes[0].set_yscale("log", base=2)
    style.legend(axes[0])
    widths = [table.mean(arm, "head_dim") / TOKENS for arm in table.arms]
    spread = [table.interval(arm, "misfit") for arm in table.arms]
    axes[1].plot(widths, [s.mean for s in spread], marker="o", color=style.colour(0))
    axes[1].fill_between(widths, [s.low for s in spread], [s.high for s in spread], color=style.colour(0), alpha=0.22, linewidth=0)
    axes[1].set_xscale("log", base=2)
    axes[1].set_xlabel("width of a head / tokens")
    axes[1].set_ylabel("misfit of a random pattern (nats)")
    return fig


CLAIM = Claim(
    id="C47",
    title="Are heads narrow for efficiency?",
    topic="heads",
    kind="exact",
    statement="Q, K and V live in lower-dimensional spaces for efficiency.",
    notes=("004:114",),
    literature="Vaswani et al. 2017 (arXiv 1706.03762) §3.2.2: with d_k = d/h \"the total computational cost is similar to that of single-head attention with full "
    "dimensionality\"; Table 3 (B) loses quality with d_k = 16. Bhojanapalli et al. 2020 (arXiv 2002.07028): heads narrower than the sequence cannot "
    "produce every pattern.",
    method="Parameters and operations of one attention over 32 tokens, width 32, with h heads of 32/h and of 32, counted while the package's module runs. "
    "Then queries and keys of 32/h features are fitted to a random attention pattern (softmax of 2·normal scores) by Adam.",
    decides="Wrong if 8 heads of d/8 save less than 10% against 8 heads of d; holds if they also cost less than 0.9 of one head of d, or have no price; with a condition "
    "if they cost as much as one head of d and fit a pattern worse (misfit more than twice). Not decided if the full width misfits by 0.05 nats or more.",
    expected=Verdict.CONDITION,
    arms={f"{h} head{'s' if h > 1 else ''}": h for h in HEADS},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"head_dim": "features", "params": "parameters", "flops": "operations", "wide_flops": "operations", "misfit": "nats"},
    limits="Random patterns have full rank; those of trained models are often much simpler, and several heads can share the work.",
)
