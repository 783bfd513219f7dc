"""Parameters against published counts, 12·d² and its corrections, FLOPs back, savings, and the cache as the engine allocates it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from polyhead import nn as ph
from polyhead.families import preset, presets
from polyhead.nn import At, Tokens
from polyhead.nn.pattern import allowed
from polyhead.plan import counting
from polyhead.plan.model import parameters
from polyhead.report.counting import allocation, cache_bytes, rows
from tests.conformance import specs
from tests.conformance.common import random_ids, source_of
from tests.families.test_preset_counts import TOTALS

# Counts as papers, model cards and the sizes of published weights state them; TOTALS has them to the last number.
PUBLISHED = {  # name: (billions as stated, where)
    "gpt2": (0.124, "Radford et al. 2019, released weights"), "gpt2-xl": (1.558, "released weights"), "gpt3": (175, "Brown et al. 2020, table 2.1"),
    "llama-7b": (6.7, "Touvron et al. 2023, table 2"), "llama-13b": (13.0, "table 2"), "llama-30b": (32.5, "table 2"),
    "llama-65b": (65.2, "table 2"), "llama-2-70b": (69, "model card"), "llama-3-8b": (8.03, "model card"), "llama-3-70b": (70.6, "model card"),
    "llama-3.1-405b": (406, "model card"), "mistral-7b": (7.24, "model card"), "mixtral-8x7b": (46.7, "Jiang et al. 2024"),
    "mixtral-8x22b": (141, "model card"), "falcon-40b": (41.3, "released weights"), "falcon-180b": (178.6, "released weights"),
    "bloom": (176, "Le Scao et al. 2022, table 3"), "opt-175b": (175, "Zhang et al. 2022, table 1"), "gpt-neox-20b": (20.6, "Black et al. 2022, §2"),
    "qwen2.5-7b": (7.61, "model card"), "qwen2.5-72b": (72.7, "model card"), "gemma-2-27b": (27.2, "Gemma 2, table 2"),
    "deepseek-v2": (236, "DeepSeek-V2, abstract"), "deepseek-v3": (671, "DeepSeek-V3, abstract"), "gpt-oss-120b": (116.83, "OpenAI 2025, table 1"),
    "gpt-oss-20b": (20.91, "OpenAI 2025, table 1"), "qwen3-30b-a3b": (30.5, "model card"), "qwen3-235b-a22b": (235, "model card"),
    "bert-base": (0.110, "Devlin et al. 2019, §3"), "bert-large": (0.336, "released weights"), "roberta-large": (0.355, "Liu et al. 2019"),
    "albert-xxlarge-v2": (0.223, "released weights"), "electra-small": (0.0135, "released weights"), "t5-small": (0.0605, "Raffel et al. 2020, §3.7"),
    "t5-11b": (11.3, "released weights"), "bart-large": (0.406, "released weights"), "whisper-large-v3": (1.54, "Radford et al. 2022, table 1"),
    "vit-base-16-224": (0.0866, "Dosovitskiy et al. 2021, table 1"), "dinov2-giant": (1.136, "Oquab et al. 2023"), "modernbert-base": (0.149, "Warner et al. 2024"),
}  # fmt: skip
ACTIVE = {"mixtral-8x7b": 12.9, "deepseek-v2": 21, "deepseek-v3": 37, "gpt-oss-120b": 5.7, "qwen3-30b-a3b": 3.3, "qwen3-235b-a22b": 22}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name):
    """Exactly those of the released weights; within the digits that print gives; and the table adds up."""
    spec, (billions, _) = preset(name), PUBLISHED[name]
    found = parameters(spec)
    assert found["total"] == TOTALS[name] == sum(row["total"] for row in found["table"] if not row["depth"])
    assert found["total"] / 1e9 == pytest.approx(billions, rel=0.012)
    if name in ACTIVE:
        assert found["active"] / 1e9 == pytest.approx(ACTIVE[name], rel=0.12)


@pytest.mark.parametrize("name", ["gpt2", "llama-3-8b", "falcon-7b", "deepseek-v3", "mixtral-8x7b", "t5-small", "longformer-base-4096", "gpt-oss-20b"])
def test_twelve_d_squared_and_its_corrections_are_the_layer(name):
    spec = preset(name)
    for one in counting.twelve(spec):
        assert one.thumb + sum(one.parts.values()) == one.exact
        assert all("norms" in why or n for why, n in one.parts.items())
    whole = [row.each for row in rows(spec) if row.depth == 0 and row.each]
    assert [one.exact for one in counting.twelve(spec)] == whole


def test_twelve_d_squared_is_what_it_says():
    (gpt2,) = counting.twelve(preset("gpt2"))
    assert gpt2.thumb == 12 * 768**2 and gpt2.exact == 7_087_872
    assert gpt2.parts == {"attention biases, norms and sinks": 4 * 768, "feed-forward biases": 5 * 768, "norms, gains and mixes": 4 * 768}
    (llama,) = counting.twelve(preset("llama-3-8b"))
    assert llama.parts["keys and values shared by heads"] == -2 * 4096 * (4096 - 1024)


FLOPS = "relative-none pattern-causal heads content norm-layer residual experts plain_gelu gated_silu head- embedding seq2seq sharing global"


@pytest.mark.parametrize("spec", specs.cases(FLOPS))
def test_flops_back_equal_the_counter_on_the_reference_backend(spec):
    model = specs.build(spec, torch.float32).use("reference").train()
    source = source_of(spec, 2, 5)
    with FlopCounterMode(display=False) as counter:
        model(Tokens(random_ids(2, 8)), source).square().sum().backward()
    read = None if source is None else 5
    assert counter.get_total_flops() == spec.flops(8, 2, read).total + counting.backward(spec, 8, 2, read).total


SIGNALS = {
    "patches": (ph.Patches(image=8, patch=4), 5, (3, 8, 8)), "stem": (ph.Patches(image=8, patch=4, stem=(4, 6)), 5, (3, 8, 8)),
    "frames": (ph.Frames(channels=4), 6, (4, 12)),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNALS)
def test_the_first_product_over_a_signal_has_no_gradient_of_its_input(name):
    read, tokens, shape = SIGNALS[name]
    base = specs.encoder(head=specs.OUTPUTS["classify"])
    stack = base.encoder.model_copy(update={"embedding": ph.EmbeddingSpec(input=read)})
    spec = base.model_copy(update={"encoder": stack})
    with FlopCounterMode(display=False) as counter:
        spec.build(0).use("reference")(Tokens(signal=torch.randn(2, *shape))).square().sum().backward()
    assert counter.get_total_flops() == spec.flops(tokens, 2).total + counting.backward(spec, tokens, 2).total


@specs.draws(25)
@given(st.integers(1, 3000), st.sampled_from([None, 1, 7, 64, 5000]))
def test_pairs_of_long_rows_go_on_as_short_ones(tokens, window):
    pattern = ph.Causal() if window is None else ph.Window(back=window - 1)
    back = tokens if window is None else window - 1
    assert counting.pairs(pattern, tokens) == sum(min(i, back) + 1 for i in range(tokens))


def test_savings_are_the_pairs_that_are_forbidden():
    spec, n = preset("gpt2"), 512
    (saving,) = counting.savings(spec, n)
    assert saving.flops == 12 * 4 * 768 * (n * n - n * (n + 1) // 2) and "causal" in saving.why
    at = At(torch.arange(n).unsqueeze(0))
    assert int(allowed(spec.decoder.blocks["layer"].attention.pattern, at, at).sum()) == n * (n + 1) // 2
    assert counting.savings(preset("bert-base"), n) == []


# ---------------------------------------------------------------- cache


def held(cache) -> int:
    """Bytes of every tensor that a cache has."""
    tensors = [t for store in cache.stores for t in store.slots] + [line.pos for line in set(cache.lines.values())]
    tensors += [t for entry in cache.memory or [] for t in entry or ()]
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("name", [n for n in specs.CACHED if "pattern" in n or "heads" in n or "seq2seq" in n])
def test_the_cache_is_counted_as_the_engine_allocates_it(name):
    """MHA, GQA, MQA, MLA, windows as rings, encoder–decoder; with slack for drafts."""
    spec = specs.CACHED[name]
    model = specs.build(spec, torch.float32)
    source = source_of(spec, 2, 5)
    for length, slack in ((4, 0), (12, 0), (12, 3)):
        try:
            cache = model.new_cache(2, length, slack)
        except ValueError:
            return  # it cannot be cached
        model(Tokens(random_ids(2, 3)), source, cache=cache)
        found = allocation(spec, 2, length, 4, slack, 0 if source is None else 5)
        assert sum(found.values()) == held(cache)
        assert found["entries"] + found["memory"] == cache.bytes()


@pytest.mark.parametrize("name", ["gpt2", "llama-3-8b", "falcon-7b", "deepseek-v3", "gemma-3-1b", "mistral-7b", "t5-small"])
def test_caches_of_published_models_on_the_meta_device(name):
    spec = preset(name)
    with torch.device("meta"):
        cache = spec.build(seed=None).new_cache(3, 6000)
    assert sum(v for k, v in allocation(spec, 3, 6000).items()) == held(cache)


@specs.draws(8)
@given(st.integers(1, 4), st.integers(2, 40))
def test_a_cache_is_linear_in_rows_and_in_length_up_to_its_window(rows_, length):
    spec = preset("mistral-7b")
    each = cache_bytes(spec)
    assert allocation(spec, rows_, length)["entries"] == rows_ * (length + 1) * each
    window = spec.decoder.blocks["layer"].attention.pattern.reach()[0] + 1
    assert allocation(spec, rows_, window + length)["entries"] == allocation(spec, rows_, window)["entries"]


def test_all_presets_have_a_place_in_the_published_table_or_in_totals():
    assert len(PUBLISHED) >= 25 and PUBLISHED.keys() <= set(presets()) and PUBLISHED.keys() <= TOTALS.keys()
