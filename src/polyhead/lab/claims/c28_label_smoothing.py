"""C28: which target label smoothing asks for, and what it does to confidence, accuracy and loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.lab.training import train
from polyhead.nn import Tokens
from polyhead.train.loss import cross_entropy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES, VOCAB, LENGTH, NOISE = 10, 40, 12, 0.2
EXAMPLES, HELD, BATCH = 600, 4000, 64
BINS = 10


def target(smoothing: float, classes: int) -> list[float]:
    """The distribution that the package's loss asks for, read off its gradient: ∂loss/∂logits = softmax − target."""
    logits = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
    answer = torch.tensor([classes // 2])
    (gradient,) = torch.autograd.grad(cross_entropy(logits, answer, torch.ones(1), smoothing), logits)
    return (logits.softmax(-1) - gradient)[0].tolist()


def texts(n: int, seed: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(ids (n, LENGTH), classes (n,)): words drawn by the class' own frequencies; a fifth of the labels are drawn anew."""
    chances = (1.2 * torch.randn(CLASSES, VOCAB, generator=torch.Generator().manual_seed(seed))).softmax(-1)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    ids = torch.multinomial(chances[labels], LENGTH, replacement=True, generator=generator)
    wrong = torch.rand(n, generator=generator) < NOISE
    return ids, torch.where(wrong, torch.randint(CLASSES, (n,), generator=generator), labels)


def measure(trial: Trial) -> Numbers:
    """trial.arm: ε."""
    generator = torch.Generator().manual_seed(trial.seed)
    ids, labels = texts(EXAMPLES, trial.seed, generator)
    held, wanted = texts(HELD, trial.seed, generator)
    heads = {"heads": {"lm": {"task": "classify", "pool": "mean", "output": CLASSES, "bias": True}}}
    model = small(VOCAB, "encoder", width=48, layers=1, context=LENGTH, output=CLASSES, changes=heads).build(trial.seed)

    def loss(_: int) -> Tensor:
        rows = torch.randint(EXAMPLES, (BATCH,), generator=generator)
        return F.cross_entropy(model(Tokens(ids[rows])), labels[rows], label_smoothing=trial.arm)

    train(model, loss, trial.steps(500, 1500), lr=2e-3)
    with torch.no_grad():
        seen, logits = model(Tokens(ids)), model(Tokens(held))
    confidence, guess = logits.softmax(-1).max(-1)
    return {
        **reliability(confidence, guess == wanted),
        "accuracy": float((guess == wanted).float().mean()),
        "confidence": float(confidence.mean()),
        "held_loss": float(F.cross_entropy(logits, wanted)),
        "logit_gap": logit_gap(seen, labels),
        "target": target(trial.arm, 3),
    }


def logit_gap(logits: Tensor, labels: Tensor) -> float:
    """Mean over the training texts of the label's logit less the mean of the others."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return float((own - (logits.sum(1) - own) / (CLASSES - 1)).mean())


def reliability(confidence: Tensor, right: Tensor) -> dict[str, list[float] | float]:
    """Accuracy and share of the texts by tenth of confidence, and the expected calibration error (Guo et al. 2017, eq. 5)."""
    where = (confidence * BINS).long().clamp(max=BINS - 1)
    count = torch.bincount(where, minlength=BINS).double()
    accuracy = torch.bincount(where, right.double(), minlength=BINS) / count.clamp(min=1)
    sure = torch.bincount(where, confidence.double(), minlength=BINS) / count.clamp(min=1)
    share = count / count.sum()
    return {
        "ece": float((share * (accuracy - sure).abs()).sum()),
        "bin_accuracy": accuracy.tolist(),
        "bin_confidence": sure.tolist(),
        "bin_share": share.tolist(),
    }


def rule(table: Table) -> Ruling:
    said, none = "ε = 0.1", "ε = 0"
    middle = float(table.curve(said, "target")[1])
    sure = {arm: table.mean(arm, "confidence") for arm in table.arms}
    accuracy = {arm: table.mean(arm, "accuracy") for arm in table.arms}
    error = table.gap(said, none, "ece")
    numbers = (
        f"At ε = 0.1 the target of three classes is [{', '.join(f'{x:.3f}' for x in table.curve(said, 'target'))}]; [0.1, 0.8, 0.1] is ε = 0.3. "
        f"From ε = 0 to 0.1 the calibration error falls by {error}, mean confidence from {sure[none]:.2f} to {sure[said]:.2f}, accuracy "
        f"from {accuracy[none]:.3f} to {accuracy[said]:.3f}."
    )
    if float(table.curve(none, "target")[1]) != 1.0 or middle == 1.0:
        return Ruling(Verdict.OPEN, "The arms did not differ in their targets. " + numbers)
    if abs(middle - 0.8) > 0.01:
        effect = "the effect is real" if error.low > 0 else "the effect was not seen"
        return Ruling(Verdict.WRONG, f"The number is wrong; {effect}. " + numbers)
    return Ruling(Verdict.HOLDS if error.low > 0 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(columns=3)
    for index, arm in enumerate(table.arms):
        share = table.curve(arm, "bin_share")
        weight = table.values(arm, "bin_share")
        where = share > 0.01
        mean = [(table.values(arm, name) * weight).sum(0)[where] / weight.sum(0)[where] for name in ("bin_confidence", "bin_accuracy")]
        left.plot(*mean, marker="o", color=style.colour(index), label=arm)
    left.plot([0, 1], [0, 1], color=style.MUTED(), linestyle="--", linewidth=1.2)
    left.set(xlabel="confidence", ylabel="accuracy", title="Calibration", xlim=(0.1, 1), ylim=(0.1, 1))
    style.legend(left)
    style.groups(middle, table, {"ece": "calibration\nerror", "confidence": "confidence", "accuracy": "accuracy"}, format=None)
    middle.set(title="Held-out texts", ylabel="share")
    wide = 0.26
    for index, arm in enumerate(table.arms):
        places = [place + (index - 1) * wide for place in range(3)]
        right.bar(places, table.curve(arm, "target"), 0.9 * wide, color=style.colour(index), alpha=0.75)
    right.set_xticks(range(3), ["other", "right", "other"])
    right.set(ylabel="target probability", title="What is asked for")
    style.reference(right, 0.8, "“0.8”")
    return fig


CLAIM = Claim(
    id="C28", title="What does label smoothing do, and with which numbers?", topic="training", kind="trained",
    statement="The original paper's label smoothing replaces the target [0, 1, 0] by [0.1, 0.8, 0.1] and keeps the model from over-confidence.",
    notes=("002 Q16", "000 §5"),
    literature=(
        "Szegedy et al. 2016 (arXiv 1512.00567) §7 mix the target with ε/K for each of K classes. Vaswani et al. 2017 (arXiv 1706.03762) §5.4 "
        "take ε = 0.1, which “hurts perplexity … but improves accuracy and BLEU” (table 3: 25.3 BLEU at ε = 0, 25.8 at 0.1). It hurts "
        "distillation (Müller et al. 2019, arXiv 1906.02629)."
    ),
    method=(
        "The target is read off the gradient of the package's own loss. Trained, one axis, ε: an encoder of one layer on 600 texts of 10 "
        "classes, a fifth of whose labels are drawn at random, until it over-fits; accuracy, confidence, expected calibration error and loss "
        "on 4000 others."
    ),
    decides=(
        "Wrong if at ε = 0.1 and three classes the middle target is farther than 0.01 from 0.8. Else it holds if the calibration error at "
        "ε = 0.1 is below that at ε = 0 with an interval that leaves out 0; with a condition if not."
    ),
    expected=Verdict.WRONG,
    arms={"ε = 0": 0.0, "ε = 0.1": 0.1, "ε = 0.3": 0.3},
    measure=measure, rule=rule, draw=draw,
    units={"held_loss": "nats", "logit_gap": "nats"},
    limits="Confidence is compared on noisy labels, the case that smoothing is said to be for; accuracy may rise or fall with the data.",
)  # fmt: skip
