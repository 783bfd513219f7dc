"""C36: what keeps a language model from reading its own answer: the mask, the shift by one, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.lab.training import train
from polyhead.nn import At, Tokens, Transformer
from polyhead.nn.pattern import Forms
from polyhead.nn.pattern_base import PatternSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYMBOLS, LENGTH, BATCH = 12, 16, 32
ARMS = {
    "shift, usual mask": (True, "usual", True),
    "no shift, usual mask": (False, "usual", True),
    "shift, strict mask": (True, "strict", True),
    "no shift, strict mask": (False, "strict", True),
    "no shift, strict mask, no skip": (False, "strict", False),
}


class Before(PatternSpec):
    """A token sees what came before it, not itself. The first sees nothing, and attention gives it zeros."""

    def allows(self, q: At, k: At) -> Tensor:
        return k.pos < q.pos


def chain(seed: int) -> tuple[Tensor, float]:
    """(table (S, S) of chances of the next symbol, its entropy rate in nats): a random first-order Markov chain."""
    table = (2 * torch.randn(SYMBOLS, SYMBOLS, generator=torch.Generator().manual_seed(seed))).softmax(-1)
    share = torch.linalg.matrix_power(table.double(), 512)[0]
    return table, float(-(share[:, None] * table.double() * table.double().log()).sum())


def text(table: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """(rows, LENGTH + 1) symbols."""
    symbols = [torch.randint(SYMBOLS, (rows,), generator=generator)]
    for _ in range(LENGTH):
        symbols.append(torch.multinomial(table[symbols[-1]], 1, generator=generator)[:, 0])
    return torch.stack(symbols, 1)


def build(mask: str, skip: bool, seed: int) -> Transformer:
    changes: dict[str, Any] = {"decoder.embedding.position": {"kind": "learned", "length": LENGTH}}
    model = small(SYMBOLS, width=32, layers=1, heads=1, context=LENGTH, changes=changes).build(seed)
    stack = model.top
    if mask == "strict":
        stack.patterns = dict.fromkeys(stack.patterns, Forms(Before(), Before()))  # type: ignore[arg-type]  # not one of the closed union
    if not skip:
        stack.layers[0].join_attention.skip = 0.0
    return model


def measure(trial: Trial) -> Numbers:
    """trial.arm: (targets shifted by one?, usual | strict mask, is attention's input added to its output?)."""
    shift, mask, skip = trial.arm
    table, entropy = chain(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    model = build(mask, skip, trial.seed)

    def loss(rows: Tensor, since: int = 0) -> Tensor:
        inputs, targets = rows[:, :LENGTH], rows[:, 1:] if shift else rows[:, :LENGTH]
        logits = model(Tokens(inputs))[:, since:]
        return F.cross_entropy(logits.flatten(0, 1), targets[:, since:].flatten())

    losses = train(model, lambda step: loss(text(table, BATCH, generator)), trial.steps(240, 1200))
    with torch.no_grad():
        final = float(loss(text(table, 512, generator), since=1))
    return {"loss": final, "entropy": entropy, "by_entropy": final / entropy, "last_training_loss": losses[-1], **influence(model)}


def influence(model: Transformer) -> Numbers:
    """How strongly the logits of 8 places depend on the tokens of 8 places: norms of the Jacobian to the embeddings."""
    n, ids = 8, torch.arange(8).unsqueeze(0) % SYMBOLS
    given = model.top.embed(Tokens(ids), At.of(Tokens(ids)), None).detach()
    keep, model.top.embed.forward = model.top.embed.forward, lambda *_: point  # type: ignore[method-assign]
    point = given.requires_grad_()
    rows = []
    for place in range(n):
        parts = [torch.autograd.grad(model(Tokens(ids))[0, place, c], point)[0][0] for c in range(SYMBOLS)]
        rows.append(torch.stack(parts).square().sum((0, 2)).sqrt())
    model.top.embed.forward = keep  # type: ignore[method-assign]
    found = torch.stack(rows)
    return {"jacobian": found.flatten().tolist(), "own": float(found.diagonal().max()), "later": float(found.triu(1).max())}


def rule(table: Table) -> Ruling:
    ratio = {arm: table.interval(arm, "by_entropy") for arm in ARMS}
    right, strict = ratio["shift, usual mask"].mean, ratio["shift, strict mask"].mean
    bare, both = ratio["no shift, usual mask"], ratio["no shift, strict mask"]
    cut = ratio["no shift, strict mask, no skip"].mean
    numbers = (
        f"Loss as a multiple of the text's entropy: {right:.2f} with shift and the usual mask, {strict:.2f} with a strict mask; without "
        f"the shift {bare.mean:.2f} and {both.mean:.2f}, for a token's own symbol comes along the skip connection whatever the mask "
        f"says; {cut:.2f} once that is cut, for it also makes the query."
    )
    if not 0.9 < right < 1.25:
        return Ruling(Verdict.OPEN if right > 1 else Verdict.WRONG, numbers)
    own = max(table.mean(arm, "own") for arm in ("no shift, usual mask", "no shift, strict mask"))
    if bare.high < 0.5:
        return Ruling(Verdict.CONDITION, "The mask alone lets a model copy its own answer. " + numbers)
    return Ruling(Verdict.HOLDS if own == 0 else Verdict.OPEN, numbers)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=3)
    names = {arm: arm.replace(", ", ",\n") for arm in ARMS}
    bars = axes[0]
    for place, arm in enumerate(ARMS):
        values = table.values(arm, "by_entropy")
        bars.barh(place, values.mean(), 0.62, color=style.colour(place), alpha=0.75)
        bars.scatter(values, [place] * len(values), s=13, color=style.BACK(), edgecolors=style.INK(), linewidths=0.8, zorder=3)
    bars.set_yticks(range(len(names)), list(names.values()), fontsize=8)
    bars.invert_yaxis()
    bars.set(xlabel="loss / entropy of the text", title="Who copies?")
    style.reference(bars, 1.0, "", vertical=True)
    for ax, arm in zip(axes[1:], ("shift, usual mask", "no shift, strict mask"), strict=True):
        image = table.curve(arm, "jacobian").reshape(8, 8)
        ax.imshow(image / image.max(), cmap=style.shades(), vmin=0, vmax=1)
        ax.set(xlabel="input token", ylabel="output", title=arm, xticks=range(0, 8, 2), yticks=range(0, 8, 2))
        ax.grid(visible=False)
    return fig


CLAIM = Claim(
    id="C36", title="Does the mask alone make prediction i depend on 0 … i−1 only?", topic="masks", kind="trained",
    statement="Masked self-attention ensures that the prediction for position i depends only on positions 0 … i−1: positions i+1 … N are masked.",
    notes=("002 Q4", "001 Q12"),
    literature=(
        "Vaswani et al. 2017 (arXiv 1706.03762) §3.1: masking, “combined with [the] fact that the output embeddings are offset by one "
        "position, ensures that the predictions for position i can depend only on the known outputs at positions less than i”."
    ),
    method=(
        "Targets shifted by one or not × usual mask (j ≤ i) or strict (j < i), and one arm more whose attention has no skip connection. "
        "One layer of width 32 on a random Markov chain of 12 symbols, whose entropy is known. Loss on fresh text from the second place "
        "on, and the Jacobian of each place's logits to each place's embedding."
    ),
    decides=(
        "Decided only if shift and usual mask reach the entropy within 25 % (below 90 % of it something leaks: wrong). With a condition "
        "if without the shift the loss falls under half the entropy; holds if without it no logit depends on its own place's token."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS, measure=measure, rule=rule, draw=draw,
    units={"loss": "nats per symbol", "entropy": "nats per symbol"},
    limits="The strict mask needs no key at the first place; there attention gives zeros, and that place is left out of the loss.",
)  # fmt: skip
