"""C10: what dividing by √d_k does to scores, softmax, gradients and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.corpus import VOCAB, corpus, windows
from polyhead.lab.language import held_loss, learn, next_character
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.nn import Tokens, Transformer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIMS = (4, 16, 64, 256, 1024, 4096)
KEYS, ROWS = 64, 256  # keys of a softmax; rows measured at each size
HEAD, LENGTH, BATCH = 128, 48, 8
POWER = {"none": 0.0, "√d_k": 0.5, "d_k": 1.0}  # scores are divided by d_k to this power


def closed_form(power: float, seed: int) -> Numbers:
    """Scores of independent unit normal queries and keys, and the softmax over 64 of them, by d_k."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[float]] = {name: [] for name in ("mean", "variance", "entropy", "jacobian_mean", "jacobian_median", "saturated")}
    for d in DIMS:
        q, k = (torch.randn(n, d, generator=generator, dtype=torch.float64) for n in (ROWS, KEYS * 8))
        keys = k.view(8, KEYS, d)
        raw = torch.einsum("rd,gkd->grk", q, keys)
        found["mean"].append(float(raw.mean()))
        scores = raw / d**power
        found["variance"].append(float(scores.var()))
        p = scores.softmax(-1)
        found["entropy"].append(float(-(p * p.clamp(min=1e-300).log()).sum(-1).mean()))
        norm = jacobian_norm(p)
        found["jacobian_mean"].append(float(norm.mean()))
        found["jacobian_median"].append(float(norm.median()))
        found["saturated"].append(float((norm < 1e-3).double().mean()))
    return found


def jacobian_norm(p: Tensor) -> Tensor:
    """Frobenius norm of diag(p) − p·pᵀ, the softmax's Jacobian, from p (…, n): Σ p²(1 − p)² + Σ over pairs p²p'²."""
    square = p.square()
    own = (p * (1 - p)).square().sum(-1)
    pairs = square.sum(-1).square() - square.square().sum(-1)
    return (own + pairs.clamp(min=0)).sqrt()


def trained(power: float, trial: Trial) -> Numbers:
    """A decoder of one head as wide as the model, with initial values that give queries and keys unit variance."""
    changes: dict[str, Any] = {
        "init": {"kind": "xavier"},
        "decoder.blocks.layer.attention.heads.scale": HEAD**-power,
        "decoder.blocks.layer.attention.position": {"kind": "rotary"},
    }
    generator = torch.Generator().manual_seed(trial.seed)
    model = small(VOCAB, width=HEAD, heads=1, context=LENGTH, changes=changes).build(trial.seed)

    def loss() -> Tensor:
        return next_character(lambda ids: model(Tokens(ids)), windows(corpus().train, BATCH, LENGTH + 1, generator))

    gradients = [qk_gradient(model, loss()) for _ in range(4)]
    learn(model, trial.steps(160, 600), trial.seed, batch=BATCH, length=LENGTH, lr=1e-3)
    return {"held_loss": held_loss(model, LENGTH, characters=3072), "qk_gradient": sum(gradients) / 4}


def qk_gradient(model: Transformer, loss: Tensor) -> float:
    """Norm of the loss' gradient to all query and key matrices."""
    matrices: list[Tensor] = [m.weight for block in model.top.layers for m in (block.attention.heads.q, block.attention.heads.k)]  # type: ignore[union-attr, misc]
    return float(torch.stack([g.square().sum() for g in torch.autograd.grad(loss, matrices)]).sum().sqrt())


def measure(trial: Trial) -> Numbers:
    """trial.arm: the power of d_k that scores are divided by."""
    return {**closed_form(trial.arm, trial.seed), **trained(trial.arm, trial)}


