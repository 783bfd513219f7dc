"""C71: an encoder writes grammatical text by filling masks, in one pass or in several, against a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# article adjective noun verb article adjective noun: gender and number bind what belongs together, and the verb to the first noun
CLASSES, WORDS = 4, 6  # gender and number; words of each part of speech and class
PARTS = (0, 1, 2, 3, 0, 1, 2)  # article, adjective, noun, verb
LENGTH = len(PARTS)
VOCAB = 4 * CLASSES * WORDS
MASK = VOCAB  # for an encoder; for a decoder the token before the first
PASSES = tuple(range(1, LENGTH + 1))
SENTENCES = 1000


def sentences(n: int, generator: torch.Generator) -> Tensor:
    """(n, 7). Articles: one word a class. Any other word is drawn from the six of its part of speech and class."""
    subject, object = (torch.randint(CLASSES, (n, 1), generator=generator) for _ in range(2))
    classes = torch.cat([subject.expand(-1, 4), object.expand(-1, 3)], 1)
    words = torch.randint(WORDS, (n, LENGTH), generator=generator)
    words[:, [0, 4]] = 0
    return (torch.tensor(PARTS) * CLASSES + classes) * WORDS + words


def valid(ids: Tensor) -> Tensor:
    """(n,) bool: parts of speech in their order, and classes that agree."""
    part, group, word = ids // (CLASSES * WORDS), ids // WORDS % CLASSES, ids % WORDS
    agrees = (group[:, :4] == group[:, :1]).all(1) & (group[:, 4:] == group[:, 4:5]).all(1)
    return agrees & (part == torch.tensor(PARTS)).all(1) & (word[:, [0, 4]] == 0).all(1) & (ids < VOCAB).all(1)


def draw_words(logits: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(words, their log-probabilities), (n, T) each, drawn at temperature 1 from logits (n, T, VOCAB)."""
    chances = logits.log_softmax(-1)
    words = torch.multinomial(chances.flatten(0, 1).exp(), 1, generator=generator).view(chances.shape[:2])
    return words, chances.gather(2, words[:, :, None]).squeeze(2)


@torch.no_grad()
def one_by_one(model: Transformer, n: int, generator: torch.Generator) -> Tensor:
    ids = torch.full((n, 1), MASK)
    for _ in range(LENGTH):
        words, _chance = draw_words(model(Tokens(ids))[:, -1:], generator)
        ids = torch.cat([ids, words], 1)
    return ids[:, 1:]


@torch.no_grad()
def mask_predict(model: Transformer, n: int, passes: int, generator: torch.Generator) -> Tensor:
    """All places masked; in each pass every mask gets a word, and the surest stay, an equal part of the sentence more each time
    (Ghazvininejad et al. 2019, §3.2; what stays is not masked again)."""
    ids = torch.full((n, LENGTH), MASK)
    for done in range(passes):
        open_ = ids == MASK
        words, chance = draw_words(model(Tokens(ids)), generator)
        keep = round(LENGTH * (done + 1) / passes) - int((~open_[0]).sum())
        surest = chance.masked_fill(~open_, -torch.inf).topk(keep, 1).indices
        ids = ids.scatter(1, surest, words.gather(1, surest))
    return ids


