"""Made-up text with four planted relations between tokens, so that what a head is for can be checked, and a model of it.

Tokens carry one of four values. Four kinds of token ask for a value, and each can be answered from one earlier token alone:
"previous" asks for that of the token before it, "bracket" for that of the latest opening bracket of its kind, "subject" (a verb)
for that of the latest subject, "name" for that of the one earlier token with this name. Objects, other brackets and other names
lie between.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import Tokens, Transformer
from polyhead.nn.heads import Grouped

from .small import small
from .training import cosine, train

RELATIONS = ("previous", "bracket", "subject", "name")
VALUES, LENGTH = 4, 24
WHICH = {"plain": 1, "object": 1, "bracket": 2, "subject": 1, "name": 6}  # of each kind of token that carries a value
_TELLS = [(kind, which) for kind, n in WHICH.items() for which in range(n)]
_ASKS = [(kind, which) for kind in RELATIONS for which in range(WHICH.get(kind, 1))]
ASKS = len(_TELLS) * VALUES  # the first id that asks
VOCAB = ASKS + len(_ASKS)
WIDTH, LAYERS, HEADS = 32, 2, 4
NONE = -100


class Text(NamedTuple):
    """ids (B, T); wanted (B, T): the value asked for; where (B, T): the place it is told at; relation (B, T): which of RELATIONS
    asks. The last three are NONE where nothing is asked."""

    ids: Tensor
    wanted: Tensor
    where: Tensor
    relation: Tensor


def text(rows: int, chance: Random) -> Text:
    return Text(*torch.tensor([_row(chance) for _ in range(rows)]).unbind(1))


def _row(chance: Random) -> list[list[int]]:
    """One text's ids, wanted, where and relation. About two in five tokens ask, each kind as often as the others."""
    row: list[tuple[int, int, int, int]] = []
    told: dict[tuple[str, int], int] = {}  # what can be asked for → its place
    value = [NONE] * LENGTH
    for place in range(LENGTH):
        open_ = {asked: source for asked, source in told.items() if source < place - 1}
        if place and value[place - 1] != NONE:
            open_["previous", 0] = place - 1
        if open_ and chance.random() < 0.45:
            kind = chance.choice(sorted({kind for kind, _ in open_}))
            asked = chance.choice(sorted(asked for asked in open_ if asked[0] == kind))
            row.append((ASKS + _ASKS.index(asked), value[open_[asked]], open_[asked], RELATIONS.index(kind)))
            continue
        new = [name for name in range(WHICH["name"]) if ("name", name) not in told]
        kind = chance.choice(["plain", "object", "bracket", "subject", *(["name"] if new else [])])
        which = chance.choice(new) if kind == "name" else chance.randrange(WHICH[kind])
        value[place] = chance.randrange(VALUES)
        if kind in RELATIONS:
            told[kind, which] = place
        row.append((_TELLS.index((kind, which)) * VALUES + value[place], NONE, NONE, NONE))
    return [list(column) for column in zip(*row, strict=True)]


def build(seed: int, alike: bool = False) -> Transformer:
    """A causal model. alike: all heads of a layer start with the same numbers."""
    changes = {"decoder.blocks.layer.attention.position": {"kind": "rotary"}}
    model = small(VOCAB, width=WIDTH, layers=LAYERS, heads=HEADS, context=LENGTH, output=VALUES, changes=changes).build(seed)
    for heads in model.modules():
        if alike and isinstance(heads, Grouped) and heads.o is not None:
            with torch.no_grad():
                for part in (heads.q, heads.k, heads.v):
                    part.weight.copy_(part.weight[: heads.dim].repeat(HEADS, 1))
                heads.o.weight.copy_(heads.o.weight[:, : heads.dim].repeat(1, HEADS))
    return model


@cache
def learnt(seed: int, steps: int, alike: bool = False) -> Transformer:
    """A trained model. Kept for another claim that asks in this process: do not change it."""
    model, chance = build(seed, alike), Random(seed)

    def loss(_: int) -> Tensor:
        rows = text(32, chance)
        return F.cross_entropy(model(Tokens(rows.ids)).flatten(0, 1), rows.wanted.flatten())

    train(model, loss, steps, lr=6e-3, warmup=steps // 10, decay=cosine)
    return model


@torch.no_grad()
def right(model: Transformer, rows: Text) -> list[float]:
    """Share of right answers of each relation."""
    hits = model(Tokens(rows.ids)).argmax(-1) == rows.wanted
    return [float(hits[rows.relation == which].float().mean()) for which in range(len(RELATIONS))]
