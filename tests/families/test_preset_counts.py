"""Published parameter counts, exactly: by spec, by part, and by the module that is built (on the meta device)."""

from __future__ import annotations

import math
import re

import pytest
import torch

import polyhead.families as families
from polyhead.families import preset
from polyhead.families.exchange import write_config

TOTALS = {
    "gpt-nano": 853_769,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gpt3": 174_604_259_328,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096,
    "falcon-7b": 6_921_720_704,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "modernbert-base": 149_014_272,
    "modernbert-large": 394_781_696,
    "deberta-v3-xsmall": 70_682_112,
    "deberta-v3-small": 141_304_320,
    "deberta-v3-base": 183_831_552,
    "deberta-v3-large": 434_012_160,
    "mdeberta-v3-base": 278_218_752,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_620_634_112,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "gemma-2b": 2_506_172_416,
    "gemma-7b": 8_537_680_896,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-2-27b": 27_227_128_320,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 3_880_263_168,
    "embeddinggemma-300m": 307_581_696,  # 302 863 104 and two dense layers
    "phi-3-mini-4k": 3_821_079_552,
    "phi-3-medium-4k": 13_960_238_080,
    "olmo-2-1b": 1_484_916_736,
    "olmo-2-7b": 7_298_617_344,
    "olmo-2-13b": 13_716_198_400,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-1b": 1_011_781_632,
    "gpt-neox-20b": 20_554_567_680,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "opt-6.7b": 6_658_473_984,
    "bloom-560m": 559_214_592,
    "bloom-7b1": 7_069_016_064,
    "bloom": 176_247_271_424,
    "falcon-11b": 11_102_822_400,
    "falcon-40b": 41_303_293_952,
    "falcon-180b": 178_557_088_768,
    "falcon-rw-1b": 1_311_625_216,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "deepseek-v2": 235_741_434_880,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v3": 671_026_404_352,
    "t5-v1.1-small": 76_961_152,
    "flan-t5-base": 247_577_856,
    "mt5-small": 300_176_768,
    "bart-base": 139_470_681,
    "bart-large": 406_341_721,
    "opus-mt-de-en": 73_944_309,
    "wmt19-en-de": 355_811_328,
    "whisper-tiny": 37_760_640,
    "whisper-small": 241_734_912,
    "whisper-large-v3": 1_543_490_560,
    "led-base-16384": 161_894_745,
    "led-large-16384": 459_851_865,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "longformer-base-4096": 148_659_456,
    "longformer-large-4096": 434_600_960,
    "bigbird-roberta-base": 127_468_800,
    "bigbird-roberta-large": 359_123_968,
    "xlm-roberta-base": 278_043_648,
    "camembert-base": 110_621_952,
    "albert-base-v2": 11_683_584,
    "albert-xxlarge-v2": 222_595_584,
    "distilbert-base": 66_362_880,
    "electra-small": 13_483_008,
    "electra-base": 108_891_648,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "llama-30b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-3-70b": 70_553_706_496,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.3-70b": 70_553_706_496,
    "tinyllama-1.1b": 1_100_048_384,
    "deepseek-llm-7b": 6_910_365_696,
    "deepseek-llm-67b": 67_425_001_472,
    "mistral-7b-v0.3": 7_248_023_552,
    "mistral-nemo-12b": 12_247_782_400,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "gemma-3-12b": 11_766_034_176,
    "gemma-3-27b": 27_009_346_304,
    "phi-4": 14_659_507_200,
    "phi-4-mini": 3_836_021_760,
    "phi-3.5-mini": 3_821_079_552,
    "olmo-2-32b": 32_234_279_936,
    "pythia-14m": 14_067_712,
    "pythia-31m": 30_494_720,
    "pythia-410m": 405_334_016,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "opt-1.3b": 1_315_758_080,
    "opt-2.7b": 2_651_596_800,
    "opt-13b": 12_853_473_280,
    "opt-30b": 29_974_540_288,
    "opt-66b": 65_719_701_504,
    "opt-175b": 174_604_468_224,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "falcon-rw-7b": 7_516_020_736,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "whisper-base": 72_593_920,
    "whisper-medium": 763_857_920,
    "whisper-large-v2": 1_543_304_960,
    "whisper-large-v3-turbo": 808_878_080,
    "albert-large-v2": 17_683_968,
    "albert-xlarge-v2": 58_724_864,
    "electra-large": 334_092_288,
    "xlm-roberta-large": 559_890_432,
    "camembert-large": 336_661_504,
    "flan-t5-small": 76_961_152,
    "flan-t5-large": 783_150_080,
    "flan-t5-xl": 2_849_757_184,
    "flan-t5-xxl": 11_135_332_352,
    "mt5-base": 582_401_280,
    "mt5-large": 1_229_581_312,
    "mt5-xl": 3_742_619_648,
    "mt5-xxl": 12_921_057_280,
    "vit-base-16-224": 86_567_656,
    "vit-large-16-224": 304_326_632,
    "dinov2-small": 22_056_576,
    "dinov2-base": 86_580_480,
    "dinov2-large": 304_368_640,
    "dinov2-giant": 1_136_480_768,
    "clip-vit-base-32-image": 87_849_216,
    "clip-vit-base-32-text": 63_428_096,
    "clip-vit-large-14-image": 303_966_208,
    "clip-vit-large-14-text": 123_650_304,
    "transformer-base": 63_045_632,
    "transformer-big": 214_171_648,
}
CPU_SIZES = {"gpt-nano", "gpt-micro", "gpt-mini", "llama-nano", "bert-nano", "transformer-nano", "vit-nano"}


