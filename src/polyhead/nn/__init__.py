"""The architecture. Reading order: model, stack, block, attention; then one file per axis:
position, content, pattern, heads, latent, weights, approximate, norm, residual, ffn, moe, sharing, inputs, embedding, head;
attend, cache and init serve them all; pair joins two models; lora adds low-rank updates to one."""

from .approximate import LinearSpec, LinformerSpec, PerformerSpec
from .at import At
from .attend import Backend
from .attention import AttentionSpec
from .block import BlockSpec, DropoutSpec
from .cache import Cache
from .content import DisentangledSpec, ShawSpec
from .embedding import EmbeddingSpec
from .ffn import GatedSpec, PlainSpec
from .head import HeadSpec
from .heads import GroupedSpec
from .init import NormalInit, XavierInit, ZeroOutInit
from .inputs import Frames, Patches, TokenInput
from .latent import LatentSpec
from .lora import LoraSpec, adapt, merge, merged, unmerge
from .model import ModelSpec, Transformer
from .moe import ExpertsSpec
from .norm import BatchNormSpec, DyTSpec, LayerNormSpec, NoNormSpec, RMSNormSpec
from .pair import Pair, PairSpec
from .pattern import (
    And,
    BlockSparse,
    Causal,
    Chunked,
    Dilated,
    Document,
    Full,
    Marked,
    Or,
    Prefix,
    Strided,
    Window,
)
from .position import AlibiSpec, BucketsSpec, LearnedSpec, NoPosition, SinusoidalSpec
from .residual import DeepNorm, LayerScale, NoGain, ResidualSpec, ReZero
from .rotary import RotarySpec
from .sharing import Cycle, Groups, NoSharing
from .spec import Counts, Spec
from .stack import StackSpec
from .tokens import Batch, Tokens
from .weights import EntmaxSpec, ReluSpec, SigmoidSpec, SoftmaxSpec, SparsemaxSpec

__all__ = [
    "AlibiSpec",
    "And",
    "At",
    "AttentionSpec",
    "Backend",
    "Batch",
    "BatchNormSpec",
    "BlockSparse",
    "BlockSpec",
    "BucketsSpec",
    "Cache",
    "Causal",
    "Chunked",
    "Counts",
    "Cycle",
    "DeepNorm",
    "Dilated",
    "DisentangledSpec",
    "Document",
    "DropoutSpec",
    "DyTSpec",
    "EmbeddingSpec",
    "EntmaxSpec",
    "ExpertsSpec",
    "Frames",
    "Full",
    "GatedSpec",
    "GroupedSpec",
    "Groups",
    "HeadSpec",
    "LatentSpec",
    "LayerNormSpec",
    "LayerScale",
    "LearnedSpec",
    "LinearSpec",
    "LinformerSpec",
    "LoraSpec",
    "Marked",
    "ModelSpec",
    "NoGain",
    "NoNormSpec",
    "NoPosition",
    "NoSharing",
    "NormalInit",
    "Or",
    "Pair",
    "PairSpec",
    "Patches",
    "PerformerSpec",
    "PlainSpec",
    "Prefix",
    "RMSNormSpec",
    "ReZero",
    "ReluSpec",
    "ResidualSpec",
    "RotarySpec",
    "ShawSpec",
    "SigmoidSpec",
    "SinusoidalSpec",
    "SoftmaxSpec",
    "SparsemaxSpec",
    "Spec",
    "StackSpec",
    "Strided",
    "TokenInput",
    "Tokens",
    "Transformer",
    "Window",
    "XavierInit",
    "ZeroOutInit",
    "adapt",
    "merge",
    "merged",
    "unmerge",
]
