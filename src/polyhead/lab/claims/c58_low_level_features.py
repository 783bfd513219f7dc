"""C58: can the input character still be read after many layers, with and without residual connections?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyhead.nn import At, Tokens, Transformer

from .. import style
from ..baselines.skips import without_skips
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus, spread
from ..language import held_loss, learn
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS, WIDTH, LENGTH = 8, 48, 32
ROWS = 256  # of LENGTH characters: half to fit the probe, half to test it


def states(model: Transformer, ids: Tensor) -> list[Tensor]:
    """(B, T, D): the embedding, then after each layer."""
    tokens = Tokens(ids)
    found = [model.top.embed(tokens, At.of(tokens), None)]
    hooks = [layer.register_forward_hook(lambda _, __, out: found.append(out[0])) for layer in model.top.layers]
    model(tokens)
    for hook in hooks:
        hook.remove()
    return found


def probe(x: Tensor, ids: Tensor) -> float:
    """x (N, D), ids (N,): share of ids told right in the second half by a linear map fitted to the first: Fisher's discriminant,
    means of the ids under one common spread about them (ridge 1e-3 of its mean), and how often each stood there."""
    half, x = len(x) // 2, x.double()
    counts = torch.bincount(ids[:half], minlength=VOCAB).double()
    means = torch.zeros(VOCAB, x.shape[1], dtype=x.dtype).index_add(0, ids[:half], x[:half]) / counts.clamp(min=1)[:, None]
    away = x[:half] - means[ids[:half]]
    spread = away.T @ away / half
    weights = torch.linalg.solve(spread + 1e-3 * spread.trace() / len(spread) * torch.eye(len(spread), dtype=x.dtype), means.T)
    said = (x[half:] @ weights - 0.5 * (means.T * weights).sum(0) + counts.log()).argmax(1)
    return float((said == ids[half:]).float().mean())


def measure(trial: Trial) -> Numbers:
    """trial.arm: with residual connections?"""
    changes = {"decoder.embedding.position": {"kind": "learned", "length": LENGTH}}
    model = small(VOCAB, width=WIDTH, layers=LAYERS, context=LENGTH, changes=changes).build(trial.seed)
    if not trial.arm:
        without_skips(model)
    ids = spread(corpus().held, ROWS, LENGTH)

    def read() -> list[float]:
        with torch.no_grad():
            return [probe(x.flatten(0, 1), ids.flatten()) for x in states(model, ids)]

    before = read()
    learn(model, trial.steps(120, 800), trial.seed, batch=16, length=LENGTH)
    after = read()
    most = float(torch.bincount(ids[ROWS // 2 :].flatten()).max()) / (ROWS // 2 * LENGTH)
    return {
        "untrained": before, "trained": after, "untrained at the top": before[-1], "trained at the top": after[-1], "commonest": most,
        "loss": held_loss(model, LENGTH, characters=8192), "unigram": corpus().unigram,
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    kept, cut = table.arms
    floor = table.mean(kept, "commonest")
    with_, without = table.interval(kept, "trained at the top"), table.interval(cut, "trained at the top")
    new, other = table.interval(kept, "untrained at the top"), table.interval(cut, "untrained at the top")
    told = (
        f"After {LAYERS} layers a linear map tells {with_.mean:.0%} of the input characters with residual connections and {without.mean:.0%} without them, untrained {new.mean:.0%} and {other.mean:.0%} (the commonest one is {floor:.0%}); "
        f"the losses are {table.mean(kept, 'loss'):.2f} and {table.mean(cut, 'loss'):.2f} nats."
    )
    if table.curve(kept, "untrained")[0] < 0.95:
        return Ruling(Verdict.OPEN, f"The probe cannot even read the embedding. {told}")
    if with_.high < 0.5 or table.gap(cut, kept, "trained at the top").high < 0.05 and table.gap(cut, kept, "untrained at the top").high < 0.05:
        return Ruling(Verdict.WRONG, told)
    ahead = table.gap(cut, kept, "trained at the top").low > 0.2 and table.gap(cut, kept, "untrained at the top").low > 0.2
    if not ahead:
        return Ruling(Verdict.OPEN, told)
    return Ruling(Verdict.HOLDS if with_.low > 0.9 else Verdict.CONDITION, told)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(2, sharey=True)
    for ax, name in zip(axes, ("untrained", "trained"), strict=True):
        style.lines(ax, table, name, list(range(LAYERS + 1)))
        ax.set(xlabel="layers passed", title=name.capitalize(), ylim=(0, 1.05), xticks=range(LAYERS + 1))
        style.reference(ax, table.mean(next(iter(table.arms)), "commonest"), "always the commonest")
    axes[0].set_ylabel("input characters read off")
    style.legend(axes[0], loc="center right")
    return fig


CLAIM = Claim(
    id="C58",
    title="Do residual connections keep low-level features?",
    topic="residuals and norms",
    kind="trained",
    statement="Residual connections preserve low-level features across depth.",
    notes=("001 Q11",),
    literature=(
        "He et al. 2016 (arXiv 1603.05027): a sum hands its input on as it is. Elhage et al. 2021 (A Mathematical Framework for Transformer Circuits) call the sum a stream that all layers read from and write to. Dong et al. 2021 "
        "(arXiv 2103.03404): attention alone, without skips, makes all tokens equal doubly exponentially with depth."
    ),
    method=(
        f"A causal character model of {LAYERS} layers (width {WIDTH}), as it is or with every residual connection cut, norms in place. After each layer a linear map (Fisher's discriminant), fitted on 4096 characters, is asked on 4096 others which "
        "character stands at that place; untrained, and after the same training to foretell the next one."
    ),
    decides=(
        "Not decided if the embedding itself is read in less than 95 % of cases. Wrong if with residual connections less than half are read at the top after training, or cutting them costs less than 0.05 both before and after. If "
        "cutting them costs more than 0.2 both before and after training (whole intervals): holds where more than 90 % are read at the top after training, else with a condition. Not decided in between."
    ),
    expected=Verdict.HOLDS,
    arms={"residual connections": True, "cut": False},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"trained at the top": "share of characters", "untrained at the top": "share of characters", "loss": "nats per character"},
    corpus=True,
    limits="That a feature can be read off does not say that it is used; a longer training overwrites more of what is no longer needed. Where tokens have become almost equal the map fits noise, and can do worse than the commonest character.",
)  # fmt: skip