def test_every_published_preset_has_its_count_here() -> None:
    assert set(families.presets()) == set(TOTALS) | CPU_SIZES


@pytest.mark.parametrize("name", TOTALS)
def test_total(name: str) -> None:
    assert preset(name).params().total == TOTALS[name]


def test_pairs_of_towers() -> None:
    """The counts of openai/clip-vit-base-patch32 and openai/clip-vit-large-patch14."""
    counts = {name: families.pair(name).params().total for name in families.pairs()}
    assert counts == {"clip-vit-base-32": 151_277_313, "clip-vit-large-14": 427_616_513}


def part_of(name: str) -> str:
    """The part of Counts that a parameter of a built model belongs to."""
    stack, _, rest = name.partition(".")
    if stack == "heads":
        return f"heads.{rest.split('.')[0]}"
    rules = (
        (r"embed\.", "embedding"),
        (r"relative\.", "positions"),
        (r"layers\.\d+\.(attention|cross)\.(global_)?heads\.", "attention"),
        (r"layers\.\d+\.ffn\.", "feed_forward"),
        (r"layers\.\d+\.(join_|x0_mix|attention\.value_mix)|final_norm", "norms"),
    )
    return f"{stack}.{next(part for form, part in rules if re.match(form, rest))}"


def built_names() -> list[pytest.ParameterSet]:
    """Two sizes of each family in the quick part of the suite: the others are the same recipe."""
    seen: dict[str, int] = {}
    out = []
    for name in families.presets():
        kind = preset(name).family
        seen[kind] = seen.get(kind, 0) + 1
        out.append(pytest.param(name, marks=pytest.mark.slow if seen[kind] > 2 else ()))
    return out


@pytest.mark.parametrize("name", built_names())
def test_counts_are_those_of_the_built_module_part_by_part(name: str) -> None:
    with torch.device("meta"):
        model = preset(name).build(seed=None)
    built: dict[str, int] = {}
    for parameter, value in model.named_parameters():
        built[part_of(parameter)] = built.get(part_of(parameter), 0) + value.numel()
    assert built == {part: n for part, n in preset(name).params().parts.items() if n}


def test_every_size_of_a_family_with_folders_can_be_written_as_one() -> None:
    """The configuration, read again, says the same: YaRN's own temperature, lists of factors and layers, what is tied."""
    written = 0
    for name in families.presets():
        spec = preset(name)
        if "hf" in families.recipes().get(spec.family, {}) and name != "embeddinggemma-300m":  # its head is sentence-transformers'
            _, reading = write_config(spec)
            assert reading.spec.params() == spec.params(), name
            written += 1
    assert written > 150


def test_parts_of_gpt2() -> None:
    """A block is 12d² + 13d: attention 4d² + 4d, feed-forward 8d² + 5d, two norms 4d."""
    d, layers = 768, 12
    parts = preset("gpt2").params().parts
    assert parts["decoder.embedding"] == (50257 + 1024) * d
    assert parts["decoder.attention"] == layers * (4 * d * d + 4 * d)
    assert parts["decoder.feed_forward"] == layers * (8 * d * d + 5 * d)
    assert parts["decoder.norms"] == layers * 4 * d + 2 * d
    assert parts["heads.lm"] == 0


def test_parts_of_llama_2_70b() -> None:
    d, layers, inner, kv = 8192, 80, 28672, 8 * 128
    parts = preset("llama-2-70b").params().parts
    assert parts["decoder.embedding"] == parts["heads.lm"] == 32000 * d, "an untied output matrix counts"
    assert parts["decoder.attention"] == layers * (2 * d * d + 2 * d * kv)
    assert parts["decoder.feed_forward"] == layers * 3 * d * inner
    assert parts["decoder.norms"] == (2 * layers + 1) * d


