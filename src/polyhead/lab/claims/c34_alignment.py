"""C34: do attention's weights align a translation with its source, and only where there is cross-attention?"""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyhead.nn import Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table
from ..translation import END, PAD, Pairs, exact, joined, learnt, logits, pairs
from ..watching import watch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = (75, 150, 225, 300)
CROSS, SELF = "cross-attention", "decoder alone"
ARMS = {CROSS: ("encoder-decoder", "learned"), SELF: ("decoder-only", "rotary")}
SHOWN = 9  # words of the sentence whose weights are drawn


def weights(model: Transformer, given: Pairs) -> Tensor:
    """(heads of all layers, B, T, S): what each target word, when it is foretold, gives to each source word."""
    parts = watch(model)
    with torch.no_grad():
        logits(model, given)
    seen = torch.cat([part.seen for part in parts["cross"] or parts["decoder"] if part.seen is not None], 1).transpose(0, 1)
    if parts["cross"]:
        return seen
    where, wide = joined(given)[1].clamp(max=seen.shape[2] - 1), given.source.shape[1]
    rows = seen.gather(2, where[None, :, :, None].expand(len(seen), -1, -1, seen.shape[3]))[..., :wide]
    return rows * (given.source != PAD)[:, None]


def slopes(model: Transformer, given: Pairs) -> Tensor:
    """(B, T, S): how much each source word's embedding, times its gradient, adds to the logit of each target word."""
    stack, kept = model.encoder or model.top, []
    hook = stack.embed.register_forward_hook(lambda _, __, out: kept.append(out.detach().requires_grad_()) or kept[-1])  # type: ignore[func-returns-value]
    said, wide = logits(model, given), given.source.shape[1]
    hook.remove()
    rows = []
    for place in range(given.target.shape[1]):
        wanted = said[:, place].gather(1, given.target[:, place : place + 1].clamp(min=END)).sum()
        (grad,) = torch.autograd.grad(wanted, kept, retain_graph=True)
        rows.append((grad * kept[0]).sum(-1).abs()[:, :wide] * (given.source != PAD))
    return torch.stack(rows, 1)


def aligned(scores: Tensor, given: Pairs) -> Tensor:
    """(…) from scores (…, B, T, S): the share of target words whose source word has the largest score of all source words."""
    real = given.align != PAD
    return ((scores.argmax(-1) == given.align) & real).flatten(-2).sum(-1) / real.sum()


def measure(trial: Trial) -> Numbers:
    looks = (1, 2) if trial.mode == "smoke" else tuple(trial.pick(1, 4) * step for step in LOOKS)
    model = deepcopy(learnt(*trial.arm, trial.seed, looks)[0])
    chance = Random(2000 + trial.seed)
    first, second = pairs(128, (1, 2), chance), pairs(128, (1, 2), chance)
    whole = exact(model, second)
    gradient = float(aligned(slopes(model, second), second))
    heads = aligned(weights(deepcopy(model), first), first)  # one half chooses the head, the other judges it
    best, seen = int(heads.argmax()), weights(deepcopy(model), second)
    row = int(((second.lengths() <= SHOWN) * second.lengths()).argmax())
    shown = seen[:, row, :SHOWN, :SHOWN]
    shares = aligned(seen, second)
    return {
        "exact": whole, "best head": float(shares[best]), "mean over heads": float(aligned(seen.mean(0), second)), "gradient": gradient,
        "a head": float(shares.mean()), "heads": sorted(shares.tolist(), reverse=True),
        "drawn": [[round(float(w), 3) for w in line] for line in padded(shown[best])],
        "drawn mean": [[round(float(w), 3) for w in line] for line in padded(shown.mean(0))], "true": given_places(second, row),
    }  # fmt: skip


def padded(table: Tensor) -> Tensor:
    """A table as (SHOWN, SHOWN)."""
    whole = torch.zeros(SHOWN, SHOWN)
    whole[: table.shape[0], : table.shape[1]] = table
    return whole


def given_places(given: Pairs, row: int) -> list[int]:
    """Of SHOWN target words, the place of the source word; −1 where there is none."""
    places = [place if place != PAD else -1 for place in given.align[row].tolist()[:SHOWN]]
    return places + [-1] * (SHOWN - len(places))


