"""Tiny models with lively weights, so that different inputs give clearly different logits."""

from __future__ import annotations

from typing import Any

import torch

from polyhead.nn import (
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    BucketsSpec,
    Causal,
    DropoutSpec,
    EmbeddingSpec,
    Full,
    GatedSpec,
    GroupedSpec,
    HeadSpec,
    LayerNormSpec,
    LearnedSpec,
    ModelSpec,
    NoPosition,
    ResidualSpec,
    RMSNormSpec,
    RotarySpec,
    SinusoidalSpec,
    StackSpec,
    Transformer,
    Window,
)
from polyhead.text import Tokenizer

VOCAB, CONTEXT = 23, 64
CAUSAL, NOWHERE, PRE_NORM = Causal(), NoPosition(), ResidualSpec()


def stack(
    vocab: int = VOCAB,
    *,
    pattern: Any = CAUSAL,
    position: Any = NOWHERE,
    absolute: Any = NOWHERE,
    cross: bool = False,
    layers: int = 2,
    local: int | None = None,
    residual: ResidualSpec = PRE_NORM,
) -> StackSpec:
    heads = GroupedSpec(heads=4, kv_heads=2)
    memory = AttentionSpec(heads=heads) if cross else None
    kinds = {"main": pattern} if local is None else {"near": Window(back=local), "main": pattern}
    blocks = {
        name: BlockSpec(
            attention=AttentionSpec(heads=heads, pattern=seen, position=position),
            ffn=GatedSpec(ratio=2),
            cross=memory,
            norm=RMSNormSpec(),
            residual=residual,
        )
        for name, seen in kinds.items()
    }
    return StackSpec(
        width=16,
        layers=layers,
        embedding=EmbeddingSpec(vocab=vocab, position=absolute),
        blocks=blocks,
        layout=tuple(kinds),
        final_norm=LayerNormSpec(),
    )


def decoder(vocab: int = VOCAB, dropout: float = 0.0, context: int = CONTEXT, **options: Any) -> ModelSpec:
    return ModelSpec(
        decoder=stack(vocab, **options),
        heads={"lm": HeadSpec(output=vocab)},
        context=context,
        dropout=DropoutSpec(residual=dropout, embedding=dropout),
    )


def seq2seq(vocab: int = VOCAB, **options: Any) -> ModelSpec:
    two = BucketsSpec(buckets=8, distance=16, two_sided=True)
    one = BucketsSpec(buckets=8, distance=16, two_sided=False)
    return ModelSpec(
        encoder=stack(vocab, pattern=Full(), position=two),
        decoder=stack(vocab, position=one, cross=True, **options),
        heads={"lm": HeadSpec(output=vocab)},
        share_embeddings=True,
        context=CONTEXT,
    )


SPECS: dict[str, ModelSpec] = {
    "rotary": decoder(position=RotarySpec()),
    "window_ring": decoder(pattern=Window(back=3), position=RotarySpec()),
    "local_and_full": decoder(position=RotarySpec(), local=4),
    "alibi": decoder(position=AlibiSpec()),
    "learned": decoder(absolute=LearnedSpec(length=CONTEXT)),
    "sinusoidal": decoder(absolute=SinusoidalSpec()),
    "value_residual": decoder(position=RotarySpec(), residual=ResidualSpec(values=True, x0=True)),
    "seq2seq": seq2seq(),
    "seq2seq_window": seq2seq(local=3),
}


def lively(spec: ModelSpec, seed: int = 2, scale: float = 0.4) -> Transformer:
    """In fp64, every weight moved."""
    net = spec.build(seed).double().eval()
    generator = torch.Generator().manual_seed(seed + 1)
    for p in net.parameters():
        p.data.add_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale)
    return net


def byte_tokenizer() -> Tokenizer:
    return Tokenizer.train(["any text"], kind="bytes")
