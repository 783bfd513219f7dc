"""The small models that claims are measured on: plain Transformers of 2017's kind, and what differs as overrides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from polyhead.families import override
from polyhead.nn import (
    AttentionSpec,
    BlockSpec,
    Causal,
    EmbeddingSpec,
    Full,
    GroupedSpec,
    HeadSpec,
    LayerNormSpec,
    ModelSpec,
    PlainSpec,
    StackSpec,
)

Shape = Literal["decoder", "encoder", "encoder-decoder"]


def small(
    vocab: int, shape: Shape = "decoder", *, width: int = 64, layers: int = 2, heads: int = 4, context: int = 64,
    output: int | None = None, changes: Mapping[str, Any] | None = None,
) -> ModelSpec:  # fmt: skip
    """A Transformer without positions: pre-norm LayerNorm, GELU of 4 × width, an untied head per token of `output`
    (default: vocab) numbers, normal initial values of 0.02. changes: dotted fields of the spec to other values, such as
    {"decoder.blocks.layer.attention.position": {"kind": "rotary"}}; a stack is called decoder or encoder.
    """
    grouped = GroupedSpec(heads=heads)
    inner = PlainSpec(act="gelu", inner=4 * width)

    def stack(causal: bool, cross: bool) -> StackSpec:
        block = BlockSpec(
            attention=AttentionSpec(heads=grouped, pattern=Causal() if causal else Full()),
            cross=AttentionSpec(heads=grouped) if cross else None, ffn=inner, norm=LayerNormSpec(),
        )  # fmt: skip
        return StackSpec(
            width=width, layers=layers, blocks={"layer": block}, layout=["layer"],
            embedding=EmbeddingSpec(vocab=vocab), final_norm=LayerNormSpec(),
        )  # fmt: skip

    spec = ModelSpec(
        encoder=None if shape == "decoder" else stack(False, False),
        decoder=None if shape == "encoder" else stack(True, shape == "encoder-decoder"),
        heads={"lm": HeadSpec(task="lm", output=output or vocab)}, context=context,
    )  # fmt: skip
    return override(spec, dict(changes or {}))
