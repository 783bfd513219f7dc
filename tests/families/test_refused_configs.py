"""Configs of known families that say something no network here does: the key or the class is named, and what to change."""

from __future__ import annotations

from typing import Any

import pytest

from polyhead.errors import ConfigError
from polyhead.families import read_pair
from polyhead.families.exchange import read_config

SMALL = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(("config", "named", "received"), [
    ({"model_type": "llama", "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "quantization_config", "'fp8'"),
    ({"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}, "quantization_config", "'mxfp4'"),
    ({"model_type": "qwen2", "compression_config": {"format": "pack-quantized"}}, "compression_config", "pack-quantized"),
    ({"model_type": "bert", "pruned_heads": {"0": [1]}}, "pruned_heads", "1"),
    ({"model_type": "longformer", "attention_window": [4, 5]}, "attention_window", "even"),
    ({"model_type": "longformer", "attention_window": [4]}, "attention_window", "1 numbers for 2 layers"),
    ({"model_type": "longformer", "attention_window": 0}, "attention_window", "above 0"),
    ({"model_type": "big_bird", "attention_type": "sparse"}, "attention_type", "'sparse'"),
    ({"model_type": "big_bird", "is_decoder": True}, "attention_type", "block_sparse"),
    ({"model_type": "bart", "architectures": ["BartForCausalLM"]}, "BartForCausalLM", "BartForCausalLM"),
    ({"model_type": "gpt2", "architectures": ["GPT2DoubleHeadsModel"]}, "GPT2DoubleHeadsModel", "GPT2DoubleHeadsModel"),
    ({"model_type": "bert", "architectures": ["MyBert"]}, "MyBert", "MyBert"),
    ({"model_type": "llama", "architectures": "LlamaForCausalLM"}, "architectures", "LlamaForCausalLM"),
    ({"model_type": "whisper", "architectures": ["WhisperForAudioClassification"]}, "WhisperForAudioClassification", "Whisper"),
    ({"model_type": "whisper", "architectures": ["WhisperForCausalLM"]}, "WhisperForCausalLM", "Whisper"),
])  # fmt: skip
def test_what_is_not_read_is_named_with_what_to_change(config: dict[str, Any], named: str, received: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_config({**SMALL, **config}, "my/config.json")
    error = caught.value
    assert error.message.startswith("my/config.json: ") and received in (error.received or "")
    assert error.expected and error.change


def test_pairs_are_asked_as_well() -> None:
    with pytest.raises(ConfigError, match="quantization_config"):
        read_pair({"model_type": "clip", "text_config": {}, "vision_config": {}, "quantization_config": {"quant_method": "bitsandbytes"}})


@pytest.mark.parametrize("key", ["quantization_config", "compression_config", "pruned_heads"])
@pytest.mark.parametrize("empty", [None, {}])
def test_what_says_nothing_is_nothing(key: str, empty: Any) -> None:
    assert read_config({"model_type": "llama", **SMALL, key: empty}).spec.vocab == 99
