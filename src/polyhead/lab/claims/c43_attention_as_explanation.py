"""C43: do attention's weights show what an answer rests on?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train
from ..watching import Watched, watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEYS, ITEMS, STRENGTHS = 4, 10, (-2, -1, 1, 2)
BLANK = KEYS * len(STRENGTHS)
ASK, VOCAB = BLANK + 1, BLANK + 1 + KEYS
SHALLOW, DEEP = "1 layer, 1 head", "3 layers, 4 heads"
ARMS = {SHALLOW: (1, 1), DEEP: (3, 4)}
MOVED, KEPT = 0.5, 0.01  # adversarial weights: moved by more than this share, probability changed by less than that


class Rows(NamedTuple):
    """ids (B, 11): ten items, each a key with a strength or a blank, and a question for a key. label (B,): 1 if the strengths of
    the items with this key have a positive sum. relevant (B, 10) bool: which items these are."""

    ids: Tensor
    label: Tensor
    relevant: Tensor


def rows(n: int, generator: torch.Generator) -> Rows:
    items = torch.randint(BLANK, (3 * n, ITEMS), generator=generator)
    items = items.masked_fill(torch.rand(3 * n, ITEMS, generator=generator) < 0.1, BLANK)
    asked = torch.randint(KEYS, (3 * n, 1), generator=generator)
    relevant = (items // len(STRENGTHS) == asked) & (items != BLANK)
    total = (torch.tensor(STRENGTHS)[items % len(STRENGTHS)] * relevant).sum(1)
    kept = total.nonzero()[:n, 0]  # about four in five have a sum that is not 0
    return Rows(torch.cat([items, ASK + asked], 1)[kept], (total > 0).long()[kept], relevant[kept])


def odds(model: Transformer, ids: Tensor) -> Tensor:
    """(B,) log-odds of a positive sum, read at the question."""
    said = model(Tokens(ids))[:, -1]
    return said[:, 1] - said[:, 0]


def learnt(layers: int, heads: int, seed: int, steps: int) -> Transformer:
    changes: dict[str, Any] = {"init": {"kind": "xavier"}}
    model = small(VOCAB, "encoder", width=32, layers=layers, heads=heads, context=ITEMS + 1, output=2, changes=changes).build(seed)
    generator = torch.Generator().manual_seed(seed)
    nn.init.normal_(model.table, std=0.5, generator=generator)

    def loss(_: int) -> Tensor:
        given = rows(48, generator)
        return F.cross_entropy(model(Tokens(given.ids))[:, -1], given.label)

    train(model, loss, steps, lr=4e-3, warmup=20, decay=cosine)
    return model


def left_out(model: Transformer, ids: Tensor) -> Tensor:
    """(B, 10): how much the log-odds change when an item is made a blank."""
    whole, changes = odds(model, ids), []
    for place in range(ITEMS):
        without = ids.clone()
        without[:, place] = BLANK
        changes.append((odds(model, without) - whole).abs())
    return torch.stack(changes, 1)


def slopes(model: Transformer, ids: Tensor) -> Tensor:
    """(B, 10): the gradient of the log-odds at an item's embedding, along its difference from a blank's."""
    kept: list[Tensor] = []
    hook = model.top.embed.register_forward_hook(lambda _, __, out: kept.append(out.detach().requires_grad_()) or kept[-1])  # type: ignore[func-returns-value]
    whole = odds(model, ids).sum()
    hook.remove()
    (grad,) = torch.autograd.grad(whole, kept)
    return (grad * (kept[0] - model.table[BLANK])).sum(-1).abs()[:, :ITEMS].detach()


def agreement(a: Tensor, b: Tensor) -> Tensor:
    """(B,): Spearman's correlation of scores (B, n), each in twentieths of its row's largest, so that what is next to nothing
    ties."""

    def ranks(x: Tensor) -> Tensor:
        x = (20 * x / x.amax(1, keepdim=True).clamp(min=1e-9)).round()
        rank = (x[:, :, None] > x[:, None, :]).sum(2) + 0.5 * (x[:, :, None] == x[:, None, :]).sum(2)
        return rank - rank.mean(1, keepdim=True)

    a, b = ranks(a), ranks(b)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-9)


def adversarial(model: Transformer, top: Watched, ids: Tensor, steps: int) -> float:
    """The share of rows for which other weights of the question in the last layer, in every head, are found that keep the answer:
    gradient ascent on how far they are moved, less what it costs."""
    with torch.no_grad():
        probability = odds(model, ids).sigmoid()
    assert top.seen is not None
    own = top.seen.detach()
    asked = torch.log(own[:, :, -1].clamp(min=1e-4)) + torch.randn(own[:, :, -1].shape, generator=torch.Generator().manual_seed(0))
    asked.requires_grad_()
    optimizer = torch.optim.Adam([asked], lr=0.2)
    best = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(steps):
        weights = asked.softmax(-1)
        top.given = torch.cat([own[:, :, :-1], weights[:, :, None]], 2)
        change = (odds(model, ids).sigmoid() - probability).abs()
        moved = 0.5 * (weights - own[:, :, -1]).abs().sum(-1).amin(1)
        best |= (change.detach() < KEPT) & (moved.detach() > MOVED)
        optimizer.zero_grad()
        (20 * F.relu(change - KEPT / 2) - moved).sum().backward()
        optimizer.step()
    top.given = None
    return float(best.float().mean())


def measure(trial: Trial) -> Numbers:
    layers, heads = trial.arm
    model, parts = watched(learnt(layers, heads, trial.seed, trial.steps(300, 1200)))
    model.requires_grad_(False)
    given, top = rows(200, torch.Generator().manual_seed(1000 + trial.seed)), parts["encoder"][-1]
    with torch.no_grad():
        right = ((odds(model, given.ids) > 0) == (given.label > 0)).float().mean()
        assert top.seen is not None
        weights = top.seen[:, :, -1, :ITEMS].mean(1)
        effects = left_out(model, given.ids)
    gradients = slopes(model, given.ids)
    shares = weights / weights.sum(1, keepdim=True)
    return {
        "right": float(right), "attention and leaving out": float(agreement(weights, effects).mean()),
        "attention and gradient": float(agreement(weights, gradients).mean()), "gradient and leaving out": float(agreement(gradients, effects).mean()),
        "weight on what matters": float((shares * given.relevant).sum(1).mean()),
        "adversarial": adversarial(model, top, given.ids, trial.steps(80, 200)),
        "weights": [round(float(w), 3) for w in shares[:20].flatten()], "effects": [round(float(e), 3) for e in effects[:20].flatten()],
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    near, far = (table.interval(arm, "attention and leaving out") for arm in (SHALLOW, DEEP))
    told = (
        f"The rank correlation of attention's weights with what leaving an item out changes is {near} in one layer with one head and {far} in the last of three layers with four heads (the gradient's: "
        f"{table.mean(SHALLOW, 'gradient and leaving out'):.2f} and {table.mean(DEEP, 'gradient and leaving out'):.2f}). Quite other weights with the same answer are found for "
        f"{table.mean(SHALLOW, 'adversarial'):.0%} and {table.mean(DEEP, 'adversarial'):.0%} of texts."
    )
    if min(table.mean(arm, "right") for arm in table.arms) < 0.9:
        return Ruling(Verdict.OPEN, f"The task is not learnt. {told}")
    fooled = max(table.interval(arm, "adversarial").low for arm in table.arms) > 0.5
    if near.low > 0.7 and far.low > 0.7:
        return Ruling(Verdict.CONDITION if fooled else Verdict.HOLDS, told)
    if near.low > 0.7 and far.high < 0.7:
        return Ruling(Verdict.CONDITION, told)
    return Ruling(Verdict.WRONG if max(near.high, far.high) < 0.7 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(3, width=13.0)
    for panel, arm in zip(axes[:2], table.arms, strict=True):
        index = list(table.arms).index(arm)
        panel.scatter(table.values(arm, "weights")[0], table.values(arm, "effects")[0], s=14, alpha=0.6, color=style.colour(index), linewidths=0)
        panel.set(xlabel="attention's weight on an item (share)", ylabel="log-odds changed without it", title=arm)
    names = {"attention and leaving out": "attention,\nleaving out", "gradient and leaving out": "gradient,\nleaving out", "weight on what matters": "weight on\nwhat matters", "adversarial": "other weights,\nsame answer"}
    style.groups(axes[2], table, names, format="{:.2f}")
    axes[2].set(ylabel="rank correlation, or share", ylim=(min(0.0, axes[2].get_ylim()[0]), 1.4))
    axes[2].tick_params(axis="x", labelsize=8)
    style.legend(axes[2], ncols=2, loc="upper center", fontsize=8)
    return figure


CLAIM = Claim(
    id="C43",
    title="Do attention's weights show what an answer rests on?",
    topic="attention",
    kind="trained",
    statement="Attention is sharp and interpretable: its weights show what the model looked at to answer. (Other notes: it is not inherently interpretable.)",
    notes=("001 Q4", "000 §4", "004:403"),
    literature=(
        "Jain and Wallace (2019, arXiv 1902.10186): weights agree little with gradients and with leaving words out, and quite other weights give the same answer. Wiegreffe and Pinter (2019, arXiv 1908.04626): "
        "such weights prove less than they seem to, since a model did not come by them through training; it depends on what is meant by explanation."
    ),
    method=(
        f"An encoder without positions reads {ITEMS} items, each one of {KEYS} keys with a strength from −2 to 2, and a question for a key; is the sum of this key's strengths positive? What matters is known. Arms: one layer with one head; three layers with four. "
        "Measured at the question in the last layer, mean of heads: Spearman's rank correlation of the weights with the change of the log-odds when an item is made a blank (next to nothing ties), and with the gradient's; and whether gradient ascent finds other weights "
        f"there, moved by more than {MOVED} in every head, that change the probability by less than {KEPT}."
    ),
    decides=(
        "Holds if the correlation is above 0.7 in both, and other weights with the same answer are not found for more than half of the texts in either. With a condition if it is above 0.7 in one layer but below it in three, or above it in both but such weights are found. Wrong if it is below 0.7 "
        "in both. Whole intervals; not decided otherwise, or if less than 90 % of answers are right."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={"right": "share of answers", "attention and leaving out": "rank correlation", "attention and gradient": "rank correlation", "gradient and leaving out": "rank correlation", "weight on what matters": "share of weight", "adversarial": "share of texts"},
    limits="One small task in which items matter by themselves; how strong one is stands in its value, which no weight shows, so that even one layer's weights find what matters better than they rank it. In deeper layers a place no longer stands for its own token alone, which is what weakens the link from weight to word; sums over layers (rollout) were not tried.",
)
