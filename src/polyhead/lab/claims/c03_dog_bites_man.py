"""C03: without positions, is "dog bites man" the same to a model as "man bites dog"?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import Shape, small
from ..table import Numbers, Table
from ..training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOUNS, VERBS, FILLERS, LENGTH, LAYERS = 16, 6, 8, 8, 2
VOCAB = NOUNS + VERBS + FILLERS
ARMS: dict[str, tuple[Shape, str]] = {
    "encoder, none": ("encoder", "none"),
    "decoder, none": ("decoder", "none"),
    "encoder, sinusoidal": ("encoder", "sinusoidal"),
    "encoder, rotary": ("encoder", "rotary"),
}


def sentences(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(ids (n, 8), places of the two nouns (n, 2)): a noun, a verb and another noun in this order among fillers; who acts is
    the first of the nouns."""
    fillers = torch.randint(NOUNS + VERBS, VOCAB, (n, LENGTH), generator=generator)
    places = torch.rand(n, LENGTH, generator=generator).argsort(1)[:, :3].sort(1).values
    first = torch.randint(NOUNS, (n, 1), generator=generator)
    second = (first + torch.randint(1, NOUNS, (n, 1), generator=generator)) % NOUNS
    verb = torch.randint(NOUNS, NOUNS + VERBS, (n, 1), generator=generator)
    return fillers.scatter(1, places, torch.cat([first, verb, second], 1)), places[:, ::2]


def build(shape: Shape, position: str, seed: int) -> Transformer:
    """A model that reads a sentence and, from the mean of its states, says who acts."""
    changes: dict[str, object] = {"heads.lm.task": "classify", "heads.lm.pool": "mean"}
    if position == "sinusoidal":
        changes |= {f"{shape}.embedding.position": {"kind": "sinusoidal"}, f"{shape}.embedding.scale": 32**0.5}
    elif position != "none":
        changes[f"{shape}.blocks.layer.attention.position"] = {"kind": position}
    return small(VOCAB, shape, width=32, layers=LAYERS, context=LENGTH, output=NOUNS, changes=changes).build(seed)


def measure(trial: Trial) -> Numbers:
    shape, position = trial.arm
    generator, model = torch.Generator().manual_seed(trial.seed), build(shape, position, trial.seed)

    def loss(_: int) -> Tensor:
        ids, nouns = sentences(32, generator)
        return F.cross_entropy(model(Tokens(ids)), ids.gather(1, nouns)[:, 0])

    train(model, loss, trial.steps(200, 1000), lr=4e-3)
    ids, nouns = sentences(1000, generator)
    turned = ids.scatter(1, nouns, ids.gather(1, nouns).flip(1))
    with torch.no_grad():
        logits, other = model(Tokens(ids)), model(Tokens(turned))
    named = float((logits.argmax(-1)[:, None] == ids.gather(1, nouns)).any(1).float().mean())
    acting, other_noun = logits.gather(1, ids.gather(1, nouns)).unbind(1)
    return {"accuracy": float((acting > other_noun).float().mean()), "either noun": named, "moved": float((logits - other).abs().max()), "place": places_known(model, ids)}


@torch.no_grad()
def places_known(model: Transformer, ids: Tensor) -> list[float]:
    """R², after each layer, of the place 0 … 7 as a linear map of a token's state tells it: ridge on one half of the sentences,
    read on the other."""
    found: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, out: found.append(out[0])) for layer in model.top.layers]
    model(Tokens(ids))
    for hook in hooks:
        hook.remove()
    half = len(ids) // 2
    place = torch.arange(LENGTH, dtype=torch.float64).expand(half, -1).flatten()
    told = []
    for x in found:
        known, asked = (torch.cat([part, torch.ones_like(part[..., :1])], -1).flatten(0, 1).double() for part in (x[:half], x[half : 2 * half]))
        map = torch.linalg.solve(known.T @ known + 1e-3 * torch.eye(known.shape[1]).double(), known.T @ place)
        told.append(float(1 - (asked @ map - place).square().mean() / place.var(correction=0)))
    return told


def rule(table: Table) -> Ruling:
    bare, masked = (table.interval(arm, "accuracy") for arm in ("encoder, none", "decoder, none"))
    known = min(table.interval(arm, "accuracy").low for arm in table.arms if not arm.endswith("none"))
    told = (
        f"Without positions an encoder prefers who acts to the other noun in {bare.mean:.0%} of sentences (its answer to the turned sentence moves by at most "
        f"{table.values('encoder, none', 'moved').max():.0e}), a causal decoder in {masked.mean:.0%}; with positions all do in at least {known:.0%}."
    )
    if known < 0.95:
        return Ruling(Verdict.OPEN, f"With positions the task is not learnt, so that it cannot tell. {told}")
    if bare.low > 0.9:
        return Ruling(Verdict.WRONG, told)
    if bare.high < 0.6 and masked.low > 0.9:
        return Ruling(Verdict.CONDITION, told)
    if bare.high < 0.6 and masked.high < 0.6:
        return Ruling(Verdict.HOLDS, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(2, width=9.6)
    style.bars(axes[0], table, "accuracy", {arm: arm.replace(", ", ",\n") for arm in table.arms}, format="{:.2f}")
    axes[0].tick_params(axis="x", labelsize=8)
    axes[0].set(ylabel="share that prefers who acts", ylim=(0, 1.15))
    style.reference(axes[0], 0.5)
    style.lines(axes[1], table, "place", range(1, LAYERS + 1))
    axes[1].set(xlabel="after layer", ylabel="place told by a linear map (R²)", xticks=range(1, LAYERS + 1), ylim=(-0.05, 1.05))
    style.legend(axes[1], ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


CLAIM = Claim(
    id="C03",
    title="Without positions, is “dog bites man” the same as “man bites dog”?",
    topic="positions",
    kind="trained",
    statement="Without positional encodings a Transformer cannot tell “dog bites man” from “man bites dog”: to it a sentence is a bag of tokens.",
    notes=("000 §4", "001 Q6", "002 Q13", "003 §3", "004:59", "004:70"),
    literature=(
        "Vaswani et al. (2017, arXiv 1706.03762, §3.5) add positions since the model has no recurrence and no convolution. That is needed where all "
        "tokens see all: Haviv et al. (2022, arXiv 2203.16634) find that causal decoders without any encoding learn where they are from the mask; "
        "Kazemnejad et al. (2023, arXiv 2305.19466) find them the best of five for length."
    ),
    method=(
        "Two layers read sentences of eight tokens, a noun, a verb and a noun among fillers, and name who acts, the first noun, from the mean of all states; counted is "
        "whether it gets a higher logit than the other noun. "
        "Arms: all see all (encoder) or only what came before (decoder), and the position encoding. Also measured: how far the answer moves when "
        "the nouns change places, and how well a linear map reads a token's place from its state."
    ),
    decides=(
        "Holds if both encoder and decoder without positions are right in less than 60 % (whole intervals), while all with positions are in at least 95 %. With a "
        "condition if the encoder is below 60 % and the decoder above 90 %. Wrong if the encoder is above 90 %. Not decided otherwise, or if an "
        "arm with positions does not learn."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={"accuracy": "share of sentences in which who acts is preferred to the other noun", "either noun": "share of sentences in which one of the two nouns is named", "moved": "largest change of a logit"},
    limits="An encoder without positions is exactly a function of the bag; the decoder's way out costs it something, as real text shows.",
)
