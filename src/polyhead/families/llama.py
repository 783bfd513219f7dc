"""LLaMA: LLaMA (Touvron et al. 2023, arXiv 2302.13971), Llama 2 (arXiv 2307.09288), Llama 3 (arXiv 2407.21783), and
Mistral 7B (Jiang et al. 2023, arXiv 2310.06825): pre-norm RMS, SwiGLU, rotary, no biases, an untied output matrix.

Mistral's window of 4096 counts the token itself: 4095 others behind it. llama-nano is the same recipe at a CPU size.
"""

RECIPES = {
    "llama": {
        "values": {
            "family": "llama", "vocab": 32000, "context": 2048, "kv_heads": None, "theta": 10000.0,
            "norm": {"kind": "rms", "eps": "$eps"}, "eps": 1e-5, "pattern": {"kind": "causal"}, "lr": 3e-4,
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm",
                "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {
                        "heads": {"heads": "$heads", "kv_heads": "$kv_heads"}, "pattern": "$pattern",
                        "position": {"kind": "rotary", "theta": "$theta"},
                    },
                    "ffn": {"kind": "gated", "act": "silu", "inner": "$inner"},
                    "norm": "$norm",
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab"}},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "sentencepiece", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.02, "final": 0.1},
        },
    },
}  # fmt: skip

PRESETS = {
    "llama-nano": {
        "recipe": "llama", "vocab": 2048, "width": 128, "layers": 4, "heads": 4, "kv_heads": 2, "inner": 344, "context": 256,
        "lr": 3e-3, "tokenizer": {"kind": "byte_bpe"}, "training": {"steps": 1000, "batch": 16},
    },
    "llama-7b": {"recipe": "llama", "width": 4096, "layers": 32, "heads": 32, "inner": 11008, "eps": 1e-6},
    "llama-13b": {"recipe": "llama", "width": 5120, "layers": 40, "heads": 40, "inner": 13824, "eps": 1e-6},
    "llama-2-70b": {
        "recipe": "llama", "width": 8192, "layers": 80, "heads": 64, "kv_heads": 8, "inner": 28672, "context": 4096, "lr": 1.5e-4,
    },
    "llama-3-8b": {
        "recipe": "llama", "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336, "context": 8192,
        "vocab": 128256, "theta": 500000.0, "tokenizer": {"kind": "byte_bpe"},
    },
    "mistral-7b": {
        "recipe": "llama", "family": "mistral", "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336,
        "context": 32768, "pattern": {"kind": "window", "back": 4095},
    },
}  # fmt: skip
