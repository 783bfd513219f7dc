"""Qwen3 with experts (arXiv 2505.09388): 128 experts, eight for each token, their weights summing to 1 in the published models."""

RECIPES = {
    "qwen3_moe": {
        "base": "qwen3",
        "values": {
            "layout": ["experts"], "experts": 128, "top_k": 8, "expert_inner": 768, "normalise": True,
            "routed": {"kind": "experts", "act": "$act", "inner": "$expert_inner", "experts": "$experts", "top_k": "$top_k", "normalise": "$normalise"},
            "blocks": {
                "experts": {"attention": {"heads": "$grouped", "pattern": "$pattern", "position": "$position"}, "ffn": "$routed", "norm": "$norm"},
                "dense": {"attention": {"heads": "$grouped", "pattern": "$pattern", "position": "$position"}, "ffn": "$ffn", "norm": "$norm"},
            },
        },
        "hf": {
            "types": ["qwen3_moe"],
            "classes": {
                "Qwen3MoeForCausalLM": ["lm"], "Qwen3MoeModel": [], "Qwen3MoeForSequenceClassification": ["classify"],
                "Qwen3MoeForTokenClassification": ["tag"], "Qwen3MoeForQuestionAnswering": ["span"],
            },
            "class_prefix": {"Qwen3MoeForQuestionAnswering": "transformer."},
            "config": [
                ["intermediate_size", "inner", 6144], ["num_key_value_heads", "kv_heads", 4], ["head_dim", "head_dim", ["@over", "$width", "$heads"]],
                ["use_sliding_window", "pattern", {False: {"kind": "causal"}, True: {"kind": "window", "back": "$window"}}, False],
                [["num_experts", "num_local_experts"], "experts", 128], ["num_experts_per_tok", "top_k", 8], ["moe_intermediate_size", "expert_inner", 768],
                ["norm_topk_prob", "normalise", False],
                ["@layers", "layout", {"listed": "mlp_only_layers", "step": "decoder_sparse_step", "yes": "dense", "no": "experts"}],
            ],
            "weights": [
                ["~layers.{i}.mlp.gate.weight", "decoder.layers.{i}.ffn.router.weight"],
                ["~layers.{i}.mlp.experts.{e}.{gate|up|down}_proj.weight", "decoder.layers.{i}.ffn.{gate|up|down}", "stack"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "qwen3-30b-a3b": {"recipe": "qwen3_moe", "width": 2048, "layers": 48, "heads": 32, "kv_heads": 4, "inner": 6144},
    "qwen3-235b-a22b": {"recipe": "qwen3_moe", "width": 4096, "layers": 94, "heads": 64, "kv_heads": 4, "inner": 12288, "expert_inner": 1536},
}  # fmt: skip
