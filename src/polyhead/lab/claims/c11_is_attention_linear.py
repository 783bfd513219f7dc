"""C11: in what sense attention is linear, and what the feed-forward network adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.lab.training import train
from polyhead.nn import EmbeddingSpec, HeadSpec, ModelSpec, Patches, Tokens, Transformer
from polyhead.nn.attend import Lowered, attend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, CELLS, ANSWERS = 32, 60, 60  # 60 × 60 facts: one of 60 answers each
ARMS = {"attention alone": (2, False), "attention alone, 6 layers": (6, False), "with feed-forward": (2, True)}


class Nothing(nn.Module):
    """A feed-forward network that is not there."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def without_ffn(model: Transformer, keep: bool) -> Transformer:
    for block in model.top.layers:
        block.ffn = block.ffn if keep else Nothing()  # type: ignore[assignment]
    return model


def linearity(seed: int) -> Numbers:
    """How far f(x + y) is from f(x) + f(y), and f(2x) from 2·f(x), relative to the right side: of attention as a function
    of its input, and of its values alone while the weights stay."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    maps = [normal(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(3)]
    x, y, fixed = normal(1, 1, 8, WIDTH), normal(1, 1, 8, WIDTH), normal(1, 1, 8, WIDTH)

    def attention(source: Tensor, scored: Tensor) -> Tensor:
        q, k, v = scored @ maps[0], scored @ maps[1], source @ maps[2]
        return attend(q, k, v, Lowered("reference"), scale=WIDTH**-0.5, softcap=None, sinks=None, dropout=0.0)

    def errors(f: Any) -> tuple[float, float]:
        total = f(x) + f(y)
        return float((f(x + y) - total).norm() / total.norm()), float((f(2 * x) - 2 * f(x)).norm() / (2 * f(x)).norm())

    whole, frozen = errors(lambda t: attention(t, t)), errors(lambda t: attention(t, fixed))
    return {"additivity": whole[0], "homogeneity": whole[1], "additivity_frozen": frozen[0], "homogeneity_frozen": frozen[1]}


def one_token(layers: int, ffn: bool, trial: Trial) -> float:
    """Accuracy on the sign of a·b from one token that holds (a, b), without norms: attention to oneself is a linear map."""
    changes = {"encoder.blocks.layer.norm": {"kind": "none"}, "encoder.final_norm": {"kind": "none"}, "init": {"kind": "xavier"}}
    spec = small(8, "encoder", width=WIDTH, layers=layers, heads=2, context=1, changes=changes)
    assert spec.encoder is not None
    look = EmbeddingSpec(input=Patches(image=1, patch=1, channels=2, class_token=False), vocab=None)
    stack = spec.encoder.model_copy(update={"embedding": look})
    heads = {"sign": HeadSpec(task="classify", pool="first", output=2, bias=True)}
    model = without_ffn(ModelSpec.model_validate({**spec.model_dump(), "encoder": stack, "heads": heads}).build(trial.seed), ffn)
    generator = torch.Generator().manual_seed(trial.seed)

    def batch(n: int) -> tuple[Tokens, Tensor]:
        pair = 2 * torch.rand(n, 2, generator=generator) - 1
        return Tokens(signal=pair[:, :, None, None]), (pair.prod(1) > 0).long()

    def loss(_: int) -> Tensor:
        tokens, sign = batch(256)
        return F.cross_entropy(model(tokens), sign)

    train(model, loss, trial.steps(150, 600), lr=4e-3)
    with torch.no_grad():
        tokens, sign = batch(4096)
        return float((model(tokens).argmax(-1) == sign).float().mean())


def facts(layers: int, ffn: bool, trial: Trial) -> tuple[float, int]:
    """(share of 3600 random facts (a, b) → c that are known after training on them, parameters of the layers)."""
    generator = torch.Generator().manual_seed(trial.seed)
    answers = torch.randint(ANSWERS, (CELLS * CELLS,), generator=generator)
    changes = {"encoder.embedding.position": {"kind": "learned", "length": 2}}
    model = small(CELLS, "encoder", width=WIDTH, layers=layers, heads=2, context=2, output=ANSWERS, changes=changes).build(trial.seed)
    model = without_ffn(model, ffn)
    every = torch.cartesian_prod(torch.arange(CELLS), torch.arange(CELLS))

    def logits(rows: Tensor) -> Tensor:
        return model(Tokens(every[rows]))[:, 1]

    def loss(_: int) -> Tensor:
        rows = torch.randint(CELLS * CELLS, (400,), generator=generator)
        return F.cross_entropy(logits(rows), answers[rows])

    train(model, loss, trial.steps(400, 3000), lr=4e-3, warmup=20)
    with torch.no_grad():
        known = float((logits(torch.arange(CELLS * CELLS)).argmax(-1) == answers).float().mean())
    return known, sum(p.numel() for p in model.top.layers.parameters())  # type: ignore[attr-defined]


def measure(trial: Trial) -> Numbers:
    """trial.arm: (layers, with feed-forward?)."""
    layers, ffn = trial.arm
    known, parameters = facts(layers, ffn, trial)
    return {**linearity(trial.seed), "sign_accuracy": one_token(layers, ffn, trial), "facts_known": known, "layer_parameters": parameters}


def rule(table: Table) -> Ruling:
    alone, deep, full = ARMS
    free, frozen = table.mean(alone, "additivity"), float(table.values(alone, "additivity_frozen").max())
    sign = {arm: table.interval(arm, "sign_accuracy").mean for arm in ARMS}
    known = {arm: table.interval(arm, "facts_known") for arm in ARMS}
    numbers = (
        f"f(x + y) misses f(x) + f(y) by {free:.2f} of its size, and by {frozen:.0e} when the weights are frozen. The sign of a·b within one "
        f"token: {sign[alone]:.0%} by attention alone, {sign[full]:.0%} with the feed-forward network. Of 3600 facts {known[alone].mean:.0%} are "
        f"known by two layers of attention, {known[deep].mean:.0%} by six, {known[full].mean:.0%} with the network (as many parameters as the six)."
    )
    if free < 1e-6:
        return Ruling(Verdict.HOLDS if sign[full] > 0.9 else Verdict.CONDITION, numbers)
    if frozen > 1e-9 or sign[full] < 0.9 or free < 0.1:
        return Ruling(Verdict.OPEN, "A control failed: nothing is decided. " + numbers)
    if max(sign[alone], sign[deep]) < 0.75:
        return Ruling(Verdict.WRONG, "Attention is linear in its values only, and the network is needed all the same. " + numbers)
    return Ruling(Verdict.WRONG, "Attention is linear in its values only, and here the network was not needed. " + numbers)


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(columns=3)
    arm = "attention alone"
    names = {"additivity": "f(x+y)", "homogeneity": "f(2x)", "additivity_frozen": "f(x+y)\nfrozen", "homogeneity_frozen": "f(2x)\nfrozen"}
    for place, name in enumerate(names):
        values = table.values(arm, name).clip(1e-17)
        left.scatter([place] * len(values), values, s=26, color=style.colour(place // 2), zorder=3)
    left.set_xticks(range(len(names)), list(names.values()))
    left.set(yscale="log", ylabel="miss, share of the sum", title="Is it linear?", ylim=(1e-17, 10))
    short = {name: text for name, text in zip(ARMS, ("attention", "attention,\n6 layers", "with\nnetwork"), strict=True)}
    style.bars(middle, table, "sign_accuracy", short, format="{:.0%}")
    style.reference(middle, 0.5, "chance")
    middle.set(ylabel="accuracy", title="Sign of a·b in one token", ylim=(0, 1.15))
    style.bars(right, table, "facts_known", short, format="{:.0%}")
    right.set(ylabel="facts known", title="3600 facts", ylim=(0, 1.15))
    return fig


CLAIM = Claim(
    id="C11", title="Is self-attention linear, so that the feed-forward network must supply the non-linearity?", topic="feed-forward", kind="trained",
    statement="Self-attention is linear; the feed-forward network brings the non-linearity that complex relationships need.",
    notes=("003 §4", "002 Q10", "004:187", "004:196"),
    literature=(
        "Attention without feed-forward networks is confined to the convex hull of its values (Richter & Wattenhofer 2020, arXiv "
        "2005.09561) and loses rank with depth (Dong et al. 2021, arXiv 2103.03404). Feed-forward layers hold two thirds of the layers' "
        "parameters and work as memories (Geva et al. 2021, arXiv 2012.14913)."
    ),
    method=(
        "Exact: f(x + y) against f(x) + f(y) and f(2x) against 2·f(x), for attention and for attention with frozen weights. Trained, one "
        "axis, the layers: two of attention alone, six of attention alone (as many parameters), two with feed-forward. (i) one token "
        "(a, b), no norms: the sign of a·b; (ii) 60 × 60 random facts (a, b) → c at width 32, in 400 steps."
    ),
    decides=(
        "Wrong if attention misses additivity by more than a tenth, provided the controls work: frozen weights within 1e-9, and the network "
        "learns the sign of a·b (above 90 %). Holds if it is additive within 1e-6. Whether the network is needed is told beside it: "
        "attention alone below 75 % on the sign."
    ),
    expected=Verdict.WRONG,
    arms=ARMS, measure=measure, rule=rule, draw=draw,
    units={"additivity": "share of f(x) + f(y)", "homogeneity": "share of 2·f(x)"},
    limits=(
        "Layer norm is a non-linearity too: with norms, deep attention alone need not be a linear map of one token. The facts measure how "
        "fast they are learnt in few steps, not how many fit."
    ),
)  # fmt: skip
