"""Gemma 2 (Gemma Team 2024, arXiv 2408.00118): Gemma with norms before and after each sublayer, every other layer in a window of
4096, scores capped at 50 and logits at 30, and a score scale of its own."""

RECIPES = {
    "gemma2": {
        "base": "gemma",
        "values": {
            "layout": ["sliding", "full"], "window": 4095, "scale": 0.0625, "softcap": 50.0, "final_cap": 30.0, "residual": {"placement": "sandwich"},
            "local": {"kind": "rotary", "theta": "$theta"},
            "blocks": {
                "sliding": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "window", "back": "$window"}, "position": "$local"},
                    "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
                },
                "full": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "causal"}, "position": "$position"}, "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
                },
            },
        },
        "spec": {"heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied", "softcap": "$final_cap"}}},
        "hf": {
            "types": ["gemma2"],
            "classes": {
                "Gemma2ForCausalLM": ["lm"], "Gemma2Model": [], "Gemma2ForSequenceClassification": ["classify"], "Gemma2ForTokenClassification": ["tag"],
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied", "softcap": "$final_cap"}},
            "config": [
                ["sliding_window", "window", "@less_one", 4096], ["query_pre_attn_scalar", "scale", "@rsqrt", 256],
                ["attn_logit_softcapping", "softcap", "@null", {"absent": 50.0}], ["final_logit_softcapping", "final_cap", "@null", {"absent": 30.0}],
                ["hidden_act"], ["hidden_activation", "act", {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu_tanh"}, "gelu_pytorch_tanh"],
                ["num_key_value_heads", "kv_heads", 4], ["@rope", "local", {}],
                ["@layers", "layout", {"types": {"full_attention": "full", "sliding_attention": "sliding"}, "cycle": ["sliding", "full"]}],
            ],
            "weights": [
                ["~layers.{i}.post_attention_layernorm.*", "decoder.layers.{i}.join_attention.outs.0.*"],
                ["~layers.{i}.pre_feedforward_layernorm.*", "decoder.layers.{i}.join_ffn.ins.0.*"],
                ["~layers.{i}.post_feedforward_layernorm.*", "decoder.layers.{i}.join_ffn.outs.0.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "gemma-2-2b": {"recipe": "gemma2", "width": 2304, "layers": 26, "heads": 8, "kv_heads": 4, "inner": 9216},
    "gemma-2-9b": {"recipe": "gemma2", "width": 3584, "layers": 42, "heads": 16, "kv_heads": 8, "inner": 14336},
    "gemma-2-27b": {
        "recipe": "gemma2", "width": 4608, "layers": 46, "heads": 32, "kv_heads": 16, "head_dim": 128, "inner": 36864, "scale": 0.08333333333333333,
    },
}  # fmt: skip