def rule(table: Table) -> Ruling:
    variance = {arm: table.curve(arm, "variance")[-1] for arm in table.arms}
    largest = float(abs(table.values("none", "mean")[:, -1]).max())
    median = {arm: table.curve(arm, "jacobian_median")[-1] for arm in table.arms}
    ratio = table.mean("none", "qk_gradient") / table.mean("√d_k", "qk_gradient")
    worse = table.gap("√d_k", "none", "held_loss")
    numbers = (
        f"At d_k = {DIMS[-1]} scores have a mean of at most {largest:.2f} and a variance of {variance['none']:.0f}, {variance['√d_k']:.2f} after "
        f"√d_k. The median softmax Jacobian is {median['none']:.0e} without it and {median['√d_k']:.2f} with it. In a model the gradient "
        f"of W_Q and W_K is {ratio:.2g} times as large without the scale, and the held-out loss higher by {worse} nats."
    )
    if not 0.8 < variance["√d_k"] < 1.2 or variance["none"] < 0.5 * DIMS[-1]:
        return Ruling(Verdict.OPEN, "Scores did not behave as independent unit normals give them. " + numbers)
    if largest < 0.01 * DIMS[-1]:
        return Ruling(Verdict.WRONG, "E[q·k] is 0, not ∝ d_k: the variance is what grows. " + numbers)
    return Ruling(Verdict.HOLDS if median["none"] < 1e-3 and ratio < 1 and worse.low > 0 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(columns=3)
    style.lines(left, table, "variance", DIMS)
    left.set(xscale="log", yscale="log", xlabel="d_k", ylabel="variance of the scores", title="Scores")
    style.lines(middle, table, "jacobian_median", DIMS)
    middle.set(xscale="log", yscale="log", xlabel="d_k", ylabel="median norm of the softmax's Jacobian", title="Saturation")
    style.legend(left, title="divided by")
    style.bars(right, table, "qk_gradient", format="{:.2g}")
    losses = [f"{arm}\nloss {table.mean(arm, 'held_loss'):.2f}" for arm in table.arms]
    right.set_xticks(range(len(losses)), losses)
    right.set(yscale="log", ylabel="gradient norm of W_Q, W_K at the start", title=f"A model, d_k = {HEAD}")
    return fig


CLAIM = Claim(
    id="C10", title="Why divide by √d_k, and what happens without?", topic="attention", kind="trained",
    statement=(
        "We divide by √d_k because E[QKᵀ] ∝ d_k: without it scores grow with the dimension, push the softmax into saturation, and cause "
        "vanishing gradients and unstable training."
    ),
    notes=("001 Q3", "002 Q2", "003 §1", "004:117", "004:137"),
    literature=(
        "Vaswani et al. 2017 (arXiv 1706.03762) §3.2.1, footnote 4: components that are independent with mean 0 and variance 1 give q·k a "
        "mean of 0 and a variance of d_k; that softmax then has extremely small gradients they only “suspect”. T5 trains without a "
        "scale, put into its initial values; μP (Yang et al. 2022, arXiv 2203.03466) divides by d_k."
    ),
    method=(
        "One axis, the power of d_k that scores are divided by. Closed form: unit normal queries and keys of 4 to 4096 features, softmax "
        f"over {KEYS} keys, norm of its Jacobian. Then a decoder of two layers with one head of {HEAD}, queries and keys of unit variance at "
        "the start (Xavier), on the corpus: gradient of W_Q and W_K before training, and held-out loss."
    ),
    decides=(
        "Decided only if √d_k gives a variance within 20 % of 1 at d_k = 4096, and nothing gives more than 2048. Wrong if the mean there is "
        "below 1 % of d_k. Else it holds if unscaled Jacobians have a median below 1e-3, W_Q and W_K get a smaller gradient and the loss is "
        "higher; with a condition if not all of these."
    ),
    expected=Verdict.WRONG,
    arms=POWER, measure=measure, rule=rule, draw=draw, corpus=True,
    units={"held_loss": "nats per character", "entropy": "nats"},
    limits=(
        "Variance 1 holds at the start, for independent components; trained queries and keys are correlated. The model's figures depend "
        "on initial values: smaller ones hide much of the effect."
    ),
)  # fmt: skip
