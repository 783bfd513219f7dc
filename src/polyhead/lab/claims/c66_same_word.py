"""C66: one word in two senses, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.lab.training import train
from polyhead.nn import At, Tokens, Transformer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HINTS, AFTER, FILLERS = 8, 8, 16  # words of each sense before the word, and behind it; words of neither
BANK = 2 * (HINTS + AFTER) + FILLERS
VOCAB, BEFORE, BEHIND, LAYERS = BANK + 1, 6, 2, 3
ARMS: dict[str, dict[str, Any]] = {"attention": {"kind": "causal"}, "attention to itself alone": {"kind": "window", "back": 0}}


def sentences(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(ids (n, 9), sense (n,)): six words of which one hints at the sense, "bank", and two words that follow from it."""
    sense = torch.randint(2, (n,), generator=generator)
    filler = torch.randint(FILLERS, (n, BEFORE), generator=generator) + 2 * (HINTS + AFTER)
    hint = torch.randint(HINTS, (n, 1), generator=generator) + sense[:, None] * HINTS
    where = torch.randint(BEFORE, (n, 1), generator=generator)
    before = filler.scatter(1, where, hint)
    behind = torch.randint(AFTER, (n, BEHIND), generator=generator) + 2 * HINTS + sense[:, None] * AFTER
    return torch.cat([before, torch.full((n, 1), BANK), behind], 1), sense


def states(model: Transformer, ids: Tensor) -> list[Tensor]:
    """(n, D) of the word itself: the embedding, then after each layer."""
    stack, found = model.top, []
    found.append(stack.embed(Tokens(ids), At.of(Tokens(ids)), None)[:, BEFORE])
    hooks = [layer.register_forward_hook(lambda _, __, out: found.append(out[0][:, BEFORE])) for layer in stack.layers]
    model(Tokens(ids))
    for hook in hooks:
        hook.remove()
    return found


def probe(x: Tensor, sense: Tensor) -> float:
    """Accuracy on the second half of a linear map that least squares fitted to the first, centred (ridge 1e-3)."""
    half, sign = len(x) // 2, 2.0 * sense - 1
    x = x - x[:half].mean(0)
    scale = x[:half].square().mean().clamp(min=1e-12)
    moments = x[:half].T @ x[:half] + 1e-3 * half * scale * torch.eye(x.shape[1])
    guess = x[half:] @ torch.linalg.solve(moments, x[:half].T @ (sign[:half] - sign[:half].mean())) + sign[:half].mean()
    return float(((guess > 0) == (sign[half:] > 0)).float().mean())


def measure(trial: Trial) -> Numbers:
    """trial.arm: the pattern of attention."""
    generator = torch.Generator().manual_seed(trial.seed)
    model = small(VOCAB, width=48, layers=LAYERS, context=9, changes={"decoder.blocks.layer.attention.pattern": trial.arm}).build(trial.seed)

    def loss(_: int) -> Tensor:
        ids, _sense = sentences(48, generator)
        return F.cross_entropy(model(Tokens(ids[:, :-1]))[:, BEFORE:].flatten(0, 1), ids[:, BEFORE + 1 :].flatten())

    train(model, loss, trial.steps(160, 800), lr=2e-3)
    with torch.no_grad():
        ids, sense = sentences(2000, generator)
        found = states(model, ids)
        cosines = []
        for x in found:
            unit = F.normalize(x, dim=-1)
            river, money = unit[sense == 0], unit[sense == 1]
            cosines.append(float((river[:500] * money[:500]).sum(-1).mean()))
        ahead = model(Tokens(ids))[:, BEFORE].softmax(-1)
    own = torch.stack([ahead[:, 2 * HINTS + s * AFTER :][:, :AFTER].sum(-1) for s in range(2)], 1)
    return {
        "cosine": cosines,
        "probe": [probe(x, sense) for x in found],
        "right_sense_ahead": float(own.gather(1, sense[:, None]).mean()),
    }


def rule(table: Table) -> Ruling:
    full, alone = ARMS
    cosine, other = table.curve(full, "cosine"), table.curve(alone, "cosine")
    seen, blind = table.curve(full, "probe"), table.curve(alone, "probe")
    numbers = (
        f"The word's vectors in two senses have a cosine of {cosine[0]:.3f} at the embedding and {cosine[-1]:.2f} at the top; a linear probe "
        f"tells the senses by {seen[0]:.0%} and {seen[-1]:.0%}. With attention to itself alone: {other[-1]:.3f} and {blind[-1]:.0%}."
    )
    if abs(cosine[0] - 1) > 1e-3 or abs(other[-1] - 1) > 1e-3 or blind[-1] > 0.6:
        return Ruling(Verdict.OPEN, "The word differs where it cannot: a control failed. " + numbers)
    if cosine[-1] > 0.999:
        return Ruling(Verdict.WRONG, numbers)
    return Ruling(Verdict.HOLDS if cosine[-1] < 0.9 and seen[-1] > 0.95 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(columns=2)
    places = range(LAYERS + 1)
    for ax, name, label in ((left, "cosine", "cosine of the two senses"), (right, "probe", "senses told apart by a linear probe")):
        style.lines(ax, table, name, list(places))
        ax.set_xticks(places, ["embedding", *(f"layer {i}" for i in places[1:])])
        ax.set_ylabel(label)
    style.reference(right, 0.5, "chance")
    style.legend(left)
    left.set_title("The same word, two vectors")
    right.set_title("What they tell")
    return fig


CLAIM = Claim(
    id="C66", title="Does the same word become different vectors in different sentences?", topic="attention", kind="trained",
    statement="Attention weights change with the context, so that the same word behaves differently in different sentences.",
    notes=("004:100", "003 §1"),
    literature=(
        "Peters et al. 2018 (arXiv 1802.05365) read senses off contextual vectors; Ethayarajh 2019 (arXiv 1909.00512) found vectors of one word "
        "to differ more from layer to layer."
    ),
    method=(
        "Made-up sentences: six words of which one, anywhere, hints at one of two senses, then an ambiguous word, then two words of its sense. "
        "A causal decoder of three layers learns to go on; its attention sees all before, or each token itself alone. Cosine between the "
        "word's vectors in the two senses, and a linear probe, by layer."
    ),
    decides=(
        "Decided only if the embedding's cosine is 1 (within 0.001) and, without a view of others, the top's too, with a probe of at most 60 %. "
        "Wrong if the cosine at the top stays above 0.999; holds if it is below 0.9 and the probe above 95 %; else with a condition."
    ),
    expected=Verdict.HOLDS,
    arms=ARMS, measure=measure, rule=rule, draw=draw,
    units={"cosine": "cosine", "probe": "accuracy"},
    limits="Two clean senses in made-up text; how finely a language model parts the senses of real words is another question.",
)  # fmt: skip
