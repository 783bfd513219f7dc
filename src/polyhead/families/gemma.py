"""Gemma (Gemma Team 2024, arXiv 2403.08295): LLaMA with √width on the token vector, gains of 1 + w, tanh-GELU gates, heads of
256 and a tied output matrix. Configs that say "gelu" mean the tanh form."""

RECIPES = {
    "gemma": {
        "base": "llama",
        "values": {
            "vocab": 256000, "context": 8192, "head_dim": 256, "act": "gelu_tanh", "eps": 1e-6, "tied": True, "embed_scale": ["@sqrt", "$width"], "round_scale": True,
            "norm": {"kind": "rms", "eps": "$eps", "gain": "one_plus"},
        },
        "hf": {
            "types": ["gemma"],
            "classes": {
                "GemmaForCausalLM": ["lm"], "GemmaModel": [], "GemmaForSequenceClassification": ["classify"], "GemmaForTokenClassification": ["tag"],
            },
            "heads": {"tag": {"task": "tag", "output": "$labels", "bias": True}},
            "config": [
                ["vocab_size", "vocab", 256000], ["max_position_embeddings", "context", 8192], ["head_dim", "head_dim", 256], ["mlp_bias"],
                ["hidden_act", "act", {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu_tanh", "gelu_new": "gelu_tanh"}, "gelu_pytorch_tanh"],
                ["hidden_activation", "=", ["gelu_pytorch_tanh", "gelu", "gelu_new", "gelu_fast"]], ["tie_word_embeddings", "tied", True],
            ],
            "weights": [["score.*", "heads.{classify|tag}.*"]],
        },
    },
}  # fmt: skip

PRESETS = {
    "gemma-2b": {"recipe": "gemma", "width": 2048, "layers": 18, "heads": 8, "kv_heads": 1, "inner": 16384},
    "gemma-7b": {"recipe": "gemma", "width": 3072, "layers": 28, "heads": 16, "kv_heads": 16, "inner": 24576},
}  # fmt: skip
