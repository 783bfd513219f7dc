"""C07: dropout on attention, before or after the softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.baselines.dropout_places import Place, mix, with_dropout
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.corpus import VOCAB, corpus, windows
from polyhead.lab.language import held_loss, next_character
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.lab.training import train
from polyhead.nn import Tokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOKENS, P = 16, 0.1
TRAIN_P, TEXT, LENGTH, BATCH = 0.3, 12_000, 32, 12  # training: little text, read many times, so that it over-fits
BINS = torch.linspace(0, 0.5, 26)
EVALUATIONS = 8


def weights(place: Place, mean: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(weights without dropout, weights with it (draws, T, T), where it struck): normal scores around `mean`, read off by
    values that are the unit vectors. Where the scores say so, a link that was struck is known from the random numbers."""
    generator = torch.Generator().manual_seed(seed)
    scores = (torch.randn(400, 1, TOKENS, TOKENS, generator=generator) + mean).double()
    unit = torch.eye(TOKENS, dtype=torch.float64).expand(400, 1, -1, -1)

    def run(where: Place) -> Tensor:
        torch.manual_seed(seed)
        return mix(scores, unit, unit, where, P, scale=1.0)[:, 0]  # q = scores and k = unit vectors: q·kᵀ = scores

    whole = run("none")
    if place in ("none", "weights"):
        dropped = run(place)
        return whole, dropped, dropped == 0
    torch.manual_seed(seed)
    struck = F.dropout(torch.ones_like(scores), P)[:, 0] == 0 if place == "scores" else (torch.rand_like(scores) < P)[:, 0]
    return whole, run(place), struck & ~torch.eye(TOKENS, dtype=torch.bool) if place == "keys" else struck


def exact(place: Place, seed: int) -> Numbers:
    whole, found, struck = weights(place, 0.0, seed)
    lifted_whole, lifted, lifted_struck = weights(place, -3.0, seed)
    left = found[struck] if place != "none" else torch.zeros(1)
    far = lifted[lifted_struck] if place != "none" else torch.zeros(1)
    generator = torch.Generator().manual_seed(seed + 1)
    values = torch.randn(TOKENS, 8, generator=generator, dtype=torch.float64)
    return {
        "row_sum": float(found.sum(-1).mean()),
        "row_sum_spread": float(found.sum(-1).std()),
        "struck_weight": float(left.mean()),
        "struck_weight_low_scores": float(far.mean()),
        "uniform_weight": 1 / TOKENS,
        "output_error": float(((found - whole) @ values).square().mean().sqrt()),
        "bias": float((found.mean(0) - whole.mean(0)).abs().mean()),
        "struck_histogram": torch.histogram(far.float(), BINS, density=False).hist.div(len(far)).tolist(),
    }


