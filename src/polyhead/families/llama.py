"""LLaMA: LLaMA (Touvron et al. 2023, arXiv 2302.13971), Llama 2 (arXiv 2307.09288), Llama 3 (arXiv 2407.21783):
pre-norm RMS, SwiGLU, rotary, no biases, an untied output matrix. Of the same form: TinyLlama (arXiv 2401.02385), DeepSeek LLM
(arXiv 2401.02954). llama-nano is the same recipe at a CPU size.
"""

RECIPES = {
    "llama": {
        "values": {
            "vocab": 32000, "context": 2048, "kv_heads": None, "head_dim": None, "bias": "", "qk_norm": None, "scale": None, "softcap": None,
            "grouped": {
                "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias", "qk_norm": "$qk_norm",
                "scale": "$scale", "softcap": "$softcap",
            },
            "theta": 10000.0, "position": {"kind": "rotary", "theta": "$theta"}, "pattern": {"kind": "causal"},
            "act": "silu", "ffn_bias": False, "ffn": {"kind": "gated", "act": "$act", "inner": "$inner", "bias": "$ffn_bias"},
            "eps": 1e-5, "norm": {"kind": "rms", "eps": "$eps"}, "residual": {"placement": "pre"}, "layout": ["layer"],
            "blocks": {"layer": {
                "attention": {"heads": "$grouped", "pattern": "$pattern", "position": "$position"}, "ffn": "$ffn", "norm": "$norm", "residual": "$residual",
            }},
            "embed_scale": 1.0, "round_scale": False, "tied": False, "labels": 2, "lr": 3e-4, "drop": 0.0,
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": "$layout", "final_norm": "$norm", "blocks": "$blocks",
                "embedding": {"vocab": "$vocab", "scale": "$embed_scale", "round_scale": "$round_scale"},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}},
            "init": {"kind": "normal", "std": 0.02, "residual": True}, "dropout": {"attention": "$drop"},
        },
        "tokenizer": {"kind": "sentencepiece", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.02, "final": 0.1},
        },
        "hf": {
            "types": ["llama"], "prefixes": ["model.", "transformer."], "class_prefix": {"LlamaForQuestionAnswering": "transformer."},
            "classes": {
                "LlamaForCausalLM": ["lm"], "LlamaModel": [], "LlamaForSequenceClassification": ["classify"], "LlamaForTokenClassification": ["tag"],
                "LlamaForQuestionAnswering": ["span"],
            },
            "heads": {
                "lm": {"task": "lm", "output": "$vocab", "tied": "$tied"},
                "classify": {"task": "classify", "pool": "last", "output": "$labels"}, "tag": {"task": "tag", "output": "$labels", "bias": True},
                "span": {"task": "span", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 32000], ["hidden_size", "width"], ["num_hidden_layers", "layers"], ["num_attention_heads", "heads"],
                ["num_key_value_heads", "kv_heads", "$heads"], ["head_dim", "head_dim", ["@over", "$width", "$heads"]],
                ["intermediate_size", "inner"], ["max_position_embeddings", "context", 2048], ["rms_norm_eps", "eps", 1e-6],
                ["hidden_act", "act", {"silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}, "silu"],
                ["attention_bias", "bias", {False: "", True: "qkvo"}, False], ["mlp_bias", "ffn_bias", False],
                ["tie_word_embeddings", "tied", False], ["attention_dropout", "drop", 0.0], ["@rope", "position", {}], ["@labels", "labels"],
            ],
            "weights": [
                ["~embed_tokens.weight", "decoder.embed.token"], ["~norm.*", "decoder.final_norm.*"],
                ["~layers.{i}.self_attn.{q|k|v|o}_proj.*", "decoder.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~layers.{i}.mlp.{gate|up|down}_proj.*", "decoder.layers.{i}.ffn.{gate|up|down}.*"],
                ["~layers.{i}.input_layernorm.*", "decoder.layers.{i}.join_attention.ins.0.*"],
                ["~layers.{i}.post_attention_layernorm.*", "decoder.layers.{i}.join_ffn.ins.0.*"],
                ["lm_head.weight", "heads.lm.weight"], ["score.*", "heads.{classify|tag}.*"], ["qa_outputs.*", "heads.span.*"],
            ],
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
    "llama-30b": {"recipe": "llama", "width": 6656, "layers": 60, "heads": 52, "inner": 17920, "eps": 1e-6, "lr": 1.5e-4},
    "llama-65b": {"recipe": "llama", "width": 8192, "layers": 80, "heads": 64, "inner": 22016, "lr": 1.5e-4},
    "llama-2-7b": {"recipe": "llama", "width": 4096, "layers": 32, "heads": 32, "inner": 11008, "context": 4096},
    "llama-2-13b": {"recipe": "llama", "width": 5120, "layers": 40, "heads": 40, "inner": 13824, "context": 4096},
    "llama-2-70b": {
        "recipe": "llama", "width": 8192, "layers": 80, "heads": 64, "kv_heads": 8, "inner": 28672, "context": 4096, "lr": 1.5e-4,
    },
    "llama-3-8b": {
        "recipe": "llama", "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336, "context": 8192,
        "vocab": 128256, "theta": 500000.0, "tokenizer": {"kind": "byte_bpe"},
    },
    "llama-3-70b": {
        "recipe": "llama", "width": 8192, "layers": 80, "heads": 64, "kv_heads": 8, "inner": 28672, "context": 8192,
        "vocab": 128256, "theta": 500000.0, "tokenizer": {"kind": "byte_bpe"}, "lr": 1.5e-4,
    },
    "llama-3.1-8b": {
        "recipe": "llama", "vocab": 128256, "width": 4096, "layers": 32, "heads": 32, "kv_heads": 8, "inner": 14336, "context": 131072, "position": {"kind": "rotary", "theta": 500000.0, "scaling": {"kind": "llama3", "factor": 8.0, "original": 8192}}, "tokenizer": {"kind": "byte_bpe"},
    },
    "llama-3.1-70b": {
        "recipe": "llama", "vocab": 128256, "width": 8192, "layers": 80, "heads": 64, "kv_heads": 8, "inner": 28672, "context": 131072, "position": {"kind": "rotary", "theta": 500000.0, "scaling": {"kind": "llama3", "factor": 8.0, "original": 8192}}, "tokenizer": {"kind": "byte_bpe"},
    },
    "llama-3.1-405b": {
        "recipe": "llama", "vocab": 128256, "width": 16384, "layers": 126, "heads": 128, "kv_heads": 8, "inner": 53248, "context": 131072, "position": {"kind": "rotary", "theta": 500000.0, "scaling": {"kind": "llama3", "factor": 8.0, "original": 8192}}, "tokenizer": {"kind": "byte_bpe"}, "lr": 8e-5,
    },
    "llama-3.2-1b": {
        "recipe": "llama", "vocab": 128256, "width": 2048, "layers": 16, "heads": 32, "kv_heads": 8, "inner": 8192, "tied": True, "context": 131072, "position": {"kind": "rotary", "theta": 500000.0, "scaling": {"kind": "llama3", "factor": 32.0, "original": 8192}}, "tokenizer": {"kind": "byte_bpe"},
    },
    "llama-3.2-3b": {
        "recipe": "llama", "vocab": 128256, "width": 3072, "layers": 28, "heads": 24, "kv_heads": 8, "inner": 8192, "tied": True, "context": 131072, "position": {"kind": "rotary", "theta": 500000.0, "scaling": {"kind": "llama3", "factor": 32.0, "original": 8192}}, "tokenizer": {"kind": "byte_bpe"},
    },
    "llama-3.3-70b": {
        "recipe": "llama", "vocab": 128256, "width": 8192, "layers": 80, "heads": 64, "kv_heads": 8, "inner": 28672, "context": 131072, "position": {"kind": "rotary", "theta": 500000.0, "scaling": {"kind": "llama3", "factor": 8.0, "original": 8192}}, "tokenizer": {"kind": "byte_bpe"},
    },
    "tinyllama-1.1b": {"recipe": "llama", "width": 2048, "layers": 22, "heads": 32, "kv_heads": 4, "inner": 5632, "lr": 4e-4},
    "deepseek-llm-7b": {
        "recipe": "llama", "vocab": 102400, "width": 4096, "layers": 30, "heads": 32, "inner": 11008, "context": 4096, "eps": 1e-6, "lr": 4.2e-4, "tokenizer": {"kind": "byte_bpe"},
    },
    "deepseek-llm-67b": {
        "recipe": "llama", "vocab": 102400, "width": 8192, "layers": 95, "heads": 64, "kv_heads": 8, "inner": 22016, "context": 4096, "eps": 1e-6, "lr": 3.2e-4, "tokenizer": {"kind": "byte_bpe"},
    },
}  # fmt: skip
