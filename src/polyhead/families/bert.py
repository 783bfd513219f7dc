"""BERT (Devlin et al. 2019, arXiv 1810.04805) and its kin: RoBERTa (arXiv 1907.11692), ALBERT v2 (arXiv 1909.11942),
DistilBERT (arXiv 1910.01108), the ELECTRA discriminator (arXiv 2003.10555). bert-nano is in modern.py.

Heads are those of the published base models: BERT's pooler where the model has one, else the hidden states. The masked
language model's head is put on by `for_objective`.
"""

RECIPES = {
    "bert": {
        "values": {
            "family": "bert", "vocab": 30522, "context": 512, "offset": 0, "types": 2, "table": None, "project": "none",
            "act": "gelu", "drop": 0.1, "lr": 1e-4, "sharing": {"kind": "none"}, "norm": {"kind": "layer", "eps": "$eps"}, "eps": 1e-12,
            "heads_out": {"pooler": {"task": "pool", "pool": "first", "dense": "$width", "act": "tanh"}},
            "states": {"states": {"task": "embed"}},
        },
        "spec": {
            "family": "$family", "context": "$context",
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "sharing": "$sharing",
                "embedding": {
                    "vocab": "$vocab", "width": "$table", "project": "$project", "types": "$types", "norm": "$norm",
                    "position": {"kind": "learned", "length": "$context", "offset": "$offset"},
                },
                "blocks": {"layer": {
                    "attention": {"heads": {"heads": "$heads", "bias": "qkvo"}},
                    "ffn": {"kind": "plain", "act": "$act", "ratio": 4},
                    "norm": "$norm", "residual": {"placement": "post"},
                }},
            },
            "heads": "$heads_out",
            "dropout": {"embedding": "$drop", "attention": "$drop", "residual": "$drop"},
            "init": {"kind": "normal", "std": 0.02, "residual": False},
        },
        "tokenizer": {"kind": "wordpiece", "vocab_size": "$vocab"},
        "training": {
            "objective": "masked", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.999], "eps": 1e-6, "weight_decay": 0.01},
            "schedule": {"kind": "linear", "warmup": 0.1},
        },
    },
}  # fmt: skip

PRESETS = {
    "bert-base": {"recipe": "bert", "width": 768, "layers": 12, "heads": 12},
    "bert-large": {"recipe": "bert", "width": 1024, "layers": 24, "heads": 16},
    "roberta-base": {
        "recipe": "bert", "family": "roberta", "width": 768, "layers": 12, "heads": 12, "vocab": 50265, "offset": 2,
        "types": 1, "eps": 1e-5, "tokenizer": {"kind": "byte_bpe"},
    },
    "albert-base-v2": {
        "recipe": "bert", "family": "albert", "width": 768, "layers": 12, "heads": 12, "vocab": 30000, "table": 128, "project": "sum",
        "act": "gelu_tanh", "drop": 0.0, "sharing": {"kind": "groups", "groups": 1}, "tokenizer": {"kind": "unigram"},
    },
    "albert-xxlarge-v2": {
        "recipe": "bert", "family": "albert", "width": 4096, "layers": 12, "heads": 64, "vocab": 30000, "table": 128, "project": "sum",
        "act": "gelu_tanh", "drop": 0.0, "sharing": {"kind": "groups", "groups": 1}, "lr": 3e-5, "tokenizer": {"kind": "unigram"},
    },
    "distilbert-base": {
        "recipe": "bert", "family": "distilbert", "width": 768, "layers": 6, "heads": 12, "types": 0, "heads_out": "$states",
    },
    "electra-small": {
        "recipe": "bert", "family": "electra", "width": 256, "layers": 12, "heads": 4, "table": 128, "project": "sum",
        "heads_out": "$states", "lr": 5e-4,
    },
    "electra-base": {"recipe": "bert", "family": "electra", "width": 768, "layers": 12, "heads": 12, "heads_out": "$states", "lr": 2e-4},
}  # fmt: skip
