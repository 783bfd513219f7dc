"""EmbeddingGemma (Schechter Vera et al. 2025, arXiv 2509.20354): Gemma 3 as an encoder. Full layers see the whole text, the others
half the config's window to either side; the mean of the tokens goes through two dense layers to a vector of unit length."""

RECIPES = {
    "embedding_gemma": {
        "base": "gemma3_text",
        "values": {
            "vocab": 262144, "context": 2048, "window": 256,
            "blocks": {
                "sliding": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "window", "back": "$window", "ahead": "$window"}, "position": "$local"},
                    "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
                },
                "full": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "full"}, "position": "$position"}, "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
                },
            },
            "heads_out": {"embed": {"task": "embed", "pool": "mean", "dense": ["@times", "$width", 4], "dense_bias": False, "output": "$width", "normalise": True}},
        },
        "spec": {
            "decoder": None,
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": "$layout", "final_norm": "$norm", "blocks": "$blocks",
                "embedding": {"vocab": "$vocab", "scale": "$embed_scale", "round_scale": "$round_scale"},
            },
            "heads": "$heads_out",
        },
        "training": {"objective": "masked"},
        "hf": {
            "types": ["gemma3_text"], "when": {"use_bidirectional_attention": [True]},
            "classes": {"Gemma3TextModel": [], "Gemma3TextForSequenceClassification": ["classify"]},
            "config": [["sliding_window", "window", "@half", 4096], ["use_bidirectional_attention", "=", [True]]],
            "weights": [
                ["~embed_tokens.weight", "encoder.embed.token"], ["~norm.*", "encoder.final_norm.*"],
                ["~layers.{i}.self_attn.{q|k|v|o}_proj.*", "encoder.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~layers.{i}.self_attn.{q|k}_norm.weight", "encoder.layers.{i}.attention.heads.{q|k}_norm.weight"],
                ["~layers.{i}.mlp.{gate|up|down}_proj.*", "encoder.layers.{i}.ffn.{gate|up|down}.*"],
                ["~layers.{i}.input_layernorm.*", "encoder.layers.{i}.join_attention.ins.0.*"],
                ["~layers.{i}.post_attention_layernorm.*", "encoder.layers.{i}.join_attention.outs.0.*"],
                ["~layers.{i}.pre_feedforward_layernorm.*", "encoder.layers.{i}.join_ffn.ins.0.*"],
                ["~layers.{i}.post_feedforward_layernorm.*", "encoder.layers.{i}.join_ffn.outs.0.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "embeddinggemma-300m": {"recipe": "embedding_gemma", "width": 768, "layers": 24, "heads": 3, "kv_heads": 1, "inner": 1152},
}  # fmt: skip
