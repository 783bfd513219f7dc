"""Character models of the corpus: what the trained claims about language have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.nn import Tokens

from .corpus import corpus, spread, windows
from .training import cosine, train

Ask = Callable[[Tensor], Tensor]  # ids (B, T) → logits (B, T, VOCAB)


def learn(model: nn.Module, steps: int, seed: int, *, ask: Ask | None = None, batch: int = 32, length: int = 64, lr: float = 4e-3, **how: Any) -> list[float]:
    """Train a model to foretell the next character of random windows of the training part; returns the loss of every step.
    ask: how logits are got, `model(Tokens(ids))` unless said. The same seed sees the same windows in every arm. how: as
    `train` takes it; unless said, the rate rises over a twentieth of the steps and falls as a cosine."""
    generator, ask = torch.Generator().manual_seed(seed), ask or _plain(model)

    def loss(_: int) -> Tensor:
        return next_character(ask, windows(corpus().train, batch, length + 1, generator))

    return train(model, loss, steps, lr=lr, **{"warmup": steps // 20, "decay": cosine, **how})


def next_character(ask: Ask, rows: Tensor, last: int | None = None) -> Tensor:
    """Nats per character of rows (B, T + 1), over the `last` characters of each row, or all but the first."""
    logits = ask(rows[:, :-1])[:, -(last or 0) :]
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:][:, -(last or 0) :].flatten())


@torch.no_grad()
def held_loss(model: nn.Module, length: int = 64, *, ask: Ask | None = None, last: int | None = None, characters: int = 16_384) -> float:
    """Nats per character of the held-out part in windows of `length` characters read, at even distances; `characters` of it
    in all, but at least 16 windows. last: as in `next_character`."""
    rows = spread(corpus().held, max(16, characters // length), length + 1)
    ask = ask or _plain(model)
    parts = rows.split(max(1, 8192 // length))
    return sum(float(next_character(ask, part, last)) * len(part) for part in parts) / len(rows)


@torch.no_grad()
def tail_losses(model: nn.Module, lengths: Sequence[int], last: int, *, ask: Ask | None = None, places: int = 128) -> list[float]:
    """Nats per character of the same held-out characters, `last` at each of `places` places, when so many characters are read
    up to the end of them: what a longer text before them gives or takes."""
    rows = spread(corpus().held, places, max(lengths) + 1)
    return [sum(float(next_character(ask or _plain(model), part[:, -(n + 1) :], last)) for part in rows.split(16)) * 16 / places for n in lengths]


def _plain(model: nn.Module) -> Ask:
    return lambda ids: model(Tokens(ids))
