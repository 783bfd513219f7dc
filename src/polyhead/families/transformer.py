"""The Transformer of 2017 (Vaswani et al., arXiv 1706.03762, table 3). transformer-nano is in modern.py.

As the paper's formulas have it: projections without biases (§3.2.2), feed-forward with (eq. 2), post-norm, √width on the
token vector, one table for both inputs and the output (§3.4), here of 37,000 shared byte pairs (§5.1). That is exactly
63,045,632 parameters for base and 214,171,648 for big: 63.0 and 214.2 million, where table 3 prints 65 and 213.
"""

RECIPES = {
    "transformer": {
        "values": {
            "vocab": 37000, "context": 512, "norm": {"kind": "layer", "eps": 1e-5}, "residual": {"placement": "post"},
            "embedding": {"vocab": "$vocab", "scale": "$root", "position": {"kind": "sinusoidal", "layout": "pairs"}},
            "grouped": {"heads": "$heads"}, "ffn": {"kind": "plain", "act": "relu", "ratio": 4},
        },
        "spec": {
            "family": "transformer", "context": "$context", "share_embeddings": True,
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "embedding": "$embedding",
                "blocks": {"layer": {"attention": {"heads": "$grouped"}, "ffn": "$ffn", "norm": "$norm", "residual": "$residual"}},
            },
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "embedding": "$embedding",
                "blocks": {"layer": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "causal"}}, "cross": {"heads": "$grouped"},
                    "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": True}},
            "dropout": {"embedding": "$drop", "residual": "$drop"},
            "init": {"kind": "xavier"},
        },
        "tokenizer": {"kind": "bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "seq2seq", "steps": 100000, "batch": 64, "label_smoothing": 0.1,
            "optimizer": {"kind": "adamw", "lr": 1.0, "betas": [0.9, 0.98], "eps": 1e-9, "weight_decay": 0.0},
            "schedule": {"kind": "noam", "d_model": "$width", "warmup": 4000},
        },
    },
}  # fmt: skip

PRESETS = {
    "transformer-base": {"recipe": "transformer", "width": 512, "layers": 6, "heads": 8, "drop": 0.1, "root": 22.627416997969522},
    "transformer-big": {"recipe": "transformer", "width": 1024, "layers": 6, "heads": 16, "drop": 0.3, "root": 32.0},
}
