"""Qwen3 (arXiv 2505.09388): Qwen2 without biases, with queries and keys normalised per head."""

RECIPES = {
    "qwen3": {
        "base": "qwen2",
        "values": {"bias": "", "head_dim": 128, "context": 40960, "qk_norm": {"kind": "rms", "eps": "$eps"}},
        "hf": {
            "types": ["qwen3"],
            "classes": {
                "Qwen3ForCausalLM": ["lm"], "Qwen3Model": [], "Qwen3ForSequenceClassification": ["classify"],
                "Qwen3ForTokenClassification": ["tag"], "Qwen3ForQuestionAnswering": ["span"],
            },
            "class_prefix": {"Qwen3ForQuestionAnswering": "transformer."},
            "config": [["head_dim", "head_dim", 128], ["num_key_value_heads", "kv_heads", 32], ["attention_bias", "bias", {False: "", True: "qkvo"}, False]],
            "weights": [
                ["~layers.{i}.self_attn.{q|k}_norm.weight", "decoder.layers.{i}.attention.heads.{q|k}_norm.weight"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "qwen3-0.6b": {"recipe": "qwen3", "width": 1024, "layers": 28, "heads": 16, "kv_heads": 8, "inner": 3072, "tied": True},
    "qwen3-1.7b": {"recipe": "qwen3", "width": 2048, "layers": 28, "heads": 16, "kv_heads": 8, "inner": 6144, "tied": True},
    "qwen3-4b": {"recipe": "qwen3", "width": 2560, "layers": 36, "heads": 32, "kv_heads": 8, "inner": 9728, "tied": True},
    "qwen3-8b": {"recipe": "qwen3", "width": 4096, "layers": 36, "heads": 32, "kv_heads": 8, "inner": 12288},
    "qwen3-14b": {"recipe": "qwen3", "width": 5120, "layers": 40, "heads": 40, "kv_heads": 8, "inner": 17408},
    "qwen3-32b": {"recipe": "qwen3", "width": 5120, "layers": 64, "heads": 64, "kv_heads": 8, "inner": 25600},
}  # fmt: skip
