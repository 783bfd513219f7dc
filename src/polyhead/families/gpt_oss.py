"""gpt-oss (OpenAI 2025, arXiv 2508.10925): experts with biases and a clamped SwiGLU, every other layer in a window of 128, and a
learned sink per head that takes a share of the softmax."""

RECIPES = {
    "gpt_oss": {
        "base": "llama",
        "values": {
            "vocab": 201088, "context": 131072, "head_dim": 64, "bias": "qkvo", "experts": 128, "top_k": 4, "inner": 2880, "window": 127, "layout": ["sliding", "full"],
            "grouped": {"heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias", "sinks": True},
            "position": {"kind": "rotary", "theta": 150000.0, "scaling": {"kind": "yarn", "factor": 32.0, "original": 4096, "truncate": False}},
            "ffn": {"kind": "experts", "act": "clamped_swiglu", "bias": True, "inner": "$inner", "experts": "$experts", "top_k": "$top_k"},
            "blocks": {
                "sliding": {"attention": {"heads": "$grouped", "pattern": {"kind": "window", "back": "$window"}, "position": "$position"}, "ffn": "$ffn", "norm": "$norm"},
                "full": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}, "position": "$position"}, "ffn": "$ffn", "norm": "$norm"},
            },
        },
        "tokenizer": {"kind": "byte_bpe"},
        "hf": {
            "types": ["gpt_oss"],
            "classes": {
                "GptOssForCausalLM": ["lm"], "GptOssModel": [], "GptOssForSequenceClassification": ["classify"], "GptOssForTokenClassification": ["tag"],
            },
            "heads": {"tag": {"task": "tag", "output": "$labels", "bias": True}},
            "config": [
                ["vocab_size", "vocab", 201088], ["max_position_embeddings", "context", 131072], ["rms_norm_eps", "eps", 1e-5], ["head_dim", "head_dim", 64],
                ["num_key_value_heads", "kv_heads", 8], ["attention_bias", "bias", {False: "", True: "qkvo"}, True], ["mlp_bias"],
                ["hidden_act", "=", ["silu"]], ["swiglu_limit", "=", [7.0]], ["swiglu_alpha", "=", [1.702]], ["num_local_experts", "experts", 128],
                [["num_experts_per_tok", "experts_per_token"], "top_k", 4], ["sliding_window", "window", "@less_one", 128],
                ["@rope", "position", {"theta": 150000.0, "scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}}],
                ["@layers", "layout", {"types": {"full_attention": "full", "sliding_attention": "sliding"}, "cycle": ["sliding", "full"]}],
            ],
            "weights": [
                ["~layers.{i}.self_attn.sinks", "decoder.layers.{i}.attention.heads.sinks"], ["~layers.{i}.mlp.router.*", "decoder.layers.{i}.ffn.router.*"],
                ["~layers.{i}.mlp.experts.gate_up_proj", ["decoder.layers.{i}.ffn.gate", "decoder.layers.{i}.ffn.up"], "T", "evenodd"],
                ["~layers.{i}.mlp.experts.gate_up_proj_bias", ["decoder.layers.{i}.ffn.gate_bias", "decoder.layers.{i}.ffn.up_bias"], "evenodd"],
                ["~layers.{i}.mlp.experts.down_proj", "decoder.layers.{i}.ffn.down", "T"], ["~layers.{i}.mlp.experts.down_proj_bias", "decoder.layers.{i}.ffn.down_bias"],
                ["score.*", "heads.{classify|tag}.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "gpt-oss-20b": {"recipe": "gpt_oss", "width": 2880, "layers": 24, "heads": 64, "kv_heads": 8, "experts": 32},
    "gpt-oss-120b": {"recipe": "gpt_oss", "width": 2880, "layers": 36, "heads": 64, "kv_heads": 8},
}  # fmt: skip
