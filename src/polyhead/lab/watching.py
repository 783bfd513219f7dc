"""Attention that can be watched while it works: its weights are read, put in another's place, and heads are closed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from polyhead.nn import Transformer
from polyhead.nn.attention import Attention, View
from polyhead.nn.heads import Grouped


class Watched(nn.Module):
    """An attention with the weights of another, computed as equation 1 is written. seen (B, h, T, S): the weights of the last
    call, with their gradient. given (B|1, h|1, T, S): weights to use instead of its own. gate (h,): what each head's output is
    multiplied by. Every query head must have keys of its own, and no bias, band or cap."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        assert isinstance(attention.heads, Grouped) and attention.heads.kv == attention.heads.heads
        self.heads = attention.heads
        self.seen: Tensor | None = None
        self.given: Tensor | None = None
        self.gate = torch.ones(attention.heads.heads)

    def forward(self, x: Tensor, view: View, store: Any = None, memory: Any = None, first: Any = None) -> tuple[Tensor, Tensor | None]:
        q = self.heads.query(x, view.turn)
        k, v = self.heads.entry(x, view.turn) if memory is None else memory
        scores, mask = self.heads.scale * q @ k.transpose(-1, -2), view.lowered.mask
        if view.lowered.causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if mask is not None:
            assert mask.dtype == torch.bool, "a bias of scores is not watched"
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        self.seen = scores.softmax(-1)
        weights = self.seen if self.given is None else self.given
        return self.heads.output(weights @ v * self.gate[:, None, None]), v if memory is None else None


def watch(model: Transformer) -> dict[str, list[Watched]]:
    """Every attention of the model replaced in place: "encoder", "decoder" and "cross", layer by layer."""
    found: dict[str, list[Watched]] = {"encoder": [], "decoder": [], "cross": []}
    for name, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        for block in stack.layers if stack is not None else ():
            for part, list_ in (("attention", found[name]), ("cross", found["cross"])):
                if (attention := getattr(block, part)) is not None:
                    list_.append(Watched(attention))
                    setattr(block, part, list_[-1])
    return found


def watched(model: Transformer) -> tuple[Transformer, dict[str, list[Watched]]]:
    """A copy of the model, watched; the model itself stays as it is."""
    copy = deepcopy(model)
    return copy, watch(copy)
