"""Law 9: params() = the built module; flops() = FlopCounterMode on the reference backend."""

import pytest
import torch
from hypothesis import given

from polyhead import nn as ph

from . import laws, specs


@pytest.mark.parametrize("spec", specs.cases("r: q:"))
def test_params_equal_the_built_module_in_all_and_by_part(spec):
    laws.law_params(spec)


@pytest.mark.parametrize(
    "spec",
    specs.cases(
        "relative-none pattern-causal heads content norm-layer residual experts plain_gelu gated_silu head- embedding seq2seq sharing global"
    ),
)
def test_flops_equal_the_counter_on_the_reference_backend(spec):
    laws.law_flops(spec)


@specs.draws(25)
@given(specs.models())
def test_combinations(spec):
    laws.law_params(spec)
    laws.law_flops(spec, length=5)


def test_weights_kept_in_the_file_count_once_when_tables_are_shared():
    shared, own = specs.seq2seq(share=True), specs.seq2seq(share=False)
    assert own.params().total - shared.params().total == specs.VOCAB * specs.WIDTH


def gpt2() -> ph.ModelSpec:
    norm = ph.LayerNormSpec()
    return ph.ModelSpec(
        decoder=ph.StackSpec(
            width=768, layers=12, final_norm=norm, layout=("b",),
            embedding=ph.EmbeddingSpec(vocab=50257, position=ph.LearnedSpec(length=1024)),
            blocks={"b": ph.BlockSpec(
                attention=ph.AttentionSpec(heads=ph.GroupedSpec(heads=12, bias="qkvo"), pattern=ph.Causal()),
                ffn=ph.PlainSpec(ratio=4, act="gelu_tanh"), norm=norm,
            )},
        ),
        heads={"lm": ph.HeadSpec(output=50257, tied=True)}, context=1024,
    )  # fmt: skip


def llama(
    width: int, layers: int, heads: int, kv: int, inner: int, vocab: int, ffn: ph.Spec | None = None
) -> ph.ModelSpec:
    norm = ph.RMSNormSpec()
    attention = ph.AttentionSpec(
        heads=ph.GroupedSpec(heads=heads, kv_heads=kv), pattern=ph.Causal(), position=ph.RotarySpec()
    )
    block = ph.BlockSpec(attention=attention, ffn=ffn or ph.GatedSpec(inner=inner), norm=norm)
    return ph.ModelSpec(
        decoder=ph.StackSpec(
            width=width, layers=layers, embedding=ph.EmbeddingSpec(vocab=vocab), blocks={"b": block}, layout=("b",),
            final_norm=norm,
        ),
        heads={"lm": ph.HeadSpec(output=vocab)}, context=4096,
    )  # fmt: skip


PUBLISHED = {
    "gpt2": (gpt2(), 124_439_808),
    "llama-7b": (llama(4096, 32, 32, 32, 11008, 32000), 6_738_415_616),
    "llama-2-70b": (llama(8192, 80, 64, 8, 28672, 32000), 68_976_648_192),
    "llama-3-8b": (llama(4096, 32, 32, 8, 14336, 128256), 8_030_261_248),
    "mistral-7b": (llama(4096, 32, 32, 8, 14336, 32000), 7_241_732_096),
    "mixtral-8x7b": (
        llama(4096, 32, 32, 8, 0, 32000, ph.ExpertsSpec(experts=8, top_k=2, inner=14336)), 46_702_792_704,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_big_models_on_the_meta_device_have_their_published_counts(name):
    spec, published = PUBLISHED[name]
    with torch.device("meta"):
        model = spec.build(seed=None)
    assert spec.params().total == sum(p.numel() for p in model.parameters()) == published


def test_cache_bytes_are_the_formula():
    """2·layers·kv·d bytes per token and element: GPT-2's shape at 1024 tokens holds 36 MiB in 16 bit, 72 in 32."""
    spec = specs.DECODERS["heads-multi_query"]
    cache = specs.build(spec, torch.float32).new_cache(3, 32)
    assert cache.bytes() == 2 * 2 * 1 * 4 * 4 * 3 * (32 + 1)
