"""An unknown model_type: the families that fit nearest, and what differs, by keys and by the weights' names."""

from __future__ import annotations

from typing import Any

import pytest

from polyhead.errors import ConfigError
from polyhead.families.exchange import read_config
from polyhead.families.nearness import nearest_families

LLAMA = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 1e4, "attention_bias": False, "mlp_bias": False}  # fmt: skip
BERT = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "position_embedding_type": "absolute"}  # fmt: skip
NAMES = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"] + [
    f"model.layers.{i}.{part}.weight" for i in range(2) for part in (
        "input_layernorm", "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    )
]  # fmt: skip


def refused(config: dict[str, Any], names: list[str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_config({"model_type": "unheard-of", **config}, names=names or [])
    return caught.value


def lines(error: ConfigError) -> list[str]:
    return [line.strip() for line in error.message.splitlines()[1:]]


def test_the_nearest_family_and_what_it_does_not_read() -> None:
    error = refused({**LLAMA, "logit_scale": 0.1, "initializer_range": 0.02, "bos_token_id": 1})
    assert lines(error)[0] == "nearest: llama reads 12 of 13 settings; not logit_scale"
    assert 2 <= len(lines(error)) <= 3 and "model_type llama" in error.change and "register" in error.change
    assert lines(refused(BERT))[0].startswith("nearest: bert reads 10 of 10 settings")


def test_a_value_that_it_refuses_is_named_and_puts_it_behind_those_that_do_not() -> None:
    error = refused({**LLAMA, "hidden_act": "relu2"})
    assert "hidden_act is not one polyhead reads: 'relu2'" in lines(error)[0]
    assert "hidden_act" not in lines(refused(LLAMA))[0]


def test_weights_names_decide_where_keys_do_not() -> None:
    error = refused(LLAMA, [*NAMES, "model.layers.0.self_attn.gate.weight", "model.layers.1.self_attn.gate.weight"])
    assert lines(error)[0] == "nearest: llama reads 12 of 12 settings and 12 of 13 weights; has no weight model.layers.{i}.self_attn.gate.weight"
    normed = [*NAMES, *(f"model.layers.{i}.self_attn.{n}_norm.weight" for i in range(2) for n in "qk")]
    assert nearest_families({"model_type": "new", **LLAMA}, normed)[0].model_type == "qwen3"


def test_names_that_are_alike_decide_between_equals() -> None:
    assert nearest_families({"model_type": "mmistral", **LLAMA})[0].model_type == "mistral"


def test_a_setting_that_it_needs_and_does_not_get_is_named() -> None:
    bare = {key: value for key, value in LLAMA.items() if key != "hidden_size"}
    near = {one.model_type: one for one in nearest_families({"model_type": "new", **bare}, NAMES)}
    assert near["llama"].needed == ("hidden_size",) and "it needs hidden_size" in str(near["llama"])


def test_parts_of_a_composed_model_and_what_is_like_nothing() -> None:
    error = refused({"text_config": {"model_type": "llama", **LLAMA}, "vision_config": {"model_type": "siglip"}})
    assert lines(error) == ["its text_config is of model_type 'llama'", "its vision_config is of model_type 'siglip'"]
    assert lines(refused({"state_size": 16, "conv_kernel": 4, "expand": 2})) == []
    assert "llama" in refused({"model_type": "lama"}).change


def test_hostile_keys_and_names_cost_nothing() -> None:
    keys: dict[Any, Any] = {"k" * 100_000: 1, **{f"key{n}": n for n in range(5_000)}}
    error = refused({**keys, **LLAMA}, ["x." * 50_000, *(f"layers.{n}.w" for n in range(50_000))])
    assert len(error.message) < 3_000
