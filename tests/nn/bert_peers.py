"""Tiny random networks of transformers, for comparing one axis of ours with theirs: weights are copied by hand here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyhead import nn as ph


@torch.no_grad()
def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter random and large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        p.copy_(0.25 * noise if p.dim() > 1 else 0.2 * noise + (name.endswith("orm.weight")))
    return model.eval()


def bert_like(blocks: dict[str, ph.AttentionSpec], layout: tuple[str, ...], positions: ph.LearnedSpec, vocab: int,
              act: str = "gelu", eps: float = 1e-12, types: int = 1) -> ph.ModelSpec:  # fmt: skip
    """A post-norm encoder as BERT's, its attention chosen by the caller."""
    norm = ph.LayerNormSpec(eps=eps)
    kinds = {
        name: ph.BlockSpec(
            attention=attention, ffn=ph.PlainSpec(inner=48, act=act), norm=norm,
            residual=ph.ResidualSpec(placement="post"),
        )
        for name, attention in blocks.items()
    }  # fmt: skip
    stack = ph.StackSpec(
        width=32, layers=len(layout), blocks=kinds, layout=layout,
        embedding=ph.EmbeddingSpec(vocab=vocab, position=positions, types=types, norm=norm),
    )  # fmt: skip
    return ph.ModelSpec(encoder=stack, heads={"out": ph.HeadSpec(task="embed")}, context=positions.length)


@torch.no_grad()
def copied(spec: ph.ModelSpec, theirs: nn.Module) -> ph.Transformer:
    """Our model with the weights of one of theirs that is built like BERT."""
    old, new = theirs.state_dict(), {}
    names = {
        "embeddings.word_embeddings.weight": "embed.token", "embeddings.token_type_embeddings.weight": "embed.types",
        "embeddings.position_embeddings.weight": "embed.position.weight", "embeddings.LayerNorm": "embed.norm",
        "attention.self.query": "attention.heads.q", "attention.self.key": "attention.heads.k",
        "attention.self.value": "attention.heads.v", "attention.output.dense": "attention.heads.o",
        "attention.output.LayerNorm": "join_attention.after", "intermediate.dense": "ffn.up",
        "output.LayerNorm": "join_ffn.after", "output.dense": "ffn.down", "encoder.layer.": "layers.",
    }  # fmt: skip
    for name, t in old.items():
        if name.startswith("pooler") or name.endswith(("position_ids", "token_type_ids")):
            continue
        for which in ("query", "key", "value"):
            name = name.replace(f"self.{which}_global", f"global.{which[0]}")
        name = name.replace("attention.global.", "attention.global_heads.")
        for a, b in names.items():
            name = name.replace(a, b)
        new["encoder." + name] = t
    model = spec.build(None).eval()
    model.load_state_dict(new)
    return model


def apart(ours: Tensor, theirs: Tensor, valid: Tensor) -> float:
    return (ours[valid] - theirs[valid]).abs().max().item()
