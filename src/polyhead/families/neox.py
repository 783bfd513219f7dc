"""GPT-NeoX and Pythia (Black et al. 2022, arXiv 2204.06745; Biderman et al. 2023, arXiv 2304.01373): attention and feed-forward
side by side after a norm each, a quarter of each head rotated, an untied output matrix."""

RECIPES = {
    "gpt_neox": {
        "values": {
            "vocab": 50432, "context": 2048, "bias": "qkvo", "act": "gelu", "eps": 1e-5, "norm": {"kind": "layer", "eps": "$eps"},
            "parallel": "two_norms", "position": {"kind": "rotary", "theta": 10000.0, "dim": ["@over", ["@over", "$width", "$heads"], 4]},
            "tied": False, "labels": 2, "drop": 0.0, "drop_attention": 0.0, "lr": 6e-4,
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm", "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {"heads": {"heads": "$heads", "bias": "$bias"}, "pattern": {"kind": "causal"}, "position": "$position"},
                    "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": {"placement": "pre", "parallel": "$parallel"},
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}},
            "dropout": {"embedding": "$drop", "residual": "$drop", "attention": "$drop_attention"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.01, "final": 0.1},
        },
        "hf": {
            "types": ["gpt_neox"], "prefixes": ["gpt_neox."],
            "classes": {
                "GPTNeoXForCausalLM": ["lm"], "GPTNeoXModel": [], "GPTNeoXForSequenceClassification": ["classify"],
                "GPTNeoXForTokenClassification": ["tag"], "GPTNeoXForQuestionAnswering": ["span"],
            },
            "heads": {
                "lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}, "classify": {"task": "classify", "pool": "last", "output": "$labels"},
                "tag": {"task": "tag", "output": "$labels", "bias": True}, "span": {"task": "span", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 50432], ["hidden_size", "width", 6144], ["num_hidden_layers", "layers", 44], ["num_attention_heads", "heads", 64],
                ["intermediate_size", "inner", 24576], ["max_position_embeddings", "context", 2048], ["layer_norm_eps", "eps", 1e-5],
                ["hidden_act", "act", {"gelu": "gelu", "gelu_fast": "gelu_tanh", "gelu_new": "gelu_tanh", "relu": "relu"}, "gelu"],
                ["use_parallel_residual", "parallel", {True: "two_norms", False: "no"}, True], ["attention_bias", "bias", {True: "qkvo", False: ""}, True],
                ["tie_word_embeddings", "tied", False], ["hidden_dropout", "drop", 0.0], ["attention_dropout", "drop_attention", 0.0],
                ["@rope", "position", {"keys": ["rotary_emb_base", "rope_theta"], "fraction": 0.25, "fraction_keys": ["rotary_pct", "partial_rotary_factor"], "rotated": ["@over", "$width", "$heads"]}],
                ["@labels", "labels"],
            ],
            "weights": [
                ["~embed_in.weight", "decoder.embed.token"], ["~final_layer_norm.*", "decoder.final_norm.*"],
                ["embed_out.weight", "heads.lm.weight"],
                ["~layers.{i}.attention.query_key_value.*", ["decoder.layers.{i}.attention.heads.q.*", "decoder.layers.{i}.attention.heads.k.*", "decoder.layers.{i}.attention.heads.v.*"], "groups"],
                ["~layers.{i}.attention.dense.*", "decoder.layers.{i}.attention.heads.o.*"], ["~layers.{i}.input_layernorm.*", "decoder.layers.{i}.join_attention.ins.0.*"],
                ["~layers.{i}.post_attention_layernorm.*", "decoder.layers.{i}.{join_attention.ins.1|join_ffn.ins.0}.*"],
                ["~layers.{i}.mlp.{dense_h_to_4h|dense_4h_to_h}.*", "decoder.layers.{i}.ffn.{up|down}.*"],
                ["score.weight", "heads.classify.weight"], ["classifier.*", "heads.tag.*"], ["qa_outputs.*", "heads.span.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "pythia-14m": {"recipe": "gpt_neox", "vocab": 50304, "width": 128, "layers": 6, "heads": 4, "inner": 512, "lr": 1e-3},
    "pythia-31m": {"recipe": "gpt_neox", "vocab": 50304, "width": 256, "layers": 6, "heads": 8, "inner": 1024, "lr": 1e-3},
    "pythia-70m": {"recipe": "gpt_neox", "vocab": 50304, "width": 512, "layers": 6, "heads": 8, "inner": 2048, "lr": 1e-3},
    "pythia-160m": {"recipe": "gpt_neox", "vocab": 50304, "width": 768, "layers": 12, "heads": 12, "inner": 3072},
    "pythia-410m": {"recipe": "gpt_neox", "vocab": 50304, "width": 1024, "layers": 24, "heads": 16, "inner": 4096, "lr": 3e-4},
    "pythia-1b": {"recipe": "gpt_neox", "vocab": 50304, "width": 2048, "layers": 16, "heads": 8, "inner": 8192, "lr": 3e-4},
    "pythia-1.4b": {"recipe": "gpt_neox", "vocab": 50304, "width": 2048, "layers": 24, "heads": 16, "inner": 8192, "lr": 2e-4},
    "pythia-2.8b": {"recipe": "gpt_neox", "vocab": 50304, "width": 2560, "layers": 32, "heads": 32, "inner": 10240, "lr": 1.6e-4},
    "pythia-6.9b": {"recipe": "gpt_neox", "vocab": 50432, "width": 4096, "layers": 32, "heads": 32, "inner": 16384, "lr": 1.2e-4},
    "pythia-12b": {"recipe": "gpt_neox", "vocab": 50688, "width": 5120, "layers": 36, "heads": 40, "inner": 20480, "lr": 1.2e-4},
    "gpt-neox-20b": {"recipe": "gpt_neox", "width": 6144, "layers": 44, "heads": 64, "inner": 24576, "act": "gelu_tanh", "lr": 1e-4},
}  # fmt: skip
