"""GPT: GPT-2 (Radford et al. 2019) and GPT-3 (Brown et al. 2020, arXiv 2005.14165). The CPU sizes are in modern.py.

GPT-3 alternates dense and locally banded layers "similar to the Sparse Transformer" (§2.1) and does not publish the
band's width: 128 tokens here, the stride of the Sparse Transformer's text model (Child et al. 2019, arXiv 1904.10509
§7). Learning rates are those of table 2.1 of the GPT-3 paper for the nearest size.
"""

RECIPES = {
    "gpt2": {
        "values": {
            "vocab": 50257, "context": 1024, "drop": 0.1, "layout": ["layer"], "family": "gpt2",
            "blocks": {"layer": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}}, "ffn": "$ffn", "norm": "$norm"}},
            "grouped": {"heads": "$heads", "bias": "qkvo"},
            "ffn": {"kind": "plain", "act": "gelu_tanh", "ratio": 4},
            "norm": {"kind": "layer", "eps": 1e-5},
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "blocks": "$blocks", "layout": "$layout", "final_norm": "$norm",
                "embedding": {"vocab": "$vocab", "position": {"kind": "learned", "length": "$context"}},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": True}},
            "dropout": {"embedding": "$drop", "attention": "$drop", "residual": "$drop"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.02, "final": 0.1},
        },
    },
}  # fmt: skip

PRESETS = {
    "gpt2": {"recipe": "gpt2", "width": 768, "layers": 12, "heads": 12, "lr": 6e-4},
    "gpt2-medium": {"recipe": "gpt2", "width": 1024, "layers": 24, "heads": 16, "lr": 3e-4},
    "gpt2-large": {"recipe": "gpt2", "width": 1280, "layers": 36, "heads": 20, "lr": 2.5e-4},
    "gpt2-xl": {"recipe": "gpt2", "width": 1600, "layers": 48, "heads": 25, "lr": 2e-4},
    "gpt3": {
        "recipe": "gpt2", "family": "gpt3", "width": 12288, "layers": 96, "heads": 96, "context": 2048, "drop": 0.0, "lr": 6e-5,
        "layout": ["dense", "banded"],
        "blocks": {
            "dense": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}}, "ffn": "$ffn", "norm": "$norm"},
            "banded": {"attention": {"heads": "$grouped", "pattern": {"kind": "window", "back": 127}}, "ffn": "$ffn", "norm": "$norm"},
        },
    },
}  # fmt: skip

UNPUBLISHED = {
    "gpt-4": "its technical report (arXiv 2303.08774, §2) gives no details about the architecture",
    "gpt-3.5": "no paper or report describes it",
}
