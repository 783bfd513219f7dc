"""OPT (Zhang et al. 2022, arXiv 2205.01068): GPT with ReLU and positions that start at row 2; the 350m model is post-norm, with a
narrower table projected in and out."""

RECIPES = {
    "opt": {
        "values": {
            "vocab": 50272, "context": 2048, "bias": "qkvo", "ffn_bias": ["@differ", "$bias", "", True, False], "act": "relu", "gain": True, "placement": "pre", "table": "$width",
            "norm": {"kind": "layer", "gain": "$gain", "bias": "$gain"}, "final": ["@differ", "$placement", "post", "$norm", None], "project": ["@differ", "$table", "$width", "token", "none"],
            "out": ["@differ", "$table", "$width", "$table", None], "tied": True, "labels": 2, "drop": 0.1, "drop_attention": 0.0, "lr": 6e-4,
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$final",
                "embedding": {
                    "vocab": "$vocab", "width": ["@differ", "$table", "$width", "$table", None], "project": "$project",
                    "position": {"kind": "learned", "length": "$context", "offset": 2},
                },
                "blocks": {"layer": {
                    "attention": {"heads": {"heads": "$heads", "bias": "$bias"}, "pattern": {"kind": "causal"}},
                    "ffn": {"kind": "plain", "act": "$act", "inner": "$inner", "bias": "$ffn_bias"}, "norm": "$norm", "residual": {"placement": "$placement"},
                }},
            },
            "heads": {"lm": {"task": "lm", "dense": "$out", "dense_bias": False, "output": "$vocab", "tied": "$tied"}},
            "dropout": {"embedding": "$drop", "residual": "$drop", "attention": "$drop_attention"},
            "init": {"kind": "normal", "std": 0.006, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "linear", "warmup": 0.01},
        },
        "hf": {
            "types": ["opt"], "prefixes": ["model."],
            "classes": {"OPTForCausalLM": ["lm"], "OPTModel": [], "OPTForSequenceClassification": ["classify"], "OPTForQuestionAnswering": ["span"]},
            "heads": {
                "lm": {"task": "lm", "dense": "$out", "dense_bias": False, "output": "$vocab", "tied": "$tied"},
                "classify": {"task": "classify", "pool": "last", "dense": "$out", "dense_bias": False, "output": "$labels"},
                "span": {"task": "span", "dense": "$out", "dense_bias": False, "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 50272], ["hidden_size", "width", 768], ["num_hidden_layers", "layers", 12], ["num_attention_heads", "heads", 12],
                ["ffn_dim", "inner", 3072], ["max_position_embeddings", "context", 2048], ["word_embed_proj_dim", "table", "$width"],
                ["activation_function", "act", {"relu": "relu", "gelu": "gelu", "gelu_new": "gelu_tanh"}, "relu"],
                ["do_layer_norm_before", "placement", {True: "pre", False: "post"}, True], ["enable_bias", "bias", {True: "qkvo", False: ""}, True],
                ["layer_norm_elementwise_affine", "gain", True], ["_remove_final_layer_norm", "=", [False]], ["tie_word_embeddings", "tied", True],
                ["dropout", "drop", 0.1], ["attention_dropout", "drop_attention", 0.0], ["@labels", "labels"],
            ],
            "weights": [
                ["~decoder.embed_tokens.weight", "decoder.embed.token"], ["~decoder.embed_positions.weight", "decoder.embed.position.weight"],
                ["~decoder.project_in.weight", "decoder.embed.project.weight"], ["~decoder.project_out.weight", "heads.{lm|classify|span}.dense.weight"],
                ["~decoder.final_layer_norm.*", "decoder.final_norm.*"],
                ["~decoder.layers.{i}.self_attn.{q|k|v|out}_proj.*", "decoder.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~decoder.layers.{i}.self_attn_layer_norm.*", "decoder.layers.{i}.join_attention.{ins.0|after}.*"],
                ["~decoder.layers.{i}.final_layer_norm.*", "decoder.layers.{i}.join_ffn.{ins.0|after}.*"],
                ["~decoder.layers.{i}.{fc1|fc2}.*", "decoder.layers.{i}.ffn.{up|down}.*"],
                ["lm_head.weight", "heads.lm.weight"], ["score.weight", "heads.classify.weight"], ["qa_outputs.*", "heads.span.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "opt-125m": {"recipe": "opt", "width": 768, "layers": 12, "heads": 12, "inner": 3072},
    "opt-350m": {"recipe": "opt", "width": 1024, "table": 512, "layers": 24, "heads": 16, "inner": 4096, "placement": "post", "lr": 3e-4},
    "opt-1.3b": {"recipe": "opt", "width": 2048, "layers": 24, "heads": 32, "inner": 8192, "lr": 2e-4},
    "opt-2.7b": {"recipe": "opt", "width": 2560, "layers": 32, "heads": 32, "inner": 10240, "lr": 1.6e-4},
    "opt-6.7b": {"recipe": "opt", "width": 4096, "layers": 32, "heads": 32, "inner": 16384, "lr": 1.2e-4},
    "opt-13b": {"recipe": "opt", "width": 5120, "layers": 40, "heads": 40, "inner": 20480, "lr": 1e-4},
    "opt-30b": {"recipe": "opt", "width": 7168, "layers": 48, "heads": 56, "inner": 28672, "lr": 1e-4},
    "opt-66b": {"recipe": "opt", "width": 9216, "layers": 64, "heads": 72, "inner": 36864, "lr": 8e-5},
    "opt-175b": {"recipe": "opt", "width": 12288, "layers": 96, "heads": 96, "inner": 49152, "lr": 1.2e-4},
}  # fmt: skip
