"""Weights of transformers' classes in ours, by hand: what the tests of inputs and heads compare with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from polyhead import nn as ph

WB = ("weight", "bias")


@torch.no_grad()
def random_values(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and buffer away from its neutral start; eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        noise = torch.randn(p.shape, generator=generator)
        p.copy_(noise * 0.25 if p.dim() > 1 else 0.2 * noise + (p.mean() > 0.5))
    return module.eval()


@torch.no_grad()
def fill(model: nn.Module, values: dict[str, Tensor]) -> nn.Module:
    """Every parameter from `values`, each used, in eval mode."""
    own = dict(model.named_parameters())
    assert set(own) == set(values), set(own) ^ set(values)
    for name, p in own.items():
        p.copy_(values[name].reshape(p.shape) if values[name].numel() == p.numel() else values[name])
    return model.eval()


def pairs(ours: str, theirs: nn.Module) -> dict[str, Tensor]:
    """{ours.weight, ours.bias} of one layer, those that it has."""
    found = {name: getattr(theirs, name, None) for name in WB}
    return {f"{ours}.{name}": p for name, p in found.items() if p is not None}


def layer(i: int, attention: Any, names: tuple[str, ...], norms: dict[str, nn.Module], ffn: dict[str, nn.Module]) -> dict:
    """One block: names are the attention's q, k, v, o."""
    at = f"layers.{i}"
    found: dict[str, Tensor] = {}
    for ours, theirs in zip("qkvo", names, strict=True):
        found |= pairs(f"{at}.attention.heads.{ours}", getattr(attention, theirs))
    for ours, norm in norms.items():
        found |= pairs(f"{at}.{ours}", norm)
    for ours, linear in ffn.items():
        found |= pairs(f"{at}.ffn.{ours}", linear)
    return found


def prefixed(prefix: str, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def vision_spec(
    image: dict[str, Any], width: int = 24, layers: int = 2, head: ph.HeadSpec | None = None, **options: Any
) -> ph.ModelSpec:
    """A pre-norm encoder of patches."""
    eps = options.get("eps", 1e-5)
    norm = ph.LayerNormSpec(eps=eps)
    patches = ph.Patches(**image)
    block = ph.BlockSpec(
        attention=ph.AttentionSpec(heads=ph.GroupedSpec(heads=4, bias=options.get("bias", "qkvo"))),
        ffn=options.get("ffn", ph.PlainSpec(inner=36, act=options.get("act", "gelu"))),
        norm=norm,
        residual=ph.ResidualSpec(gain=options.get("gain", ph.NoGain())),
    )
    position = ph.LearnedSpec(length=patches.positions, resize=options.get("resize", "no"))
    stack = ph.StackSpec(
        width=width,
        layers=layers,
        embedding=ph.EmbeddingSpec(input=patches, position=position, norm=norm if options.get("embed_norm") else None),
        blocks={"block": block},
        layout=("block",),
        final_norm=norm if options.get("final", True) else None,
    )
    return ph.ModelSpec(encoder=stack, heads={"out": head or ph.HeadSpec(task="embed")}, context=patches.positions)
