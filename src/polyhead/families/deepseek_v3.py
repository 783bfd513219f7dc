"""DeepSeek-V3 and R1 (DeepSeek-AI 2024, arXiv 2412.19437; 2025, arXiv 2501.12948): V2 with sigmoid scores, experts chosen by score plus a
correction that balances their load, and groups ranked by the sum of their two best."""

RECIPES = {
    "deepseek_v3": {
        "base": "deepseek_v2",
        "values": {
            "vocab": 129280, "dense": 3, "scale": 0.1352337788608801, "experts": 256, "top_k": 8, "expert_inner": 2048, "shared": 1, "route_scale": 2.5,
            "groups": 8, "top_groups": 4, "normalise": True,
            "routed": {
                "kind": "experts", "act": "$act", "inner": "$expert_inner", "experts": "$experts", "top_k": "$top_k", "normalise": "$normalise", "scale": "$route_scale",
                "groups": "$groups", "top_groups": "$top_groups", "shared": ["@times", "$shared", "$expert_inner"],
                "router": "sigmoid", "correction": True, "group_score": "top2", "router_fp32": True,
            },
        },
        "hf": {
            "types": ["deepseek_v3"],
            "classes": {"DeepseekV3ForCausalLM": ["lm"], "DeepseekV3Model": [], "DeepseekV3ForSequenceClassification": ["classify"], "DeepseekV3ForTokenClassification": ["tag"]},
            "config": [
                ["vocab_size", "vocab", 129280], ["max_position_embeddings", "context", 4096], ["n_routed_experts", "experts", 256], ["n_shared_experts", "shared", 1],
                ["num_experts_per_tok", "top_k", 8], ["moe_intermediate_size", "expert_inner", 2048], ["routed_scaling_factor", "route_scale", 2.5], ["mlp_bias"],
                ["topk_method"], ["n_group", "groups", 8], ["topk_group", "top_groups", 4], ["norm_topk_prob", "normalise", True], ["scoring_func", "=", ["sigmoid"]],
                ["@rope", "position", {"interleaved": True, "interleaved_key": "rope_interleave", "rotated": "$rope"}],
                ["@layers", "layout", {"until": "first_k_dense_replace", "default": 3, "yes": "dense", "no": "experts"}],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "deepseek-v3": {"recipe": "deepseek_v3", "width": 7168, "layers": 61, "heads": 128, "inner": 18432},
}  # fmt: skip
