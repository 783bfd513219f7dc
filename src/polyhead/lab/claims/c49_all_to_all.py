"""C49: attention beside mixing that does not look at what the tokens hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.baselines.mixers import StaticMixing, mix
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.lab.training import cosine, train
from polyhead.nn import Tokens, Transformer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEYS, VALUES, WIDTH, LETTERS, ORDER = 8, 8, 32, 8, 2
LENGTH = 2 * KEYS  # all keys, in any order, each with a value in one token, and all keys again in any other
VOCAB = KEYS * VALUES + KEYS
ARMS: dict[str, Any] = {"attention": None, "learned weights per place": StaticMixing}
LOCAL = "decoder.embedding.position"


def build(kind: Any, seed: int) -> Transformer:
    """A decoder of two layers with learned positions; kind: what stands in attention's place."""
    changes = {LOCAL: {"kind": "learned", "length": LENGTH}}
    model = small(VOCAB, width=WIDTH, layers=2, heads=4, context=LENGTH, changes=changes).build(seed)
    return model if kind is None else mix(model, kind, LENGTH, seed)


def recall(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(ids (n, LENGTH), answers (n, KEYS)): tokens of a key and its value, then keys whose values are asked for."""
    order, asked = (torch.rand(n, KEYS, generator=generator).argsort(-1) for _ in range(2))
    values = torch.randint(VALUES, (n, KEYS), generator=generator)  # by key
    return torch.cat([order * VALUES + values.gather(1, order), KEYS * VALUES + asked], 1), values.gather(1, asked)


def language(seed: int) -> Tensor:
    """(LETTERS, LETTERS, LETTERS): chances of the next letter after two, each of which has its say; the same for all arms of a seed."""
    before, last = 1.5 * torch.randn(ORDER, LETTERS, LETTERS, generator=torch.Generator().manual_seed(1000 + seed))
    return (before[:, None] + last).softmax(-1)


def text(n: int, chances: Tensor, generator: torch.Generator) -> Tensor:
    """(n, LENGTH) letters."""
    out = torch.randint(LETTERS, (n, LENGTH), generator=generator)
    for t in range(ORDER, LENGTH):
        out[:, t] = torch.multinomial(chances[out[:, t - 2], out[:, t - 1]], 1, generator=generator)[:, 0]
    return out


def entropy(ids: Tensor, chances: Tensor) -> float:
    """Mean −ln of the true chances of the letters after the first two."""
    rows = chances[ids[:, :-2], ids[:, 1:-1]].gather(-1, ids[:, 2:, None])
    return float(-rows.log().mean())


def measure(trial: Trial) -> Numbers:
    """trial.arm: what mixes tokens."""
    generator, chances = torch.Generator().manual_seed(trial.seed), language(trial.seed)
    reader, writer = build(trial.arm, trial.seed), build(trial.arm, trial.seed)

    def remember(_: int) -> Tensor:
        ids, answers = recall(48, generator)
        return F.cross_entropy(reader(Tokens(ids))[:, KEYS:, :VALUES].flatten(0, 1), answers.flatten())

    def write(_: int) -> Tensor:
        ids = text(32, chances, generator)
        return F.cross_entropy(writer(Tokens(ids[:, :-1]))[:, 1:].flatten(0, 1), ids[:, 2:].flatten())

    train(reader, remember, trial.steps(260, 2000), lr=6e-3, warmup=20, decay=cosine)
    train(writer, write, trial.steps(400, 1500), lr=6e-3, warmup=20, decay=cosine)
    with torch.no_grad():
        ids, answers = recall(1000, generator)
        right = float((reader(Tokens(ids))[:, KEYS:, :VALUES].argmax(-1) == answers).float().mean())
        ids = text(500, chances, generator)
        loss = float(F.cross_entropy(writer(Tokens(ids[:, :-1]))[:, 1:].flatten(0, 1), ids[:, 2:].flatten()))
    best = entropy(ids, chances)
    return {
        "right": right, "loss": loss, "entropy": best, "excess": loss / best - 1,
        "parameters": sum(p.numel() for p in reader.top.layers[0].attention.parameters() if p.requires_grad),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    attention, static = ARMS
    right, other = table.interval(attention, "right"), table.interval(static, "right")
    near, far = table.interval(attention, "excess"), table.interval(static, "excess")
    dense = LENGTH**2 * WIDTH**2
    numbers = (
        f"One of {KEYS} values asked for by its key: attention is right {right.mean:.0%} of the time, learned weights per place {other.mean:.0%} "
        f"(chance {1 / VALUES:.0%}). Text whose letters depend on the two before: {near.mean:.1%} and {far.mean:.1%} above its entropy. A layer's mixing has {table.mean(attention, 'parameters'):,.0f} parameters with attention, "
        f"{table.mean(static, 'parameters'):,.0f} per place; one dense map of all numbers to all would have {dense:,}."
    )
    if right.low < 0.9:
        return Ruling(Verdict.OPEN, f"Attention did not learn to recall. {numbers}")
    if other.low > 0.9:
        return Ruling(Verdict.WRONG, numbers)
    if other.high > 0.5:
        return Ruling(Verdict.OPEN, numbers)
    return Ruling(Verdict.CONDITION if far.high < 0.15 else Verdict.HOLDS if far.low > 0.15 else Verdict.OPEN, numbers)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(columns=2)
    names = {"attention": "attention", "learned weights per place": "learned weights\nper place"}
    style.bars(left, table, "right", names, format="{:.2f}")
    style.reference(left, 1 / VALUES, "chance")
    left.set(ylabel="values told right", title="What belongs to this key?", ylim=(0, 1.15))
    style.bars(right, table, "excess", names, format="{:.1%}")
    style.reference(right, 0.15, "the rule's 15 %")
    right.set(ylabel="(loss − entropy) / entropy", title="Text of order two", ylim=(0, 0.18))
    return fig


CLAIM = Claim(
    id="C49", title="Is attention better than naive all-to-all mixing?", topic="attention", kind="trained",
    statement="Naive all-to-all interaction is expensive and unstructured; attention is structured, content-dependent and efficient.",
    notes=("000 §12",),
    literature=(
        "Tay et al. 2020 (arXiv 2005.00743, Synthesizer): learned weights per place come near attention on some tasks. Tolstikhin et al. 2021 (arXiv "
        "2105.01601, MLP-Mixer) and Lee-Thorp et al. 2021 (arXiv 2105.03824, FNet) mix without looking at content."
    ),
    method=(
        "One axis, what mixes the tokens of a decoder of two layers: attention, or learned weights for each pair of places (softmax over what came "
        f"before). Two tasks of {LENGTH} tokens: {KEYS} keys in any order, each with a value, then the keys again; and text drawn from a table of chances of the "
        "next letter after two."
    ),
    decides=(
        "Decided only if attention recalls at least 90 %. Wrong if learned weights per place recall more than 90 % too; not decided if they recall more than half. "
        "Else it holds with a condition if their loss on the text is within 15 % of its entropy, and holds if it is not (intervals)."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS, measure=measure, rule=rule, draw=draw,
    units={"right": "accuracy", "loss": "nats", "excess": "of the entropy", "parameters": "parameters"},
    limits=(
        "Rows of one length: weights per place exist for no longer row, and a dense map for no other. Which values a row has can be known without "
        "looking up: guessing the most common one is right about a third of the time. Text of order two is a stand-in for local structure. Both tasks "
        "were made easier after a first look in which attention had not learned them."
    ),
)  # fmt: skip