def measure(trial: Trial) -> Numbers:
    """trial.arm: decoder or encoder."""
    generator, shape = torch.Generator().manual_seed(trial.seed), trial.arm
    changes: dict[str, Any] = {f"{shape}.embedding.position": {"kind": "learned", "length": LENGTH}}
    model = small(VOCAB + 1, shape, width=48, context=LENGTH, output=VOCAB, changes=changes).build(trial.seed)

    def loss(_: int) -> Tensor:
        ids = sentences(64, generator)
        if shape == "decoder":
            read, asked = torch.cat([torch.full((64, 1), MASK), ids[:, :-1]], 1), torch.ones_like(ids, dtype=torch.bool)
        else:
            share = torch.rand(64, 1, generator=generator)
            asked = torch.rand(ids.shape, generator=generator) < share
            asked[torch.arange(64), torch.randint(LENGTH, (64,), generator=generator)] = True
            read = ids.masked_fill(asked, MASK)
        return F.cross_entropy(model(Tokens(read))[asked], ids[asked])

    train(model, loss, trial.steps(600, 2500), lr=3e-3, warmup=20, decay=cosine)
    if shape == "decoder":
        texts = [one_by_one(model, SENTENCES, generator)] * LENGTH
    else:
        texts = [mask_predict(model, SENTENCES, passes, generator) for passes in PASSES]
    right = [float(valid(text).float().mean()) for text in texts]
    subjects = torch.bincount(texts[-1][:, 0] // WORDS % CLASSES, minlength=CLASSES)
    return {
        "valid": right, "in one pass": right[0], "in three passes": right[2], "in seven passes": right[-1],
        "different": len(texts[-1].unique(dim=0)) / SENTENCES, "rarest class": float(subjects.min()) / SENTENCES,
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    decoder, encoder = table.arms
    own, once, seven = table.interval(decoder, "in seven passes"), table.interval(encoder, "in one pass"), table.interval(encoder, "in seven passes")
    told = (
        f"The decoder's sentences are grammatical in {own.mean:.1%} of cases, the encoder's in {once.mean:.1%} when all words are filled in at once, {table.mean(encoder, 'in three passes'):.1%} in three passes and "
        f"{seven.mean:.1%} in seven; {table.mean(encoder, 'different'):.0%} of these differ (decoder {table.mean(decoder, 'different'):.0%})."
    )
    if own.low < 0.9:
        return Ruling(Verdict.OPEN, f"The decoder does not learn the grammar. {told}")
    if seven.high < 0.5:
        return Ruling(Verdict.HOLDS, told)
    if seven.low > own.mean - 0.1 and table.mean(encoder, "different") > 0.5:
        return Ruling(Verdict.CONDITION if once.high < 0.8 * seven.low else Verdict.WRONG, told)
    return Ruling(Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(1)
    for index, arm in enumerate(table.arms):
        style.line(axes, PASSES, table.values(arm, "valid"), arm, index, **({"linestyle": "--", "marker": None} if index == 0 else {}))
    axes.set(xlabel="passes over the sentence of seven words", ylabel="share of grammatical sentences", ylim=(0, 1.05), xticks=PASSES)
    style.legend(axes, loc="lower right")
    return fig


CLAIM = Claim(
    id="C71",
    title="Can an encoder-only model write text?",
    topic="generation",
    kind="trained",
    statement="Encoder-only models are made for understanding, not for generation.",
    notes=("004:326",),
    literature=(
        "Wang & Cho 2019 (arXiv 1902.04094) sample text from BERT; Ghazvininejad et al. 2019 (Mask-Predict, arXiv 1904.09324) translate by filling masks in a constant number of passes; diffusion models of text "
        "(Austin et al. 2021, arXiv 2107.03006) go on from there. What one pass cannot do is to make words agree that are drawn independently (Gu et al. 2018, arXiv 1711.02281)."
    ),
    method=(
        f"A grammar of sentences of {LENGTH} words: article, adjective, noun and verb agree in one of {CLASSES} classes (gender and number), article, adjective and noun of the object in another. Two models of two layers "
        "(width 48), trained for as many steps: a causal decoder of the next word; an encoder of words hidden at a random rate. Each writes 1000 sentences at temperature 1: the decoder word by word, the encoder from masks alone "
        "in one to seven passes that keep the surest words."
    ),
    decides=(
        "Not decided if less than 90 % of the decoder's sentences are grammatical. Holds if the encoder stays below 50 % even in seven passes. If it comes within 0.1 of the decoder in seven, and more than half of its sentences differ: with a "
        "condition (several passes) where one pass gives less than 0.8 times that, wrong where it does not. Not decided in between."
    ),
    expected=Verdict.CONDITION,
    arms={"decoder, word by word": "decoder", "encoder, masks filled": "encoder"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"in one pass": "share grammatical", "in three passes": "share grammatical", "in seven passes": "share grammatical", "different": "share of sentences"},
    limits="A grammar of seven words whose length is known beforehand. An encoder reads all words anew in every pass and keeps no cache; how good its text is on real language is not shown.",
)  # fmt: skip
