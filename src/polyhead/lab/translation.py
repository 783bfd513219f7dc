"""A made-up pair of languages whose word alignment is known, and models that translate between them.

The source says subject, verb, object, an adjective before its noun; the target says subject, object, verb, an adjective after
its noun. Every word has one translation, but a verb has two: which one, its subject tells. Clauses are joined by a word.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import ModelSpec, Tokens, Transformer

from .small import small
from .training import cosine, train

Arrangement = Literal["encoder-decoder", "decoder-only"]
Positions = Literal["learned", "rotary"]
END, BREAK = 0, 1  # of a target; between source and target
NOUNS, VERBS, ADJECTIVES = 8, 4, 4
WORDS = NOUNS + VERBS + ADJECTIVES + 1  # of the source, the last one joins clauses
SOURCE, TARGET = 2, 2 + WORDS  # where the ids of the two languages begin
VOCAB = TARGET + WORDS + VERBS  # verbs of the target have a second form, after all other words
AND = WORDS - 1
MEANING = Random(5).sample(range(WORDS), WORDS)  # source word → target word
WIDTH, CONTEXT, PAD = 48, 40, -100


class Pairs(NamedTuple):
    """source (B, S), target (B, T) with END, align (B, T): the place of the source word that a target word translates, PAD at
    END; all PAD behind a row's end."""

    source: Tensor
    target: Tensor
    align: Tensor

    def lengths(self) -> Tensor:
        """(B,) of the sources."""
        return (self.source != PAD).sum(1)


def pairs(rows: int, clauses: tuple[int, int], chance: Random) -> Pairs:
    """Sentences of at least clauses[0] and at most clauses[1] clauses."""
    found = [_sentence(chance.randint(*clauses), chance) for _ in range(rows)]
    return Pairs(*(_padded(list(column)) for column in zip(*found, strict=True)))


def _padded(rows: list[list[int]]) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def _sentence(clauses: int, chance: Random) -> tuple[list[int], list[int], list[int]]:
    source: list[int] = []
    target: list[int] = []
    align: list[int] = []

    def say(word: int) -> int:
        source.append(SOURCE + word)
        return len(source) - 1

    def phrase() -> tuple[int, list[int]]:
        """A noun, and the places of its words in the target's order."""
        adjective = [say(NOUNS + VERBS + chance.randrange(ADJECTIVES))] if chance.random() < 0.5 else []
        noun = chance.randrange(NOUNS)
        return noun, [say(noun), *adjective]

    for clause in range(clauses):
        joint = [say(AND)] if clause else []
        subject, first = phrase()
        verb = say(NOUNS + chance.randrange(VERBS))
        _, last = phrase()
        for place in [*joint, *first, *last, verb]:
            word = source[place] - SOURCE
            second = place == verb and subject % 2 == 1
            target.append(TARGET + (WORDS + word - NOUNS if second else MEANING[word]))
            align.append(place)
    return source, [*target, END], [*align, PAD]


def spec(arrangement: Arrangement, positions: Positions = "learned") -> ModelSpec:
    """Two layers of encoder and two of decoder, or four of a decoder whose feed-forward layers are wider, so that their blocks
    have the same number of parameters: 2·12·d² + 2·16·d² = 4·14·d²."""
    split = arrangement == "encoder-decoder"
    changes: dict[str, Any] = {"share_embeddings": True} if split else {"decoder.blocks.layer.ffn.inner": 5 * WIDTH}
    for stack in ("encoder", "decoder") if split else ("decoder",):
        if positions == "learned":
            changes[f"{stack}.embedding.position"] = {"kind": "learned", "length": CONTEXT}
        else:
            changes[f"{stack}.blocks.layer.attention.position"] = {"kind": "rotary"}
    return small(VOCAB, "encoder-decoder" if split else "decoder", width=WIDTH, layers=2 if split else 4, context=CONTEXT, changes=changes)


def joined(given: Pairs) -> tuple[Tokens, Tensor]:
    """Source, BREAK and target but its last word as one row; and (B, T) where in it each target word is foretold."""
    lengths, start = given.lengths(), torch.full((len(given.source), 1), BREAK)
    ids = torch.cat([given.source, start, given.target[:, :-1]], 1)
    place = torch.arange(ids.shape[1]).expand(ids.shape)
    order = torch.where(ids == PAD, ids.shape[1] + place, place).argsort(dim=1, stable=True)  # real tokens first
    ids = ids.gather(1, order).clamp(min=END)  # padding stands last, where nothing looks at it
    return Tokens(ids), lengths[:, None] + torch.arange(given.target.shape[1])


def logits(model: Transformer, given: Pairs) -> Tensor:
    """(B, T, VOCAB): each target word foretold from the source and the target before it."""
    if model.encoder is None:
        tokens, where = joined(given)
        said = model(tokens)
        return said.gather(1, where.clamp(max=said.shape[1] - 1)[:, :, None].expand(-1, -1, said.shape[2]))
    start = torch.full((len(given.target), 1), BREAK)
    real = given.source != PAD
    place = torch.arange(given.source.shape[1]).expand(real.shape).masked_fill(~real, -1)
    source = Tokens(given.source.clamp(min=END), pos=place, padded=True)
    return model(Tokens(torch.cat([start, given.target[:, :-1]], 1).clamp(min=END)), source)


@torch.no_grad()
def exact(model: Transformer, given: Pairs) -> float:
    """Share of sentences that greedy decoding translates word for word: those whose every word is foretold rightly after the
    right words before it."""
    right = (logits(model, given).argmax(-1) == given.target) | (given.target == PAD)
    return float(right.all(1).float().mean())


@cache
def learnt(arrangement: Arrangement, positions: Positions, seed: int, looks: tuple[int, ...]) -> tuple[Transformer, list[float]]:
    """A model trained on sentences of one and two clauses for looks[-1] steps, and its exact matches at each of `looks` steps.
    All see the same sentences in the same order. Kept for another claim that asks in this process: do not change it."""
    model, chance, held = spec(arrangement, positions).build(seed), Random(seed), pairs(256, (1, 2), Random(1000 + seed))
    curve: list[float] = []

    def loss(step: int) -> Tensor:
        if step in looks:
            curve.append(exact(model, held))
        given = pairs(32, (1, 2), chance)
        return F.cross_entropy(logits(model, given).flatten(0, 1), given.target.flatten())

    train(model, loss, looks[-1], lr=4e-3, warmup=looks[-1] // 10, decay=cosine)
    return model, [*curve, exact(model, held)]
