"""C29: is attention's output a weighted average of the values?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from polyhead.nn import GroupedSpec
from polyhead.nn.attend import Lowered, attend
from polyhead.nn.heads import Grouped

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS, KEYS, WIDTH, HEAD = 10_000, 16, 32, 8
TASKS = ("copy", "mean", "max", "sum", "count")
SHORT, LONG, BATCH, STEPS = 16, 64, 64, 400


def weigh(arm: str, q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Softmax attention by the package's attend, or the same sum with the bare scores as weights. (B, 1, T, d)."""
    if arm == "softmax":
        return attend(q, k, v, Lowered("reference"), scale=q.shape[-1] ** -0.5, dropout=dropout)
    return q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 @ v / k.shape[-2]


def exact(arm: str, generator: torch.Generator) -> dict[str, float]:
    """DRAWS random queries, keys and values in fp64. Outside: shares of draws that leave the values' convex hull, judged in
    their 8 features and 64 random directions. The weights themselves are attend's answer to the unit vectors."""
    q = torch.randn(DRAWS, 1, 1, HEAD, generator=generator, dtype=torch.float64) * 2
    k, v = (torch.randn(DRAWS, 1, KEYS, HEAD, generator=generator, dtype=torch.float64) for _ in range(2))
    unit = torch.eye(KEYS, dtype=torch.float64).expand(DRAWS, 1, KEYS, KEYS)
    weights, out = weigh(arm, q, k, unit)[:, 0, 0], weigh(arm, q, k, v)[:, 0, 0]
    directions = torch.cat([torch.eye(HEAD), torch.randn(64, HEAD, generator=generator)]).double()
    seen, all_of = out @ directions.T, v[:, 0] @ directions.T
    outside = ((seen > all_of.amax(1) + 1e-12) | (seen < all_of.amin(1) - 1e-12)).any(1)
    level = weigh(arm, torch.zeros_like(q), k, v)[:, 0, 0]
    torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
    dropped = weigh(arm, q, k, unit, dropout=0.1)[:, 0, 0].sum(-1)
    return {
        "sum_error": float((weights.sum(-1) - 1).abs().max()), "least_weight": float(weights.min()),
        "outside": float(outside.double().mean()), "mean_error": float((level - v[:, 0].mean(1)).abs().max()),
        "dropout_sum": float(dropped.mean()), "dropout_sum_deviation": float(dropped.std()),
    }  # fmt: skip


