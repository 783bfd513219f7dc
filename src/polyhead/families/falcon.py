"""Falcon 7B (Almazrouei et al. 2023, arXiv 2311.16867): attention and feed-forward side by side after one norm, 71 query
heads over one key/value head, rotary, no biases but the norms', a tied output matrix."""

RECIPES = {
    "falcon": {
        "values": {"norm": {"kind": "layer", "eps": 1e-5}},
        "spec": {
            "family": "falcon", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm",
                "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {
                        "heads": {"heads": "$heads", "kv_heads": "$kv_heads"},
                        "pattern": {"kind": "causal"}, "position": {"kind": "rotary", "theta": 10000.0},
                    },
                    "ffn": {"kind": "plain", "act": "gelu", "ratio": 4, "bias": False},
                    "norm": "$norm", "residual": {"placement": "pre", "parallel": "one_norm"},
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": True}},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": 6e-4, "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.02, "final": 0.1},
        },
    },
}  # fmt: skip

PRESETS = {
    "falcon-7b": {"recipe": "falcon", "width": 4544, "layers": 32, "heads": 71, "kv_heads": 1, "vocab": 65024, "context": 2048},
}
