"""DeepSeek-V2 (DeepSeek-AI 2024, arXiv 2405.04434): latent attention, whose cache holds one small vector per token; a dense first
layer, then routed experts limited to the best groups, with shared ones beside them. Weights of the chosen are not renormalised."""

RECIPES = {
    "deepseek_v2": {
        "base": "llama",
        "values": {
            "vocab": 102400, "context": 163840, "eps": 1e-6, "dense": 1, "layout": ["@runs", "dense", "$dense", "experts", ["@minus", "$layers", "$dense"]], "q_rank": 1536, "kv_rank": 512, "nope": 128, "rope": 64, "value": 128,
            "latent_bias": False, "grouped": {
                "kind": "latent", "heads": "$heads", "q_rank": "$q_rank", "kv_rank": "$kv_rank", "nope": "$nope", "rope": "$rope", "value": "$value",
                "norm": {"kind": "rms", "eps": 1e-6}, "bias": "$latent_bias", "scale": "$scale",
            },
            "position": {"kind": "rotary", "interleaved": True, "scaling": {"kind": "yarn", "factor": 40.0, "original": 4096, "attention": 1.0}},
            "scale": 0.11472138679292611, "experts": 160, "top_k": 6, "expert_inner": 1536, "shared": 2, "route_scale": 16.0,
            "groups": 8, "n_group": 8, "topk_group": 3, "top_groups": ["@differ", "$groups", 1, "$topk_group", 1],
            "routed": {
                "kind": "experts", "act": "$act", "inner": "$expert_inner", "experts": "$experts", "top_k": "$top_k", "normalise": False, "scale": "$route_scale",
                "groups": "$groups", "top_groups": "$top_groups", "shared": ["@times", "$shared", "$expert_inner"], "router_fp32": True,
            },
            "blocks": {
                "dense": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}, "position": "$position"}, "ffn": "$ffn", "norm": "$norm"},
                "experts": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}, "position": "$position"}, "ffn": "$routed", "norm": "$norm"},
            },
        },
        "tokenizer": {"kind": "byte_bpe"},
        "hf": {
            "types": ["deepseek_v2"], "drop": ["model.layers.{layers}.*"],
            "classes": {"DeepseekV2ForCausalLM": ["lm"], "DeepseekV2Model": [], "DeepseekV2ForSequenceClassification": ["classify"]},
            "config": [
                ["vocab_size", "vocab", 102400], ["head_dim"], ["num_key_value_heads", "=", ["$heads"]], ["attention_bias", "latent_bias", False], ["mlp_bias", "=", [False]],
                ["q_lora_rank", "q_rank", "@null", {"absent": 1536}], ["kv_lora_rank", "kv_rank", 512], ["qk_nope_head_dim", "nope", 128], ["qk_rope_head_dim", "rope", 64],
                ["v_head_dim", "value", 128], ["n_routed_experts", "experts", 64], ["n_shared_experts", "shared", 2], ["num_experts_per_tok", "top_k"],
                ["moe_intermediate_size", "expert_inner", 1407], ["routed_scaling_factor", "route_scale", 1.0],
                ["topk_method", "groups", {"greedy": 1, "group_limited_greedy": "$n_group"}, "greedy"], ["n_group", "n_group", 1], ["topk_group", "topk_group", 1],
                ["@rope", "position", {"interleaved": True, "rotated": "$rope"}], ["@mscale", "scale", {"width": ["$nope", "$rope"]}],
                ["@layers", "layout", {"until": "first_k_dense_replace", "default": 0, "yes": "dense", "no": "experts"}],
            ],
            "weights": [
                ["~layers.{i}.self_attn.{q_proj|q_a_proj|q_b_proj|kv_a_proj_with_mqa|kv_b_proj|o_proj}.*", "decoder.layers.{i}.attention.heads.{q|q_a|q_b|kv_a|kv_b|o}.*"],
                ["~layers.{i}.self_attn.{q|kv}_a_layernorm.weight", "decoder.layers.{i}.attention.heads.{q|kv}_a_norm.weight"],
                ["~layers.{i}.mlp.gate.weight", "decoder.layers.{i}.ffn.router.weight"],
                ["~layers.{i}.mlp.gate.e_score_correction_bias", "decoder.layers.{i}.ffn.router.correction"],
                ["~layers.{i}.mlp.experts.{e}.{gate|up|down}_proj.weight", "decoder.layers.{i}.ffn.{gate|up|down}", "stack"],
                ["~layers.{i}.mlp.shared_experts.{gate|up|down}_proj.weight", "decoder.layers.{i}.ffn.shared.{gate|up|down}.weight"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "deepseek-v2": {"recipe": "deepseek_v2", "width": 5120, "layers": 60, "heads": 128, "inner": 12288},
    "deepseek-v2-lite": {
        "recipe": "deepseek_v2", "width": 2048, "layers": 27, "heads": 16, "q_rank": None, "inner": 10944, "experts": 64, "expert_inner": 1408, "groups": 1, "route_scale": 1.0,
    },
}  # fmt: skip
