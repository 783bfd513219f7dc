"""Traps of config.json alone: keys that are absent, lie, or mean something else than they say. No weights are read.

Each row changes the config that transformers writes for a tiny checkpoint and says what our spec must hold then.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import transformers

from polyhead.errors import ConfigError
from polyhead.families.exchange import read_config

from .cases import BY_NAME

GONE = object()
PATTERN, ROPE = "decoder.blocks.*.attention.pattern", "decoder.blocks.*.attention.position"
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 1e4}

MEANT: list[tuple[str, dict[str, Any], str, Any]] = [
    # absent is not null, and the class's default is not the hub's value
    ("mistral_lm", {"sliding_window": GONE}, f"{PATTERN}.back", 4095),
    ("mistral_lm", {"sliding_window": None}, f"{PATTERN}.kind", "causal"),
    ("mixtral_lm", {"sliding_window": GONE}, f"{PATTERN}.kind", "causal"),
    ("phi3_long", {"sliding_window": GONE}, f"{PATTERN}.kind", "causal"),
    ("mixtral_lm", {"rope_parameters": GONE}, f"{ROPE}.theta", 1e6),
    ("gpt_oss_lm", {"rope_parameters": GONE}, f"{ROPE}.theta", 150000.0),
    ("gpt_oss_lm", {"rope_parameters": GONE}, f"{ROPE}.scaling.factor", 32.0),
    ("gpt_oss_lm", {"rope_parameters": {"rope_type": "default", "rope_theta": 9.0}}, f"{ROPE}.scaling", None),
    ("llama_2", {"rope_parameters": GONE}, f"{ROPE}.theta", 10000.0),
    ("llama_2", {"num_key_value_heads": None}, "decoder.blocks.*.attention.heads.kv_heads", 4),
    ("llama_2", {"head_dim": None}, "decoder.blocks.*.attention.heads.head_dim", 8),
    ("roberta_mlm", {"type_vocab_size": GONE}, "encoder.embedding.types", 2),
    ("roberta_mlm", {"layer_norm_eps": GONE}, "encoder.embedding.norm.eps", 1e-12),
    ("roberta_mlm", {}, "encoder.embedding.norm.eps", 1e-5),
    ("gpt2_lm", {"n_inner": None}, "decoder.blocks.*.ffn.inner", 128),
    ("falcon_7b", {"ffn_hidden_size": None}, "decoder.blocks.*.ffn.inner", 128),
    ("falcon_40b", {"num_ln_in_parallel_attn": None}, "decoder.blocks.*.residual.parallel", "two_norms"),
    ("falcon_11b", {}, "decoder.blocks.*.residual.parallel", "one_norm"),
    ("falcon_7b", {"num_kv_heads": 71}, "decoder.blocks.*.attention.heads.kv_heads", 1),
    ("albert_mlm", {"embedding_size": 32}, "encoder.embedding.project", "sum"),
    ("electra_generator", {"embedding_size": 32}, "encoder.embedding.project", "none"),
    ("distilbert_mlm", {"sinusoidal_pos_embds": True}, "encoder.embedding.position.kind", "learned"),
    ("distilbert_mlm", {}, "encoder.blocks.*.norm.eps", 1e-12),
    ("whisper_lm", {}, "encoder.embedding.position.kind", "learned"),
    ("led_lm", {}, "*.embedding.position.offset", 0),
    ("bart_lm", {}, "*.embedding.position.offset", 2),
    ("dinov2_giant", {"mlp_ratio": 4}, "encoder.blocks.*.ffn.inner", 88),
    ("qwen3_moe", {}, "decoder.layout", ["dense", "experts", "dense", "dense"]),
    ("deepseek_v3", {}, "decoder.layout", ["dense", "experts", "experts"]),
    ("gemma3_default", {"layer_types": GONE}, "decoder.layout", ["sliding"] * 5 + ["full", "sliding"]),
    ("modernbert_mlm", {"layer_types": GONE}, "encoder.layout", ["first", "local", "local", "full"]),
    ("gemma2_lm", {"layer_types": GONE}, "decoder.layout", ["sliding", "full"] * 2),
    ("gpt_oss_lm", {"num_experts_per_tok": GONE, "experts_per_token": 3}, "decoder.blocks.*.ffn.top_k", 3),
    ("bloom_lm", {"slow_but_exact": True, "pretraining_tp": 1}, "decoder.blocks.*.ffn.act", "gelu_tanh"),
    ("bloom_lm", {"slow_but_exact": False, "pretraining_tp": 4}, "decoder.blocks.*.ffn.act", "gelu_tanh"),
    # names that mean something else
    ("roberta_mlm", {"hidden_act": "relu"}, "heads.mlm.act", "gelu"),
    ("electra_generator", {"hidden_act": "relu"}, "heads.mlm.act", "gelu"),
    ("longformer_mlm", {"hidden_act": "relu"}, "heads.mlm.act", "gelu"),
    ("bert_mlm", {"hidden_act": "relu"}, "heads.mlm.act", "relu"),
    ("modernbert_mlm", {"classifier_activation": "silu"}, "heads.mlm.act", "silu"),
    ("clip_text", {}, "heads.embed.pool", "eos"),
    ("clip_text_legacy", {}, "heads.embed.pool", "largest_id"),
    ("bloom_lm", {}, "decoder.blocks.*.ffn.act", "gelu_tanh"),
    ("gemma_lm", {"hidden_act": "gelu"}, "decoder.blocks.*.ffn.act", "gelu_tanh"),
    ("t5_v1_1", {"feed_forward_proj": "gated-gelu"}, "decoder.blocks.*.ffn.act", "gelu_tanh"),
    ("modernbert_mlm", {"hidden_activation": "gelu"}, "encoder.blocks.*.ffn.act", "gelu"),
    ("bigbird_45", {}, "encoder.blocks.*.ffn.act", "gelu_tanh"),
    # keys that are read by the reference and never used
    ("whisper_lm", {"scale_embedding": True}, "decoder.embedding.scale", 1.0),
    ("gemma3_lm", {"attn_logit_softcapping": 50.0}, "decoder.blocks.*.attention.heads.softcap", None),
    ("deepseek_v2", {"norm_topk_prob": True}, "decoder.blocks.*.ffn.normalise", False),
    ("deepseek_v3", {"rms_norm_eps": 1e-5}, "decoder.blocks.*.attention.heads.norm.eps", 1e-6),
    ("deepseek_v2", {"rms_norm_eps": 1e-5}, "decoder.blocks.*.attention.heads.norm.eps", 1e-6),
    # rope, in every spelling
    ("phi3_long", {"rope_parameters": GONE, "rope_scaling": {"type": "su", "short_factor": [1.0] * 3, "long_factor": [2.0] * 3},
                   "partial_rotary_factor": 0.5, "original_max_position_embeddings": 16}, f"{ROPE}.scaling.kind", "longrope"),
    ("phi3_long", {"rope_parameters": GONE, "rope_scaling": {"type": "yarn", "short_factor": [1.0] * 3, "long_factor": [2.0] * 3},
                   "partial_rotary_factor": 0.5, "original_max_position_embeddings": 16}, f"{ROPE}.scaling.kind", "longrope"),
    ("phi3_long", {}, f"{ROPE}.scaling.attention", math.sqrt(1 + math.log(64 / 16) / math.log(16))),
    ("llama_2", {"rope_parameters": {**YARN, "factor": None}}, f"{ROPE}.scaling.factor", 4.0),
    ("llama_2", {"rope_parameters": {**YARN, "beta_fast": None, "beta_slow": None}}, f"{ROPE}.scaling.fast", 32.0),
    ("llama_2", {"rope_parameters": {**YARN, "attention_factor": 0.9}}, f"{ROPE}.scaling.attention", 0.9),
    ("llama_2", {"rope_parameters": GONE, "rope_scaling": {"type": "linear", "factor": 3.0}}, f"{ROPE}.scaling.factor", 3.0),
    ("gemma3_lm", {}, "decoder.blocks.sliding.attention.position.scaling", None),
    ("neox_parallel", {"rope_parameters": GONE, "rotary_pct": 0.25}, f"{ROPE}.dim", 2),
    ("neox_parallel", {"rope_parameters": GONE, "rotary_emb_base": 777}, f"{ROPE}.theta", 777.0),
    # ties
    ("falcon_7b", {"tie_word_embeddings": GONE}, "heads.lm.tied", True),
    ("llama_2", {"tie_word_embeddings": GONE}, "heads.lm.tied", False),
    ("gemma_lm", {"tie_word_embeddings": GONE}, "heads.lm.tied", True),
    ("t5_lm", {"scale_decoder_outputs": GONE, "tie_word_embeddings": GONE}, "heads.lm.scale", 32**-0.5),
    ("t5_v1_1", {"scale_decoder_outputs": GONE, "tie_word_embeddings": False}, "heads.lm.scale", 1.0),
]  # fmt: skip


def config_of(name: str, **changes: Any) -> dict[str, Any]:
    """The config.json of a case as transformers writes it, with keys changed or taken away."""
    case = BY_NAME[name]
    kind = getattr(transformers, case.model)
    data = {**kind.config_class(**case.fields).to_dict(), "architectures": [case.model]}
    return {key: value for key, value in (data | changes).items() if value is not GONE}


def found(data: Any, path: str) -> list[Any]:
    """What a path with * names in nested data."""
    name, _, rest = path.partition(".")
    if not isinstance(data, dict) or name != "*" and name not in data:
        return []
    values = list(data.values()) if name == "*" else [data[name]]
    return [leaf for value in values for leaf in found(value, rest)] if rest else values


@pytest.mark.parametrize(("case", "changes", "path", "value"), MEANT, ids=[f"{row[0]}-{row[2].rpartition('.')[2]}-{i}" for i, row in enumerate(MEANT)])
def test_a_config_means_what_the_reference_does_with_it(case: str, changes: dict[str, Any], path: str, value: Any) -> None:
    spec = read_config(config_of(case, **changes)).spec.model_dump(mode="json")
    leaves = found(spec, path)
    assert leaves, f"no {path} in {spec}"
    assert all(leaf == pytest.approx(value) if isinstance(value, float) else leaf == value for leaf in leaves), leaves


def test_old_falcons_spell_their_sizes_otherwise() -> None:
    """RefinedWebModel files say n_head, n_layer, n_head_kv; transformers 5 takes its defaults for them."""
    new = config_of("falcon_40b", rope_parameters=GONE)
    old = {**new, "model_type": "RefinedWeb", "architectures": ["RWForCausalLM"], "n_head": 4, "n_layer": 3, "n_head_kv": 2}
    for key in ("num_attention_heads", "num_hidden_layers", "num_kv_heads", "new_decoder_architecture", "multi_query", "ffn_hidden_size"):
        old.pop(key)
    assert found(read_config(old).spec.model_dump(), "decoder.blocks.*.attention.heads.kv_heads") == [2]


REFUSED = [
    *((case, {"partial_rotary_factor": 0.5}, "partial_rotary_factor") for case in ("llama_2", "mistral_lm", "gemma2_lm", "gpt_oss_lm", "deepseek_v3")),
    ("bloom_lm", {"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm"),
    ("bloom_lm", {"slow_but_exact": True, "pretraining_tp": 2}, "slow_but_exact"),  # leaves biases out
    ("bert_mlm", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
    ("deberta_mlm", {"conv_kernel_size": 3}, "conv_kernel_size"),
    ("deberta_mlm", {"share_att_key": False}, "share_att_key"),
    ("deberta_mlm", {"pos_att_type": ["c2p"]}, "pos_att_type"),
    ("llama_2", {"rope_parameters": {"rope_type": "unheard_of", "factor": 2.0}}, "rope"),
]


@pytest.mark.parametrize(("case", "changes", "key"), REFUSED, ids=[f"{row[0]}-{row[2]}-{i}" for i, row in enumerate(REFUSED)])
def test_what_no_published_checkpoint_has_is_refused_by_its_key(case: str, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        read_config(config_of(case, **changes))
