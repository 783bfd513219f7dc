"""The CPU sizes start where a language model should and learn with their own defaults."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.families import defaults, for_objective, preset, with_vocab
from polyhead.nn import ModelSpec, Tokens, Transformer
from polyhead.train.config import TrainingConfig
from polyhead.train.optim import Optimizer

from .test_preset_counts import CPU_SIZES

NANOS = sorted(CPU_SIZES - {"vit-nano"})  # those that read text


def spec_of(name: str, vocab: int | None = None) -> ModelSpec:
    spec = for_objective(preset(name), defaults(name)["training"]["objective"])
    return spec if vocab is None else with_vocab(spec, vocab)


def loss_of(model: Transformer, ids: Tensor, targets: Tensor) -> Tensor:
    source = Tokens(ids) if model.encoder is not None and model.decoder is not None else None
    return F.cross_entropy(model(Tokens(ids), source).flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("name", NANOS)
def test_a_fresh_model_knows_nothing(name: str) -> None:
    """Initial loss = ln V within 2 %."""
    spec = spec_of(name)
    vocab = spec.top.embedding.vocab
    ids, targets = torch.randint(vocab, (2, 4, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert loss_of(spec.build(), ids, targets).item() == pytest.approx(math.log(vocab), rel=0.02)


@pytest.mark.parametrize("name", [name for name in NANOS if name.endswith("-nano")])
def test_the_defaults_learn_one_batch_by_heart(name: str) -> None:
    """With the preset's own optimizer at its own peak rate; targets are noise, so only memory helps."""
    model = spec_of(name, 50).build()
    ids, targets = torch.randint(50, (2, 2, 16), generator=torch.Generator().manual_seed(1))
    optimizer = Optimizer(model, TrainingConfig(**defaults(name)["training"]).optimizer)
    for step in range(40):
        loss = loss_of(model, ids, targets)
        loss.backward()
        optimizer.step(1.0, step)
        optimizer.zero_grad()
    assert loss_of(model, ids, targets).item() < 0.3
