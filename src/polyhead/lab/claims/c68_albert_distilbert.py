"""C68: what shared layers and distillation save, counted on the published models, and what they cost, on toys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.families import preset
from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import VOCAB, corpus, windows
from ..language import held_loss, learn
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = {"bert-base": 109_482_240, "distilbert-base": 66_362_880, "albert-base-v2": 11_683_584}
WIDTH, LENGTH, BATCH, WARM = 48, 48, 16, 2.0  # WARM: temperature of the teacher's and the student's probabilities


class Toy(NamedTuple):
    layers: int
    shared: bool = False
    taught: bool = False


ARMS = {"4 layers": Toy(4), "4 layers, shared": Toy(4, shared=True), "2 layers": Toy(2), "2 layers, distilled": Toy(2, taught=True)}


def build(toy: Toy, seed: int) -> Transformer:
    changes: dict[str, Any] = {"decoder.embedding.position": {"kind": "learned", "length": LENGTH}}
    if toy.shared:
        changes["decoder.sharing"] = {"kind": "groups", "groups": 1}
    return small(VOCAB, width=WIDTH, layers=toy.layers, context=LENGTH, changes=changes).build(seed)


def distil(student: Transformer, teacher: Transformer, steps: int, seed: int) -> None:
    """Half the usual loss, half the divergence from the teacher's probabilities, both warmed (Hinton et al. 2015, §2)."""
    generator = torch.Generator().manual_seed(seed)

    def loss(_: int) -> Tensor:
        rows = windows(corpus().train, BATCH, LENGTH + 1, generator)
        with torch.no_grad():
            wanted = (teacher(Tokens(rows[:, :-1])) / WARM).log_softmax(-1)
        logits = student(Tokens(rows[:, :-1]))
        soft = F.kl_div((logits / WARM).log_softmax(-1).flatten(0, 1), wanted.flatten(0, 1), reduction="batchmean", log_target=True)
        return 0.5 * F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()) + 0.5 * WARM**2 * soft

    train(student, loss, steps, lr=4e-3, warmup=steps // 20, decay=cosine)


def measure(trial: Trial) -> Numbers:
    toy: Toy = trial.arm
    model, steps = build(toy, trial.seed), trial.steps(180, 1500)
    if toy.taught:
        teacher = build(ARMS["4 layers"], trial.seed + 1000)
        learn(teacher, trial.steps(360, 3000), trial.seed + 1000, batch=BATCH, length=LENGTH)
        distil(model, teacher.requires_grad_(False), steps, trial.seed)
    else:
        learn(model, steps, trial.seed, batch=BATCH, length=LENGTH)
    spec = model.spec
    return {
        "loss": held_loss(model, LENGTH), "unigram": corpus().unigram, "parameters": sum(p.numel() for p in model.parameters()),
        "flops": spec.flops(LENGTH).total / LENGTH, **counts(),
    }  # fmt: skip


def counts() -> Numbers:
    """Of the published encoders, built without storage: parameters less the published ones, all together; sizes and work of 128
    tokens as parts of BERT's."""
    found, work = {}, {}
    for name in PUBLISHED:
        spec = preset(name)
        with torch.device("meta"):
            found[name] = sum(p.numel() for p in Transformer(spec).parameters())
        work[name] = spec.flops(128).parts
    bert = {part: n for part, n in work["bert-base"].items() if part.startswith("encoder.")}
    layers = {name: sum(n for part, n in parts.items() if part in bert) for name, parts in work.items()}
    numbers: dict[str, float] = {"off": sum(abs(found[name] - PUBLISHED[name]) for name in PUBLISHED)}
    for name, short in (("distilbert-base", "DistilBERT"), ("albert-base-v2", "ALBERT")):
        numbers |= {f"{short} size": found[name] / found["bert-base"], f"{short} work": layers[name] / layers["bert-base"]}
    return numbers


def rule(table: Table) -> Ruling:
    full, shared, short, taught = table.arms
    costs, gains = table.gap(full, shared, "loss"), table.gap(taught, short, "loss")
    size = {name: table.mean(full, name) for name in ("DistilBERT size", "DistilBERT work", "ALBERT size", "ALBERT work")}
    told = (
        f"DistilBERT has {size['DistilBERT size']:.1%} of BERT-base's parameters and {size['DistilBERT work']:.0%} of its work, ALBERT-base {size['ALBERT size']:.1%} and {size['ALBERT work']:.0%}. Toys: sharing four layers costs {costs.mean:+.3f} nats "
        f"({costs.low:+.3f} to {costs.high:+.3f}); of {table.mean(short, 'loss'):.3f} nats with two layers distillation takes off {gains.mean:.3f} ({gains.low:+.3f} to {gains.high:+.3f})."
    )
    if table.mean(full, "off") > 0:
        return Ruling(Verdict.WRONG, f"The models have not the published number of parameters. {told}")
    if table.mean(full, "loss") > table.mean(full, "unigram") - 0.3:
        return Ruling(Verdict.OPEN, f"Too little is learnt to tell. {told}")
    if costs.low > 0 and gains.low > 0:
        return Ruling(Verdict.HOLDS, told)
    return Ruling(Verdict.CONDITION if gains.high < 0 or costs.high < 0 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(2, width=10.4)
    first, places = next(iter(table.arms)), range(3)
    for shift, (part, label) in enumerate((("size", "parameters"), ("work", "work for 128 tokens"))):
        shares = [1.0, table.mean(first, f"DistilBERT {part}"), table.mean(first, f"ALBERT {part}")]
        at = [place + 0.4 * shift - 0.2 for place in places]
        left.bar(at, shares, 0.36, color=style.colour(4 + shift), alpha=0.75, label=label)
        for x, share in zip(at, shares, strict=True):
            left.annotate(f"{share:.1%}", (x, share), (0, 3), textcoords="offset points", ha="center", fontsize=8.5, color=style.INK())
    left.set_xticks(places, ["BERT-base", "DistilBERT", "ALBERT-base"])
    left.grid(axis="x", visible=False)
    left.set(ylabel="part of BERT-base's", ylim=(0, 1.4), yticks=[0, 0.25, 0.5, 0.75, 1])
    style.legend(left, loc="upper center", ncols=2)
    spread = 0.03
    for index, arm in enumerate(table.arms):
        sizes = table.values(arm, "parameters") / 1000
        right.scatter(sizes, table.values(arm, "loss"), color=style.colour(index), s=22, alpha=0.6)
        right.scatter(sizes[:1], [table.mean(arm, "loss")], color=style.colour(index), s=80, marker="_", linewidths=2.5, label=f"{arm} ({table.mean(arm, 'flops') / 1000:.0f} kFLOPs)")
    losses = [table.values(arm, "loss") for arm in table.arms]
    low, high = min(v.min() for v in losses), max(v.max() for v in losses)
    right.set(xlabel="parameters (thousands)", ylabel="held-out loss (nats per character)", ylim=(low - spread, high + spread + 0.45 * (high - low)), title="Toys: a dot a seed")
    style.legend(right, fontsize=8, loc="upper center", ncols=2)
    return fig


CLAIM = Claim(
    id="C68",
    title="What do ALBERT's sharing and DistilBERT's teacher save, and what do they cost?",
    topic="families",
    kind="trained",
    statement="ALBERT shares its layers and factorises its table to be small; DistilBERT learns from BERT and is smaller at little loss.",
    notes=("004:330", "004:331"),
    literature=(
        "ALBERT: Lan et al. 2020 (arXiv 1909.11942); DistilBERT: Sanh et al. 2019 (arXiv 1910.01108), which reports 40 % fewer parameters, 97 % of BERT's score and 60 % more speed; distillation: Hinton et al. 2015 (arXiv 1503.02531)."
    ),
    method=(
        f"Counted: parameters of the three published encoders, built without storage, against the published numbers, and their work for 128 tokens. Toys: causal character models (width {WIDTH}), trained for as many steps: four layers, four that share "
        "their weights, two layers, and two that learn half from text and half from the probabilities of a teacher of four layers that trained twice as long."
    ),
    decides=(
        "Wrong if a published number of parameters is not met. Holds if, besides, sharing costs loss and distillation gains some (both whole intervals); with a condition if sharing gains or distillation costs. Not decided in between, or if the "
        "four layers learn less than 0.3 nats over character frequencies."
    ),
    expected=Verdict.HOLDS,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={
        "loss": "nats per character", "unigram": "nats per character", "flops": "per token", "off": "parameters", "DistilBERT size": "of BERT-base's", "ALBERT size": "of BERT-base's",
        "DistilBERT work": "of BERT-base's", "ALBERT work": "of BERT-base's",
    },
    corpus=True,
    limits="How well the published models do on their tasks is quoted, not measured; toys show the direction alone. A teacher's training is not counted in the student's steps.",
)  # fmt: skip
