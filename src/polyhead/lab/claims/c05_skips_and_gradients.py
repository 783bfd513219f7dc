"""C05: do residual connections keep gradients from vanishing, or something else?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import Tokens, Transformer

from .. import style
from ..baselines.skips import without_skips
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus, spread
from ..language import held_loss, learn
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTHS, TRAINED, LENGTH = (2, 4, 8, 16, 32), 6, 32
QUANTITIES = {
    "stream": "gradient of the stream:\nbelow the second layer / above the last",
    "values": "gradient of the last W$_V$",
    "scores": "gradient of the last W$_Q$ and W$_K$",
    "diversity": "how different the tokens are\nafter the last layer",
}


def build(skips: bool, layers: int, seed: int) -> Transformer:
    changes = {"init": {"kind": "xavier"}, "decoder.embedding.position": {"kind": "learned", "length": LENGTH}}
    model = small(VOCAB, context=LENGTH, width=48, layers=layers, changes=changes).build(seed)
    return model if skips else without_skips(model)


def measure(trial: Trial) -> Numbers:
    fresh = [at_birth(build(trial.arm, layers, trial.seed)) for layers in DEPTHS]
    model = build(trial.arm, TRAINED, trial.seed)
    learn(model, trial.steps(150, 400), trial.seed, batch=16, length=LENGTH)
    lists = {name: [numbers[name] for numbers in fresh] for name in QUANTITIES}
    ends = {f"{name} at {DEPTHS[-1]}": series[-1] for name, series in lists.items()}
    return lists | ends | {"loss": held_loss(model, LENGTH, characters=8192), "unigram": corpus().unigram}


def at_birth(model: Transformer) -> dict[str, float]:
    """What an untrained model's first gradients are like, in double precision: far below what single precision resolves."""
    model, rows, states = model.double(), spread(corpus().train, 4, LENGTH + 1), list[Tensor]()

    def keep(_: object, __: object, out: tuple[Tensor, ...]) -> None:
        out[0].retain_grad()
        states.append(out[0])

    layers = list(model.top.layers)
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    F.cross_entropy(model(Tokens(rows[:, :-1])).double().flatten(0, 1), rows[:, 1:].flatten()).backward()
    for hook in hooks:
        hook.remove()
    heads, top = layers[-1].attention.heads, states[-1].detach()
    mean = top.mean(1, keepdim=True)
    return {
        "stream": _norm(states[0].grad) / _norm(states[-1].grad), "values": _norm(heads.v.weight.grad),  # type: ignore[union-attr, arg-type]
        "scores": math.hypot(_norm(heads.q.weight.grad), _norm(heads.k.weight.grad)), "diversity": _norm(top - mean) / _norm(top),  # type: ignore[union-attr, arg-type]
    }  # fmt: skip


def _norm(tensor: Tensor | None) -> float:
    assert tensor is not None
    return float(torch.linalg.vector_norm(tensor))


def rule(table: Table) -> Ruling:
    bare, last = "without skips", f" at {DEPTHS[-1]}"
    stream, diversity, scores = (table.interval(bare, name + last) for name in ("stream", "diversity", "scores"))
    kept, alike = table.interval("with skips", "stream" + last), table.interval("with skips", "diversity" + last)
    gap = table.gap("with skips", bare, "loss")
    told = (
        f"At {DEPTHS[-1]} layers without skips the stream's gradient comes down as {stream.mean:.2g} of itself (with: {kept.mean:.2g}), tokens differ by "
        f"{diversity.mean:.1g} of their length (with: {alike.mean:.2g}), and the gradient of W_Q and W_K is {scores.mean:.1g}; {TRAINED} layers learn "
        f"{gap.mean:+.2f} nats worse."
    )
    if gap.low < 0.1:
        return Ruling(Verdict.OPEN, f"Without skips the model learns as well, so that there is nothing to explain. {told}")
    if stream.high < 0.01 and kept.low > 0.1:
        return Ruling(Verdict.HOLDS, told)
    if stream.low > 0.1 and diversity.high < 0.01 * alike.low:
        return Ruling(Verdict.WRONG, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, grid = style.figure(2, 2, height=2.7, width=8.4, sharex=True)
    for axes, (name, title) in zip(grid.flat, QUANTITIES.items(), strict=True):
        style.lines(axes, table, name, DEPTHS)
        axes.set_title(title, fontsize=9.5)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(DEPTHS, [str(n) for n in DEPTHS])
        axes.minorticks_off()
    for axes in grid[0]:
        axes.set_ylim(1e-2, 1e2)
    for axes in grid[1]:
        axes.set_xlabel("layers")
    style.legend(grid[1, 0])
    return figure


CLAIM = Claim(
    id="C05",
    title="Do residual connections solve the vanishing gradient?",
    topic="residuals and norms",
    kind="trained",
    statement="Residual connections are there against the vanishing gradient: without them it fades on its way down through a deep Transformer.",
    notes=("000 §5", "001 Q11", "002 Q14", "003 §5", "004:211", "004:286"),
    literature=(
        "He et al. (2015, arXiv 1512.03385, §4.1) write that the difficulty of their deep plain networks is “unlikely to be caused by vanishing gradients”. "
        "Dong et al. (2021, arXiv 2103.03404) show what dies in a Transformer without skips: tokens become alike, doubly exponentially with depth. "
        "Noci et al. (2022, arXiv 2206.03126) derive that then the gradients of queries and keys vanish."
    ),
    method=(
        f"A decoder with a LayerNorm before each sublayer, Xavier's initial values, with and without the skip. Untrained, at {DEPTHS[0]} to {DEPTHS[-1]} layers: the norm "
        "of the loss's gradient at the first layer's output over that at the last one's, the gradient of the last layer's projections, and how far "
        f"tokens are from their mean (their norm is 1). Then {TRAINED} layers are trained on characters."
    ),
    decides=(
        f"Wrong as stated if without skips, at {DEPTHS[-1]} layers, more than a tenth of the gradient arrives (whole interval) while the tokens differ by less than a hundredth of "
        "what they do with skips, and the model learns worse by more than 0.1 nats. Holds if less than a hundredth arrives and more than a tenth does "
        "with skips. Not decided if it learns as well, or in between."
    ),
    expected=Verdict.WRONG,
    arms={"with skips": True, "without skips": False},
    measure=measure,
    rule=rule,
    draw=draw,
    units={
        "stream at 32": "norm of the gradient at the first layer's output / at the last one's", "values at 32": "norm of a gradient",
        "scores at 32": "norm of a gradient", "diversity at 32": "share of the states' norm", "loss": "nats per character", "unigram": "nats per character",
    },
    corpus=True,
    limits="The norm inside each sublayer is what keeps the gradient's size; without skips and without norms it is initial values that decide.",
)  # fmt: skip
