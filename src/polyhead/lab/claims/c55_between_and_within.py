"""C55: which token's output depends on which token's input, in attention and in the feed-forward network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.nn import At
from polyhead.nn.attend import lower
from polyhead.nn.attention import View
from polyhead.nn.ffn import Plain
from polyhead.nn.pattern import Full

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOKENS, WIDTH = 8, 16


def sublayer(kind: str, seed: int):  # type: ignore[no-untyped-def]
    """(x (1, T, D) → (1, T, D), its module): one sub-layer of a block with initial values, in double precision."""
    init = {"init": {"kind": "xavier"}}
    block = small(8, "encoder", width=WIDTH, layers=1, heads=2, changes=init).build(seed).double().requires_grad_(False).top.layers[0]
    at = At(torch.arange(TOKENS).unsqueeze(0))
    lowered = lower(Full(), at, at, heads=2, fresh=True, packed=False, dtype=torch.float64, backend="reference")
    view = View(at, lowered, lambda t: t)
    return (block.ffn, block.ffn) if kind == "ffn" else (lambda x: block.attention(x, view)[0], block.attention)


def measure(trial: Trial) -> Numbers:
    """trial.arm: attention | ffn."""
    run, module = sublayer(trial.arm, trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    x = torch.randn(1, TOKENS, WIDTH, dtype=torch.float64, generator=generator)
    jacobian = torch.autograd.functional.jacobian(run, x)[0, :, :, 0]  # (T, D, T, D): output token, feature, input token, feature
    assert isinstance(jacobian, Tensor)
    blocks = jacobian.square().sum((1, 3)).sqrt()
    apart = ~torch.eye(TOKENS, dtype=torch.bool)
    order = torch.randperm(TOKENS, generator=generator)
    same = x[:, :1].expand(1, TOKENS, WIDTH)  # one vector at every place
    within = jacobian[torch.arange(TOKENS), :, torch.arange(TOKENS)].square().sum(0)  # (D, D) of a token's own block
    found = {
        "between_share": float(blocks[apart].square().sum() / blocks.square().sum()),
        "pairs_without_influence": int((blocks[apart] == 0).sum()),
        "pairs": int(apart.sum()),
        "moved_tokens_differ": float((run(x[:, order]) - run(x)[:, order]).abs().max()),
        "places_differ": float((run(same) - run(same)[:, :1]).abs().max()),
        "between_features_share": float(within[~torch.eye(WIDTH, dtype=torch.bool)].sum() / within.sum()),
        "jacobian": blocks.flatten().tolist(),
    }
    if isinstance(module, Plain):
        found["from_convolution"] = float((run(x) - as_convolution(module, x)).abs().max())
    return found


def as_convolution(ffn: Plain, x: Tensor) -> Tensor:
    """The same weights as two convolutions one token wide."""
    inner = F.gelu(F.conv1d(x.transpose(1, 2), ffn.up.weight.unsqueeze(-1), ffn.up.bias))
    return F.conv1d(inner, ffn.down.weight.unsqueeze(-1), ffn.down.bias).transpose(1, 2)


def rule(table: Table) -> Ruling:
    mixed, missing = table.mean("attention", "between_share"), table.mean("attention", "pairs_without_influence")
    pairs, leaked = table.mean("attention", "pairs"), table.mean("feed-forward", "between_share")
    places = table.mean("feed-forward", "places_differ")
    features = table.mean("attention", "between_features_share")
    numbers = (
        f"In attention {pairs - missing:.0f} of {pairs:.0f} pairs of different tokens have an influence ({mixed:.0%} of the squared "
        f"Jacobian); in the feed-forward network {leaked:.0%} crosses tokens, and one vector gives one output at every place "
        f"(difference {places:.0e}). Attention transforms features too: {features:.0%} of a token's influence on itself crosses features."
    )
    if leaked > 0:
        return Ruling(Verdict.WRONG if mixed > 0.01 else Verdict.OPEN, numbers)
    if mixed < 0.01:
        return Ruling(Verdict.OPEN, "Attention mixed nothing in this experiment. " + numbers)
    return Ruling(Verdict.HOLDS if missing == 0 and places < 1e-12 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    for ax, arm in zip(axes, table.arms, strict=True):
        image = table.curve(arm, "jacobian").reshape(TOKENS, TOKENS)
        shown = ax.imshow(image / image.max(), cmap=style.shades(), vmin=0, vmax=1)
        ax.set(xlabel="input token", ylabel="output token", title=arm, xticks=range(TOKENS), yticks=range(TOKENS))
        ax.grid(visible=False)
    fig.colorbar(shown, ax=axes, label="influence, share of the largest", fraction=0.03)
    return fig


CLAIM = Claim(
    id="C55", title="Does attention mix between tokens, and the feed-forward network within each?", topic="feed-forward", kind="exact",
    statement="Attention mixes information between tokens; the feed-forward network transforms each token on its own, with the same weights.",
    notes=("002 Q10", "004:185", "004:201", "004:203"),
    literature=(
        "Vaswani et al. 2017 (arXiv 1706.03762) §3.3: the network is applied “to each position separately and identically”, and is "
        "“two convolutions with kernel size 1”."
    ),
    method=(
        "One axis, the sub-layer: the exact Jacobian of 8 tokens of 16 features by automatic differentiation in double precision, "
        "cut into blocks of output token by input token. The feed-forward network is also run as two convolutions of width 1."
    ),
    decides=(
        "Wrong if the feed-forward network's Jacobian has anything between different tokens. Holds if it has exactly nothing, gives "
        "equal vectors equal outputs at every place (1e-12), and in attention every pair of tokens has an influence; with a condition "
        "if some pairs have none. Not decided if attention carries less than 1 % between tokens."
    ),
    expected=Verdict.HOLDS,
    arms={"attention": "attention", "feed-forward": "ffn"},
    measure=measure, rule=rule, draw=draw,
    units={"between_share": "share of the squared Jacobian", "pairs": "pairs of different tokens"},
    limits=(
        "“Attention decides where, the feed-forward network how” is not exact: W_V and W_O transform features as well. "
        "Under a causal mask later tokens have no influence by construction."
    ),
)  # fmt: skip
