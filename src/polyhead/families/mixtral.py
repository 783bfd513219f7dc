"""Mixtral 8x7B (Jiang et al. 2024, arXiv 2401.04088): Mistral with eight experts per layer, two of them for each token."""

RECIPES = {
    "mixtral": {
        "base": "mistral",
        "values": {
            "theta": 1e6, "experts": 8, "top_k": 2, "ffn": {"kind": "experts", "act": "$act", "inner": "$inner", "experts": "$experts", "top_k": "$top_k"},
        },
        "hf": {
            "types": ["mixtral"],
            "classes": {
                "MixtralForCausalLM": ["lm"], "MixtralModel": [], "MixtralForSequenceClassification": ["classify"], "MixtralForTokenClassification": ["tag"],
                "MixtralForQuestionAnswering": ["span"],
            },
            "config": [
                ["sliding_window", "pattern", "@window", None], [["num_local_experts", "num_experts"], "experts", 8], ["num_experts_per_tok", "top_k", 2],
                ["num_key_value_heads", "kv_heads", 8], ["rms_norm_eps", "eps", 1e-5], ["@rope", "position", {"theta": 1e6}],
            ],
            "weights": [
                ["~layers.{i}.block_sparse_moe.gate.weight", "decoder.layers.{i}.ffn.router.weight"],
                ["~layers.{i}.block_sparse_moe.experts.{e}.{w1|w3|w2}.weight", "decoder.layers.{i}.ffn.{gate|up|down}", "stack"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "mixtral-8x7b": {"recipe": "mixtral", "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336, "context": 32768},
    "mixtral-8x22b": {"recipe": "mixtral", "width": 6144, "layers": 56, "heads": 48, "kv_heads": 8, "inner": 16384, "context": 65536},
}  # fmt: skip
