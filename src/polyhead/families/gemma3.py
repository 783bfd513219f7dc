"""Gemma 3, text (Gemma Team 2025, arXiv 2503.19786): Gemma 2 without caps, with queries and keys normalised, five layers in a
window for each full one, and rotary angles of their own for the two."""

RECIPES = {
    "gemma3_text": {
        "base": "gemma2",
        "values": {
            "vocab": 262208, "context": 131072, "layout": ["sliding", "sliding", "sliding", "sliding", "sliding", "full"], "window": 1023,
            "softcap": None, "final_cap": None, "qk_norm": "$norm", "theta": 1e6, "local": {"kind": "rotary", "theta": 10000.0},
        },
        "hf": {
            "types": ["gemma3_text", "gemma3"], "when": {"use_bidirectional_attention": [None, False]}, "inside": "text_config", "prefixes": ["model.", "language_model.model.", "model.language_model."],
            "classes": {"Gemma3ForCausalLM": ["lm"], "Gemma3TextModel": [], "Gemma3TextForSequenceClassification": ["classify"]},
            "config": [
                ["vocab_size", "vocab", 262208], ["max_position_embeddings", "context", 131072], ["attn_logit_softcapping"],
                ["final_logit_softcapping", "final_cap", "@null", None],
                ["@rope", "position", {"theta": 1e6, "layers": "full_attention"}],
                ["@rope", "local", {"theta": 10000.0, "layers": "sliding_attention", "keys": ["rope_local_base_freq"], "scaled": False}],
                ["@layers", "layout", {
                    "types": {"full_attention": "full", "sliding_attention": "sliding"},
                    "every": ["sliding_window_pattern", "_sliding_window_pattern"], "default": 6, "phase": 1, "yes": "full", "no": "sliding",
                }],
            ],
            "weights": [
                ["~layers.{i}.self_attn.{q|k}_norm.weight", "decoder.layers.{i}.attention.heads.{q|k}_norm.weight"],
                ["language_model.lm_head.weight", "heads.lm.weight", "also"],
            ],
            "drop": ["vision_tower.*", "model.vision_tower.*", "multi_modal_projector.*", "model.multi_modal_projector.*"],
        },
    },
}  # fmt: skip

PRESETS = {
    "gemma-3-270m": {"recipe": "gemma3_text", "vocab": 262144, "width": 640, "layers": 18, "heads": 4, "kv_heads": 1, "inner": 2048, "context": 32768, "window": 511},
    "gemma-3-1b": {"recipe": "gemma3_text", "vocab": 262144, "width": 1152, "layers": 26, "heads": 4, "kv_heads": 1, "inner": 6912, "context": 32768, "window": 511},
    "gemma-3-4b": {
        "recipe": "gemma3_text", "width": 2560, "layers": 34, "heads": 8, "kv_heads": 4, "inner": 10240,
        "position": {"kind": "rotary", "theta": 1e6, "scaling": {"kind": "linear", "factor": 8.0}},
    },
    "gemma-3-12b": {
        "recipe": "gemma3_text", "width": 3840, "layers": 48, "heads": 16, "kv_heads": 8, "inner": 15360, "position": {"kind": "rotary", "theta": 1e6, "scaling": {"kind": "linear", "factor": 8.0}},
    },
    "gemma-3-27b": {
        "recipe": "gemma3_text", "width": 5376, "layers": 62, "heads": 32, "kv_heads": 16, "head_dim": 128, "inner": 21504, "scale": ["@rsqrt", 168], "position": {"kind": "rotary", "theta": 1e6, "scaling": {"kind": "linear", "factor": 8.0}},
    },
}  # fmt: skip