def test_parts_of_bert_base_and_albert() -> None:
    d = 768
    bert, albert = preset("bert-base").params().parts, preset("albert-base-v2").params().parts
    assert bert["encoder.embedding"] == (30522 + 512 + 2) * d + 2 * d
    assert bert["heads.pooler"] == albert["heads.pooler"] == d * d + d
    assert albert["encoder.embedding"] == (30000 + 512 + 2) * 128 + 2 * 128 + 128 * d + d
    assert albert["encoder.attention"] * 12 == bert["encoder.attention"], "one set of weights for twelve layers"


def test_parts_of_t5_small() -> None:
    d = 512
    parts = preset("t5-small").params().parts
    assert parts["encoder.embedding"] == 32128 * d and parts["decoder.embedding"] == 0, "one table"
    assert parts["encoder.positions"] == parts["decoder.positions"] == 32 * 8
    assert parts["encoder.attention"] * 2 == parts["decoder.attention"] == 6 * 8 * d * d
    assert parts["encoder.norms"] == 13 * d and parts["decoder.norms"] == 19 * d


@pytest.mark.parametrize(("name", "d"), [("transformer-base", 512), ("transformer-big", 1024)])
def test_the_transformer_of_2017_by_the_papers_formulas(name: str, d: int) -> None:
    """V·d once; encoder layer 12d² + 5d + 4d, decoder layer 16d² + 5d + 6d: projections have no biases, feed-forwards do."""
    total = 37000 * d + 6 * (12 * d * d + 9 * d) + 6 * (16 * d * d + 11 * d)
    assert preset(name).params().total == total
    assert f"{total / 1e6:.1f}" == {512: "63.0", 1024: "214.2"}[d]


def test_gpt_nano_with_65_characters() -> None:
    assert families.with_vocab(preset("gpt-nano"), 65).params().total == 803_081


def test_gpt3_alternates_dense_and_banded_layers() -> None:
    stack = preset("gpt3").decoder
    assert [stack.kind(i) for i in range(4)] == ["dense", "banded", "dense", "banded"]
    assert stack.blocks["banded"].attention.pattern.reach() == (127, 0)
    assert stack.blocks["dense"].attention.pattern.reach() == (None, 0)


def test_b_windows_count_the_token_itself() -> None:
    pattern = preset("mistral-7b").decoder.blocks["layer"].attention.pattern
    assert (pattern.back, pattern.ahead) == (4095, 0)


def test_choices_that_no_count_can_see() -> None:
    """What is published and leaves the number of parameters as it is: norms' ε, activations, θ, scales, placement."""
    eps = {"llama-7b": 1e-6, "llama-2-70b": 1e-5, "mistral-7b": 1e-5, "bert-base": 1e-12, "roberta-base": 1e-5, "t5-small": 1e-6}
    for name, value in {**eps, "gpt2": 1e-5, "falcon-7b": 1e-5, "albert-base-v2": 1e-12}.items():
        stack = preset(name).top
        assert stack.blocks[stack.kind(0)].norm.eps == value, name
    acts = {"gpt2": "gelu_tanh", "bert-base": "gelu", "albert-base-v2": "gelu_tanh", "falcon-7b": "gelu", "t5-small": "relu"}
    for name, act in {**acts, "llama-7b": "silu", "transformer-base": "relu"}.items():
        assert preset(name).top.blocks["layer"].ffn.act == act, name
    assert preset("llama-3-8b").decoder.blocks["layer"].attention.position.theta == 500000
    assert preset("falcon-7b").decoder.blocks["layer"].residual.parallel == "one_norm"
    for name, placement in {"bert-base": "post", "transformer-base": "post", "gpt2": "pre", "t5-base": "pre"}.items():
        assert preset(name).top.blocks["layer"].residual.placement == placement, name
        assert (preset(name).top.final_norm is None) == (placement == "post"), name
    for name, d in {"t5-small": 512, "t5-base": 768}.items():
        assert math.isclose(preset(name).heads["lm"].scale, d**-0.5, rel_tol=1e-15)
        assert preset(name).decoder.blocks["layer"].attention.heads.scale == 1.0
    for name, d in {"transformer-base": 512, "transformer-big": 1024}.items():
        assert math.isclose(preset(name).encoder.embedding.scale, math.sqrt(d), rel_tol=1e-15)
    assert preset("roberta-base").encoder.embedding.position.offset == 2
    assert {name: preset(name).context for name in ("gpt2", "gpt3", "llama-7b", "llama-2-70b", "llama-3-8b", "mistral-7b")} == {
        "gpt2": 1024, "gpt3": 2048, "llama-7b": 2048, "llama-2-70b": 4096, "llama-3-8b": 8192, "mistral-7b": 32768,
    }  # fmt: skip