def measure(trial: Trial) -> Numbers:
    """trial.arm: where dropout is."""
    place: Place = trial.arm
    numbers = exact(place, trial.seed)
    few, generator = corpus().train[:TEXT], torch.Generator().manual_seed(trial.seed)
    changes = {"decoder.blocks.layer.attention.position": {"kind": "rotary"}}
    model = with_dropout(small(VOCAB, context=LENGTH, changes=changes).build(trial.seed), place, TRAIN_P)

    def loss(_: int) -> Tensor:
        return next_character(lambda ids: model(Tokens(ids)), windows(few, BATCH, LENGTH + 1, generator))

    curve: list[float] = []
    losses: list[float] = []
    for _ in range(EVALUATIONS):
        losses += train(model, loss, max(1, trial.steps(400, 2400) // EVALUATIONS), lr=2e-3)
        curve.append(held_loss(model, LENGTH, characters=2048))
    return {**numbers, "held_loss": curve[-1], "best_held_loss": min(curve), "seen_loss": sum(losses[-20:]) / len(losses[-20:]), "held_curve": curve}


def rule(table: Table) -> Ruling:
    spread_of = {arm: table.mean(arm, "row_sum_spread") for arm in table.arms}
    literal, after = table.mean("before, zeroed", "struck_weight_low_scores"), table.mean("after softmax", "struck_weight")
    plain, uniform = table.mean("before, zeroed", "struck_weight"), 1 / TOKENS
    gain = {arm: table.gap(arm, "no dropout", "held_loss") for arm in table.arms}
    numbers = (
        f"torch's own attention dropout leaves rows that sum to 1 ± {spread_of['after softmax']:.3f}: it strikes after the softmax. "
        f"Struck before it, a link keeps a weight of {plain:.3f} (uniform: {uniform:.4f}) at scores around 0, and {literal:.3f} around −3. "
        f"Less held-out loss than without dropout: {gain['after softmax']} after, {gain['before, −∞']} with −∞ before, "
        f"{gain['before, zeroed']} zeroed before."
    )
    if spread_of["after softmax"] < 1e-6:
        verdict = Verdict.HOLDS if literal > 0 else Verdict.OPEN
        return Ruling(verdict, numbers)
    if after > 0 or literal < 0.1 * uniform:
        return Ruling(Verdict.OPEN if after > 0 else Verdict.CONDITION, numbers)
    return Ruling(Verdict.WRONG, numbers)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(columns=2)
    arms = list(table.arms)
    middle = ((BINS[1:] + BINS[:-1]) / 2).tolist()
    for arm in ("after softmax", "before, −∞", "before, zeroed"):
        share = table.curve(arm, "struck_histogram") * 100
        left.step(middle, share.clip(1e-2), where="mid", label=arm, color=style.colour(arms.index(arm)), linewidth=1.8,
                  linestyle="--" if arm == "before, −∞" else "-")  # fmt: skip
    left.set(xlabel="weight that a struck link keeps (scores around −3)", ylabel="struck links, %", yscale="log", title="Is it dropped?", ylim=(0.05, 200))
    style.reference(left, 1 / TOKENS, "uniform", vertical=True)
    style.legend(left)
    steps = range(1, 1 + table.values(arms[0], "held_curve").shape[1])
    style.lines(right, table, "held_curve", list(steps))
    right.set(xlabel="training, eighths", ylabel="held-out loss, nats per character", title="Does it regularise?")
    style.legend(right)
    return fig


CLAIM = Claim(
    id="C07", title="Is dropout applied to attention before the softmax?", topic="training", kind="trained",
    statement="Dropout is applied to the self-attention weights before the softmax.",
    notes=("003 §8", "000 §5"),
    literature=(
        "The authors' tensor2tensor code takes the softmax of the logits and drops the weights then (“drop out attention links”). "
        "Vaswani et al. 2017 (arXiv 1706.03762) §5.4 names only dropout on sub-layer outputs and on the sum of embeddings and positions. "
        "Dropping keys by −∞ before the softmax is another method, DropKey (Li et al. 2022, arXiv 2208.02646)."
    ),
    method=(
        "One axis, where dropout strikes: the weights after the softmax (torch's own kernel), the scores set to −∞, or the scores set to "
        "0 as the sentence says, or nowhere. At p = 0.1 and 16 tokens: the weight a struck link keeps, and sums of rows, read off by values "
        "that are unit vectors. Then a small decoder on 12 000 characters of the corpus, over-fitting, at p = 0.3."
    ),
    decides=(
        "Wrong if rows of torch's kernel no longer sum to 1 (so it strikes after), its struck links weigh 0, and links struck before "
        "the softmax keep more than a tenth of a uniform weight. Holds if its rows still sum to 1; with a condition if struck scores "
        "do lose their weight. Training is reported and decides nothing."
    ),
    expected=Verdict.WRONG,
    arms={"after softmax": "weights", "before, −∞": "keys", "before, zeroed": "scores", "no dropout": "none"},
    measure=measure, rule=rule, draw=draw, corpus=True,
    units={"held_loss": "nats per character", "seen_loss": "nats per character", "best_held_loss": "nats per character"},
    limits="How well each regularises was measured on one small model; with −∞ a token always keeps itself.",
)  # fmt: skip
