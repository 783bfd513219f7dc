"""LED (Beltagy et al. 2020, arXiv 2004.05150 §7): BART whose encoder has Longformer's windows and global tokens, with projections of
their own for the global ones; positions start at row 0."""

RECIPES = {
    "led": {
        "base": "bart",
        "values": {
            "source_context": 16384, "encoder_position": {"kind": "learned", "length": "$source_context"}, "position": {"kind": "learned", "length": "$context"},
            "encoder_layout": ["w256"],
            "encoder_blocks": {"w{n}": {
                "attention": {
                    "heads": {"heads": "$heads", "bias": "qkvo"}, "global_heads": True,
                    "pattern": {"kind": "or", "parts": [{"kind": "window", "back": "$n", "ahead": "$n"}, {"kind": "marked", "keys": True, "queries": True}]},
                },
                "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": "$residual",
            }},
        },
        "hf": {
            "types": ["led"], "prefixes": ["led."], "classes": {"LEDForConditionalGeneration": ["lm"], "LEDModel": [], "LEDForQuestionAnswering": ["span"]},
            "config": [
                ["max_position_embeddings"], ["max_encoder_position_embeddings", "source_context", 16384], ["max_decoder_position_embeddings", "context", 1024],
                ["scale_embedding"], ["eos_token_id"], ["@layers", "encoder_layout", {"each": "attention_window", "default": 512, "name": "w{n}", "half": True}],
            ],
            "weights": [
                ["~encoder.layers.{i}.self_attn.longformer_self_attn.{query|key|value}.*", "encoder.layers.{i}.attention.heads.{q|k|v}.*"],
                ["~encoder.layers.{i}.self_attn.longformer_self_attn.{query|key|value}_global.*", "encoder.layers.{i}.attention.global_heads.{q|k|v}.*"],
                ["~encoder.layers.{i}.self_attn.output.*", "encoder.layers.{i}.attention.heads.o.*"],
            ],
        },
    },
    "led-untied": {
        "base": "led", "values": {"shared": False, "tied": False},
        "hf": {
            "when": {"tie_word_embeddings": [False]},
            "weights": [
                ["~shared.weight", "{encoder|decoder}.embed.token", "spare"], ["~{encoder|decoder}.embed_tokens.weight", "{encoder|decoder}.embed.token"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "led-base-16384": {"recipe": "led", "width": 768, "layers": 6, "heads": 12},
    "led-large-16384": {"recipe": "led", "width": 1024, "layers": 12, "heads": 16},
}  # fmt: skip
