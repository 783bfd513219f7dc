"""Every initial value, in one place. A fresh language model starts at a loss of ln V within 2 %: small output weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from .approximate import Performer
from .latent import Latent
from .norm import BatchNorm, DyT, LayerNorm, RMSNorm
from .residual import DeepNorm
from .spec import Spec

if TYPE_CHECKING:
    from .model import Transformer
    from .stack import Stack


class NormalInit(Spec):
    """N(0, std) for every matrix and table (token tables and output matrices at most 0.4/√width, so that the first
    logits stay small in wide models); with `residual`, matrices that write into the stream are divided by
    √(sublayers of the stack) (GPT-2, Radford et al. 2019 §2.3). Biases 0, gains 1. Class token N(0, std), mask token 0
    (DINOv2's code)."""

    kind: Literal["normal"] = "normal"
    std: float = Field(0.02, gt=0)
    residual: bool = True


class XavierInit(Spec):
    """Uniform(±√(6/(in + out))) for matrices (Glorot & Bengio 2010), N(0, std) for tables: the 2017 Transformer's."""

    kind: Literal["xavier"] = "xavier"
    std: float = Field(0.02, gt=0)


class ZeroOutInit(Spec):
    """Uniform of std gain/√in for matrices that read the stream, zeros for those that write into it and for the head,
    N(0, table) for embeddings: each block starts as the identity (muP-style fast recipes, modded-nanoGPT)."""

    kind: Literal["zero_out"] = "zero_out"
    gain: float = Field(0.8, gt=0)
    table: float = Field(0.5, gt=0)


Init = Annotated[NormalInit | XavierInit | ZeroOutInit, Field(discriminator="kind")]

FIRST_LOGIT = 0.4  # deviation of a first logit at most: it adds half its square to ln V, under 2 % from 60 classes on
TABLES = ("embed.token", "embed.types", "embed.position", "relative.")
STEMS = ("embed.patch", "embed.conv", "embed.stem")  # convolutions: a row is a whole window
WRITERS = (".o.weight", ".down.weight", ".down", ".shared.down.weight")  # matrices whose output joins the stream


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Set every parameter of a freshly built model from `seed`; the order of parameters is the order of names."""
    generator = torch.Generator().manual_seed(seed)
    init = model.spec.init
    for name, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        if stack is not None:
            _norms(stack)
            _stack(stack, f"{name}.", init, generator)
    for module in model.modules():
        if isinstance(module, Performer):
            module.draw(generator)
    for head in model.heads.values():
        _norms(head)
        for name, p in head.named_parameters():
            if p.dim() > 1:
                std = min(getattr(init, "std", 0.02), FIRST_LOGIT * p.shape[-1] ** -0.5)
                p.zero_() if init.kind == "zero_out" and name == "weight" else _normal(p, std, generator)
            elif name in ("bias", "dense.bias", "back.bias"):
                p.zero_()


def _stack(stack: Stack, prefix: str, init: Init, generator: torch.Generator) -> None:
    spec = stack.spec
    sublayers = sum(2 + (spec.blocks[k].cross is not None) for k in stack.kinds)
    for name, p in stack.named_parameters():
        if p.dim() < 2 or name.endswith("_bias"):  # experts hold a row of biases each
            if name == "embed.cls":
                _normal(p, getattr(init, "std", 0.02), generator)
            elif name == "embed.mask":
                p.zero_()
            elif name.endswith("bias") and ".norm" not in name and not _in_norm(stack, name):
                p.zero_()
            continue
        table = name.startswith(TABLES)
        inputs, outputs = (p[0].numel(), len(p)) if name.startswith(STEMS) else (p.shape[-1], p.shape[-2])
        writes = name.endswith(WRITERS)
        if table:
            std = init.table if init.kind == "zero_out" else init.std
            cap = FIRST_LOGIT * p.shape[-1] ** -0.5 if name == "embed.token" and init.kind != "zero_out" else std
            _normal(p, min(std, cap), generator)
        elif init.kind == "zero_out":
            bound = init.gain * math.sqrt(3 / inputs)
            p.zero_() if writes else _uniform(p, bound, generator)
        elif init.kind == "xavier":
            _uniform(p, math.sqrt(6 / (inputs + outputs)), generator)
        else:
            _normal(p, init.std / math.sqrt(sublayers) if writes and init.residual else init.std, generator)
        gain = _residual_gain(stack, name)
        if isinstance(gain, DeepNorm) and (writes or ".v." in name or ".up" in name):
            p.mul_(gain.beta)
        elif isinstance(gain, DeepNorm) and name.endswith(".kv_b.weight"):
            latent = stack.get_submodule(name.removesuffix(".kv_b.weight"))
            assert isinstance(latent, Latent)
            latent.values().mul_(gain.beta)


def _in_norm(stack: nn.Module, name: str) -> bool:
    owner = stack.get_submodule(name.rpartition(".")[0]) if "." in name else stack
    return isinstance(owner, LayerNorm | RMSNorm | DyT | BatchNorm)


def _residual_gain(stack: Stack, name: str) -> Spec | None:
    parts = name.split(".")
    if parts[0] != "layers":
        return None
    owner = next(i for i, weights in enumerate(stack.order) if weights == int(parts[1]))
    return stack.spec.blocks[stack.kinds[owner]].residual.gain


def _norms(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, LayerNorm | DyT | BatchNorm):
            for p, value in ((m.weight, 1.0), (m.bias, 0.0)):
                if p is not None:
                    p.fill_(value)
        elif isinstance(m, RMSNorm) and m.weight is not None:
            m.weight.fill_(0.0 if m.gain == "one_plus" else 1.0)


def _normal(p: torch.Tensor, std: float, generator: torch.Generator) -> None:
    p.copy_(torch.randn(p.shape, generator=generator) * std)


def _uniform(p: torch.Tensor, bound: float, generator: torch.Generator) -> None:
    p.copy_((torch.rand(p.shape, generator=generator) * 2 - 1) * bound)
