"""Qwen2 and Qwen2.5 (arXiv 2407.10671, 2412.15115): LLaMA with biases on queries, keys and values; a window, where it is
switched on, from a certain layer on."""

RECIPES = {
    "qwen2": {
        "base": "llama",
        "values": {
            "vocab": 151936, "context": 32768, "bias": "qkv", "eps": 1e-6, "theta": 1e6, "layout": ["full"], "window": 4095,
            "blocks": {
                "full": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}, "position": "$position"}, "ffn": "$ffn", "norm": "$norm"},
                "sliding": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "window", "back": "$window"}, "position": "$position"}, "ffn": "$ffn", "norm": "$norm",
                },
            },
        },
        "tokenizer": {"kind": "byte_bpe"},
        "hf": {
            "types": ["qwen2"],
            "classes": {
                "Qwen2ForCausalLM": ["lm"], "Qwen2Model": [], "Qwen2ForSequenceClassification": ["classify"], "Qwen2ForTokenClassification": ["tag"],
                "Qwen2ForQuestionAnswering": ["span"],
            },
            "class_prefix": {"Qwen2ForQuestionAnswering": "transformer."},
            "config": [
                ["vocab_size", "vocab", 151936], ["max_position_embeddings", "context", 32768], ["attention_bias"], ["mlp_bias"],
                ["sliding_window", "window", "@less_one", {"absent": 4096}],
                ["@layers", "layout", {
                    "types": {"full_attention": "full", "sliding_attention": "sliding"},
                    "from": "max_window_layers", "default": 28, "if": "use_sliding_window", "yes": "sliding", "no": "full",
                }],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "qwen2.5-0.5b": {"recipe": "qwen2", "width": 896, "layers": 24, "heads": 14, "kv_heads": 2, "inner": 4864, "tied": True},
    "qwen2.5-1.5b": {"recipe": "qwen2", "width": 1536, "layers": 28, "heads": 12, "kv_heads": 2, "inner": 8960, "context": 131072, "tied": True},
    "qwen2.5-3b": {"recipe": "qwen2", "width": 2048, "layers": 36, "heads": 16, "kv_heads": 2, "inner": 11008, "tied": True},
    "qwen2.5-7b": {"recipe": "qwen2", "vocab": 152064, "width": 3584, "layers": 28, "heads": 28, "kv_heads": 4, "inner": 18944, "context": 131072},
    "qwen2.5-14b": {"recipe": "qwen2", "vocab": 152064, "width": 5120, "layers": 48, "heads": 40, "kv_heads": 8, "inner": 13824, "context": 131072, "eps": 1e-5},
    "qwen2.5-32b": {"recipe": "qwen2", "vocab": 152064, "width": 5120, "layers": 64, "heads": 40, "kv_heads": 8, "inner": 27648, "context": 131072, "eps": 1e-5},
    "qwen2.5-72b": {"recipe": "qwen2", "vocab": 152064, "width": 8192, "layers": 80, "heads": 64, "kv_heads": 8, "inner": 29568, "context": 131072, "eps": 1e-5},
}  # fmt: skip
