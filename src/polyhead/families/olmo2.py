"""OLMo 2 (Team OLMo 2024, arXiv 2501.00656): LLaMA with norms on each sublayer's output, none on its input, and queries and keys
normalised over all heads at once."""

RECIPES = {
    "olmo2": {
        "base": "llama",
        "values": {
            "vocab": 100352, "context": 4096, "eps": 1e-6, "theta": 500000.0, "residual": {"placement": "inner"}, "qk_norm": "$norm",
            "grouped": {
                "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias", "qk_norm": "$qk_norm", "qk_norm_over": "all",
            },
        },
        "tokenizer": {"kind": "byte_bpe"},
        "hf": {
            "types": ["olmo2"],
            "classes": {"Olmo2ForCausalLM": ["lm"], "Olmo2Model": [], "Olmo2ForSequenceClassification": ["classify"]},
            "config": [["vocab_size", "vocab", 50304], ["rms_norm_eps", "eps", 1e-5], ["head_dim", "=", [None]], ["mlp_bias"]],
            "weights": [
                ["~layers.{i}.input_layernorm.*"], ["~layers.{i}.post_attention_layernorm.*", "decoder.layers.{i}.join_attention.outs.0.*"],
                ["~layers.{i}.post_feedforward_layernorm.*", "decoder.layers.{i}.join_ffn.outs.0.*"],
                ["~layers.{i}.self_attn.{q|k}_norm.weight", "decoder.layers.{i}.attention.heads.{q|k}_norm.weight"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "olmo-2-1b": {"recipe": "olmo2", "width": 2048, "layers": 16, "heads": 16, "inner": 8192},
    "olmo-2-7b": {"recipe": "olmo2", "width": 4096, "layers": 32, "heads": 32, "inner": 11008},
    "olmo-2-13b": {"recipe": "olmo2", "width": 5120, "layers": 40, "heads": 40, "inner": 13824},
    "olmo-2-32b": {"recipe": "olmo2", "width": 5120, "layers": 64, "heads": 40, "kv_heads": 8, "inner": 27648},
}  # fmt: skip