def rule(table: Table) -> Ruling:
    best, mean, other = table.interval(CROSS, "best head"), table.interval(CROSS, "mean over heads"), table.interval(SELF, "best head")
    less, only = table.difference(CROSS, "best head", "mean over heads"), table.gap(CROSS, SELF, "best head")
    told = (
        f"The best head of cross-attention has its largest weight on the word being translated for {best} of target words, the mean over its heads for {mean}, its gradients for "
        f"{table.interval(CROSS, 'gradient')}; the best head of the decoder alone for {other}."
    )
    if min(table.mean(arm, "exact") for arm in table.arms) < 0.8:
        return Ruling(Verdict.OPEN, f"A model has not learnt to translate. {told}")
    if best.high < 0.5:
        return Ruling(Verdict.WRONG, told)
    if best.low > 0.7:
        choice, alone = less.high < -0.1, only.high < -0.1
        if not choice and alone and less.low > -0.1:
            return Ruling(Verdict.HOLDS, told)
        if choice or only.low > -0.1:
            return Ruling(Verdict.CONDITION, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(3, width=12.6)
    names = {"best head": "best head", "a head": "one head,\non average", "mean over heads": "mean of\nall weights", "gradient": "gradient ×\nembedding"}
    style.groups(axes[0], table, names, format="{:.2f}")
    axes[0].set(ylabel="target words aligned rightly (share)", ylim=(0, 1.3), yticks=[0, 0.25, 0.5, 0.75, 1])
    style.legend(axes[0], ncols=2, loc="upper center")
    true = table.values(CROSS, "true")[0]
    for panel, name, title in ((axes[1], "drawn", "cross-attention, best head"), (axes[2], "drawn mean", "cross-attention, mean of heads")):
        panel.imshow(table.values(CROSS, name)[0], cmap=style.shades(False), vmin=0, vmax=1, aspect="auto")
        panel.scatter([place for place in true if place >= 0], [row for row, place in enumerate(true) if place >= 0],
                      marker="s", s=150, facecolors="none", edgecolors=style.INK(), linewidths=1.1)  # fmt: skip
        panel.set(xlabel="source word", ylabel="target word, when foretold", title=title, xticks=range(SHOWN), yticks=range(SHOWN))
        panel.set_xticklabels([str(place + 1) for place in range(SHOWN)])
        panel.set_yticklabels([str(place + 1) for place in range(SHOWN)])
        panel.grid(visible=False)
    return figure


CLAIM = Claim(
    id="C34",
    title="Does cross-attention align source and target?",
    topic="families",
    kind="trained",
    statement="An encoder–decoder gives a clean alignment via cross-attention, and is more interpretable for it than a decoder alone.",
    notes=("004:399", "004:401", "001 Q9"),
    literature=(
        "Koehn and Knowles (2017, arXiv 1706.03872) find attention in translation to be no alignment in general. Garg et al. (2019, arXiv 1909.02074) train a head to "
        "align, since the mean over heads does it badly. Kobayashi et al. (2020, arXiv 2004.10102): a large weight on a short vector adds little."
    ),
    method=(
        "The models and the languages of C13, whose true alignment is known. For each target word, at the place where it is foretold: is the largest of a head's weights on source words on the "
        "word that it translates? One half of the sentences chooses the best head, the other judges it. Beside it: the mean of all heads' weights; one head on average; gradient times embedding of the source words. "
        "Arms: cross-attention, and the self-attention of a decoder alone with rotary positions, over the same source words."
    ),
    decides=(
        "Clean: the best head of cross-attention aligns more than 0.7 of target words. Holds if, besides, the mean over heads is at most 0.1 below it and the decoder alone's best head more than "
        "0.1 below it. With a condition if it is clean, but the mean over heads is more than 0.1 below, so that one must choose the head, or the decoder alone is not more than 0.1 below. Wrong if the best head "
        "aligns less than half. Intervals must lie wholly beyond; not decided otherwise, or if a model translates less than 0.8 of sentences."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={name: "share of target words" for name in ("best head", "mean over heads", "a head", "gradient")} | {"exact": "share of sentences"},
    limits="A first run had a decoder alone with learned positions, which had not learnt the language. Word for word translation of short made-up sentences: where words have no counterpart there is no alignment to find.",
)