class OneHead(nn.Module):
    """A learned query over n tokens of two numbers, one head, no feed-forward: (B, n, 2) → (B,)."""

    def __init__(self, arm: str) -> None:
        super().__init__()
        self.arm = arm
        self.read, self.ask, self.say = nn.Linear(2, WIDTH), nn.Parameter(torch.randn(1, 1, WIDTH)), nn.Linear(WIDTH, 1)
        self.heads: Grouped = GroupedSpec(heads=1).build(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.read(x)
        q, (k, v) = self.heads.query(self.ask.expand(len(x), 1, -1), lambda t: t), self.heads.entry(tokens, lambda t: t)
        return self.say(self.heads.output(weigh(self.arm, q, k, v)))[:, 0, 0]


def batch(task: str, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x (B, n, 2): a number in (−1, 1) and a flag that one token carries (in count: each with probability ½), and the answer."""
    x = torch.rand(BATCH, n, 2, generator=generator) * 2 - 1
    chosen = torch.randint(n, (BATCH, 1), generator=generator)
    x[..., 1] = (x[..., 1] > 0).float() if task == "count" else torch.zeros(BATCH, n).scatter(1, chosen, 1.0)
    values = x[..., 0]
    answers = {
        "copy": values.gather(1, chosen)[:, 0], "mean": values.mean(1), "max": values.amax(1),
        "sum": values.sum(1), "count": x[..., 1].sum(1),
    }  # fmt: skip
    return x, answers[task]


def learn(arm: str, task: str, trial: Trial) -> tuple[float, float]:
    """Root mean squared error over the answers' deviation, at the trained lengths and at four times the longest."""
    generator = torch.Generator().manual_seed(trial.seed)
    torch.manual_seed(trial.seed)
    model = OneHead(arm)

    def loss(step: int) -> Tensor:
        x, answer = batch(task, int(torch.randint(4, SHORT + 1, (), generator=generator)), generator)
        return (model(x) - answer).square().mean()

    train(model, loss, trial.steps(STEPS, 2 * STEPS), lr=5e-3, decay=cosine, weight_decay=0.0)
    errors = []
    for n in (SHORT, LONG):
        x, answer = batch(task, n, generator)
        with torch.no_grad():
            errors.append(float((model(x) - answer).square().mean().sqrt() / answer.std()))
    return errors[0], errors[1]


def measure(trial: Trial) -> Numbers:
    numbers: dict[str, float] = exact(trial.arm, torch.Generator().manual_seed(trial.seed))
    for task in TASKS:
        numbers[f"{task}_trained"], numbers[f"{task}_longer"] = learn(trial.arm, task, trial)
    return numbers


def rule(table: Table) -> Ruling:
    soft = {name: table.mean("softmax", name) for name in ("sum_error", "least_weight", "outside", "mean_error")}
    words = (
        f"In {len(table.seeds)} × {DRAWS} draws the weights sum to 1 within {soft['sum_error']:.0e}, {soft['outside']:.0%} of outputs leave the values' hull, and equal "
        f"scores give the mean within {soft['mean_error']:.0e}. So one head cannot sum or count: at 4× the length its error is "
        f"{table.interval('softmax', 'sum_longer')} and {table.interval('softmax', 'count_longer')} deviations, against "
        f"{table.interval('softmax', 'mean_longer')} for the mean. Dropout breaks the sum: {table.mean('softmax', 'dropout_sum'):.3f} "
        f"± {table.mean('softmax', 'dropout_sum_deviation'):.2f}."
    )
    if table.mean("no softmax", "outside") < 0.1:
        return Ruling(Verdict.OPEN, "The test of the hull does not see weights that are no average. " + words)
    average = soft["sum_error"] < 1e-9 and soft["least_weight"] >= 0 and soft["outside"] == 0
    if average and soft["mean_error"] < 1e-9:
        return Ruling(Verdict.HOLDS, words)
    return Ruling(Verdict.CONDITION if average else Verdict.WRONG, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    generator = torch.Generator().manual_seed(4)
    v = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    k = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    q = torch.randn(300, 2, generator=generator, dtype=torch.float64) * 3
    for index, arm in enumerate(("softmax", "no softmax")):
        points = weigh(arm, q[None, None], k[None, None], v[None, None])[0, 0]
        axes[0].scatter(points[:, 0], points[:, 1], s=7, color=style.colour(index), label=f"outputs, {arm}", alpha=0.7)
    axes[0].scatter(v[:, 0], v[:, 1], s=60, marker="X", color=style.INK(), label="values", zorder=3)
    around = v - v.mean(0)
    hull = [i for i in range(7) if _corner(v, i)]
    hull = sorted(hull, key=lambda i: float(torch.atan2(around[i, 1], around[i, 0])))
    axes[0].fill(v[hull, 0], v[hull, 1], facecolor="none", edgecolor=style.MUTED(), linestyle="--")
    axes[0].set_xlabel("first feature")
    axes[0].set_ylabel("second feature")
    style.legend(axes[0], loc="best", fontsize=8)
    place = range(len(TASKS))
    for index, (name, label) in enumerate({"trained": "at the trained length", "longer": "4× longer"}.items()):
        values = [table.values("softmax", f"{task}_{name}") for task in TASKS]
        at = [p + (index - 0.5) * 0.36 for p in place]
        axes[1].bar(at, [x.mean() for x in values], 0.34, color=style.colour(index), alpha=0.75, label=label)
        for where, x in zip(at, values, strict=True):
            axes[1].scatter([where] * len(x), x, s=10, color=style.BACK(), edgecolors=style.INK(), linewidths=0.8, zorder=3)
    axes[1].set_yscale("log")
    axes[1].set_xticks(place, TASKS)
    axes[1].set_ylabel("error (deviations of the answer)")
    axes[1].set_title("One head without feed-forward")
    style.reference(axes[1], 1.0)
    axes[1].set_xlabel("dashed: an answer that is always the mean")
    style.legend(axes[1], loc="upper left", fontsize=8)
    return fig


def _corner(v: Tensor, i: int) -> bool:
    """Whether some direction in the plane has point i furthest out."""
    turn = torch.linspace(0, 6.2832, 3601, dtype=torch.float64)
    return bool(((v @ torch.stack([turn.cos(), turn.sin()])).argmax(0) == i).any())


CLAIM = Claim(
    id="C29",
    title="Is attention's output a weighted average of the values?",
    topic="attention",
    kind="exact",
    statement="Attention's output is a weighted average of values; the weights sum to 1; equal scores give the plain mean.",
    notes=("000 §3", "004:92"),
    literature="Vaswani et al. 2017 (arXiv 1706.03762) §3.2: \"a weighted sum of the values\". Softmax weights are positive and sum to 1, so a head's output "
    "lies in the convex hull of its values; Weiss et al. 2021 (RASP, arXiv 2106.06981) build counting from the average of a marked first token.",
    method="10 000 random queries, 16 keys and values, through the package's attention in fp64: the sum of weights, the hull, equal scores; the same with "
    "scores that no softmax has touched as a control. Then one head without feed-forward learns to copy, average, take the maximum, sum and count over "
    "4 to 16 tokens, and is tested at 16 and at 64.",
    decides="Holds if weights are ≥ 0 and sum to 1 within 1e-9, no output leaves the hull and equal scores give the mean within 1e-9; with a condition "
    "if only the last fails; else wrong. Not decided if the control leaves the hull in fewer than 10% of draws.",
    expected=Verdict.HOLDS,
    arms={"softmax": "softmax", "no softmax": "raw"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={f"{task}_{where}": "deviations of the answer" for task in TASKS for where in ("trained", "longer")},
    limits="Under dropout, and for a row that may look at nothing, the weights do not sum to 1; heads with sinks keep a part for themselves.",
)
