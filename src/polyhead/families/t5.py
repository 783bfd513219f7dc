"""T5 v1.0 (Raffel et al. 2020, arXiv 1910.10683): pre-norm RMS, learned distance buckets shared by a stack's layers, scores
that are not scaled, ReLU, no biases, one table for both inputs and, times 1/√width, for the output."""

RECIPES = {
    "t5": {
        "values": {
            "vocab": 32128, "context": 512, "drop": 0.1, "norm": {"kind": "rms", "eps": 1e-6},
            "grouped": {"heads": "$heads", "head_dim": 64, "scale": 1.0},
            "ffn": {"kind": "plain", "act": "relu", "ratio": 4, "bias": False},
        },
        "spec": {
            "family": "t5", "context": "$context", "share_embeddings": True,
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm",
                "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {"heads": "$grouped", "position": {"kind": "buckets", "buckets": 32, "distance": 128, "two_sided": True}},
                    "ffn": "$ffn", "norm": "$norm",
                }},
            },
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm",
                "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {
                        "heads": "$grouped", "pattern": {"kind": "causal"},
                        "position": {"kind": "buckets", "buckets": 32, "distance": 128, "two_sided": False},
                    },
                    "cross": {"heads": "$grouped"}, "ffn": "$ffn", "norm": "$norm",
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": True, "scale": "$root"}},
            "dropout": {"embedding": "$drop", "attention": "$drop", "residual": "$drop", "activation": "$drop", "head": "$drop"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "unigram", "vocab_size": "$vocab"},
        "training": {
            "objective": "seq2seq", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 0.0},
            "schedule": {"kind": "inverse_sqrt", "warmup": 1000},
        },
    },
}  # fmt: skip

PRESETS = {
    "t5-small": {"recipe": "t5", "width": 512, "layers": 6, "heads": 8, "root": 0.04419417382415922},
    "t5-base": {"recipe": "t5", "width": 768, "layers": 12, "heads": 12, "root": 0.03608439182435161},
}
