"""Our own recipe at CPU sizes, in all three shapes: gpt-nano, -micro, -mini; bert-nano; transformer-nano.

RMS norms without parameters, on queries and keys too; rotary positions; ReLU² (Primer, arXiv 2109.08668); matrices that
write into the stream start at zero, so that every block starts as the identity; value (arXiv 2410.17897) and x₀ residuals
(modded-nanoGPT); capped logits (Gemma 2, arXiv 2408.00118 §2); Muon for hidden matrices, AdamW for the rest. A fresh
model's loss is exactly ln(vocabulary). With unit queries and keys, scale · head_dim = 12.8 is the largest score: a sharper
start than head_dim^−½ learns faster, as do momentum 0.9 and a long cool-down (tiny shakespeare). gpt-nano reads raw bytes: 853,769 parameters, 803,081 with 65 characters.
"""

RECIPES = {
    "modern": {
        "values": {
            "context": 256, "encoder": None, "decoder": None, "shared": False, "steps": 1000, "batch": 16, "kind": "byte_bpe",
            "norm": {"kind": "rms", "gain": "none"},
            "embedding": {"vocab": "$vocab", "norm": "$norm"},
            "scale": 0.4, "grouped": {"heads": "$heads", "qk_norm": "$norm", "scale": "$scale"},
            "rotary": {"kind": "rotary", "theta": 1000.0},
            "ffn": {"kind": "plain", "act": "relu2", "ratio": 4, "bias": False},
            "residual": {"placement": "pre", "values": True, "x0": True},
            "reads": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "embedding": "$embedding", "final_norm": "$norm",
                "blocks": {"layer": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "full"}, "position": "$rotary"},
                    "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
                }},
            },
            "writes": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "embedding": "$embedding", "final_norm": "$norm",
                "blocks": {"layer": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "causal"}, "position": "$rotary"},
                    "cross": "$cross", "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
                }},
            },
            "cross": None, "looks": {"heads": "$grouped"},
            "out": {"lm": {"task": "lm", "output": "$vocab", "softcap": 30.0}},
            "fill": {"mlm": {"task": "mlm", "output": "$vocab", "softcap": 30.0}},
        },
        "spec": {
            "family": "$family", "context": "$context", "encoder": "$encoder", "decoder": "$decoder", "share_embeddings": "$shared",
            "heads": "$out", "init": {"kind": "zero_out"},
        },
        "tokenizer": {"kind": "$kind", "vocab_size": "$vocab"},
        "training": {
            "objective": "$objective", "steps": "$steps", "batch": "$batch",
            "optimizer": {"kind": "muon", "lr": 0.03, "momentum": 0.9, "adamw": {"lr": 0.01, "betas": [0.8, 0.95], "eps": 1e-10, "weight_decay": 0.0, "embedding_scale": 3.0}},
            "schedule": {"kind": "wsd", "warmup": 10, "cooldown": 0.8},
        },
    },
}  # fmt: skip

PRESETS = {
    "gpt-nano": {
        "recipe": "modern", "family": "gpt", "objective": "causal", "decoder": "$writes", "vocab": 263, "width": 128, "layers": 4, "heads": 4,
        "tokenizer": {"kind": "bytes", "vocab_size": None},
    },
    "gpt-micro": {
        "recipe": "modern", "family": "gpt", "objective": "causal", "decoder": "$writes", "vocab": 2048, "width": 192, "layers": 6, "heads": 6, "steps": 1500,
    },
    "gpt-mini": {
        "recipe": "modern", "family": "gpt", "objective": "causal", "decoder": "$writes", "vocab": 4096, "width": 384, "layers": 6, "heads": 6, "scale": 0.2, "steps": 2000,
    },
    "bert-nano": {
        "recipe": "modern", "family": "encoder", "objective": "masked", "encoder": "$reads", "out": "$fill", "vocab": 2048,
        "width": 128, "layers": 4, "heads": 4, "steps": 1500,
    },
    "transformer-nano": {
        "recipe": "modern", "family": "seq2seq", "objective": "seq2seq", "encoder": "$reads", "decoder": "$writes", "cross": "$looks",
        "shared": True, "vocab": 2048, "width": 128, "layers": 3, "heads": 4, "steps": 2000, "batch": 64,
    },
}  # fmt: skip
