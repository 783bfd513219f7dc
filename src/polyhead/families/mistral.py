"""Mistral 7B (Jiang et al. 2023, arXiv 2310.06825): LLaMA with grouped queries and a window.

The window of 4096 counts the token itself: 4095 others behind it. A config without the key means 4096, null no window.
"""

RECIPES = {
    "mistral": {
        "base": "llama",
        "hf": {
            "types": ["mistral"],
            "classes": {
                "MistralForCausalLM": ["lm"], "MistralModel": [], "MistralForSequenceClassification": ["classify"], "MistralForTokenClassification": ["tag"],
                "MistralForQuestionAnswering": ["span"],
            },
            "config": [["sliding_window", "pattern", "@window", {"absent": 4096}], ["attention_bias", "=", [False]], ["mlp_bias", "=", [False]]],
        },
    },
}  # fmt: skip

PRESETS = {
    "mistral-7b": {
        "recipe": "mistral", "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336,
        "context": 32768, "pattern": {"kind": "window", "back": 4095},
    },
    "mistral-7b-v0.3": {
        "recipe": "mistral", "vocab": 32768, "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336, "context": 32768, "theta": 1e6,
    },
    "mistral-nemo-12b": {
        "recipe": "mistral", "vocab": 131072, "width": 5120, "layers": 40, "heads": 32, "kv_heads": 8, "head_dim": 128, "inner": 14336,
        "context": 131072, "theta": 1e6, "tokenizer": {"kind": "byte_bpe"},
    },
}  # fmt: skip
