"""ModernBERT (Warner et al. 2024, arXiv 2412.13663): an encoder of today's parts. Norms before and without biases, gated
feed-forwards, rotary positions; every third layer sees all, the others 64 tokens on each side, with angles of their own.

Layer 0 has no norm before its attention: the embedding's has just been there. The head's dense layer serves every task.
"""

RECIPES = {
    "modernbert": {
        "values": {
            "vocab": 50368, "context": 8192, "layout": ["@first", "first", ["full", "local", "local"], "$layers"], "window": 64,
            "position": {"kind": "rotary", "theta": 160000.0}, "turned": {"kind": "rotary", "theta": 10000.0},
            "act": "gelu", "bias": "", "mlp_bias": False, "norm_bias": False, "head_bias": False, "head_act": "gelu", "out_bias": True, "pooling": "first",
            "drop": 0.0, "drop_attention": 0.0, "drop_activation": 0.0, "tied": True, "labels": 2, "norm": {"kind": "layer", "eps": "$eps", "bias": "$norm_bias"}, "eps": 1e-5,
            "grouped": {"heads": "$heads", "bias": "$bias"}, "ffn": {"kind": "gated", "act": "$act", "inner": "$inner", "bias": "$mlp_bias"},
            "near": {"heads": "$grouped", "pattern": {"kind": "window", "back": "$window", "ahead": "$window"}, "position": "$turned"},
            "far": {"heads": "$grouped", "position": "$position"},
        },
        "spec": {
            "family": "$family", "context": "$context",
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": "$layout", "embedding": {"vocab": "$vocab", "norm": "$norm"}, "final_norm": "$norm",
                "blocks": {
                    "first": {"attention": "$far", "ffn": "$ffn", "norm": "$norm", "residual": {"skip_first_norm": True}},
                    "first_local": {"attention": "$near", "ffn": "$ffn", "norm": "$norm", "residual": {"skip_first_norm": True}},
                    "full": {"attention": "$far", "ffn": "$ffn", "norm": "$norm"}, "local": {"attention": "$near", "ffn": "$ffn", "norm": "$norm"},
                },
            },
            "heads": {"states": {"task": "embed"}}, "dropout": {"embedding": "$drop", "attention": "$drop_attention", "activation": "$drop_activation"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "masked", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 1e-5},
            "schedule": {"kind": "linear", "warmup": 0.05},
        },
        "hf": {
            "types": ["modernbert"], "prefixes": ["model."], "pad": 50283,
            "classes": {
                "ModernBertForMaskedLM": ["mlm"], "ModernBertModel": [], "ModernBertForSequenceClassification": ["classify"],
                "ModernBertForTokenClassification": ["tag"], "ModernBertForQuestionAnswering": ["span"], "ModernBertForMultipleChoice": ["choice"],
            },
            "heads": {
                "mlm": {"task": "mlm", "dense": "$width", "dense_bias": "$head_bias", "act": "$head_act", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": "$out_bias"},
                "classify": {"task": "classify", "pool": "$pooling", "dense": "$width", "dense_bias": "$head_bias", "act": "$head_act", "norm": "$norm", "output": "$labels", "bias": True},
                "choice": {"task": "classify", "pool": "$pooling", "dense": "$width", "dense_bias": "$head_bias", "act": "$head_act", "norm": "$norm", "output": 1, "bias": True},
                "tag": {"task": "tag", "dense": "$width", "dense_bias": "$head_bias", "act": "$head_act", "norm": "$norm", "output": "$labels", "bias": True},
                "span": {"task": "span", "dense": "$width", "dense_bias": "$head_bias", "act": "$head_act", "norm": "$norm", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 50368], ["hidden_size", "width", 768], ["num_hidden_layers", "layers", 22], ["num_attention_heads", "heads", 12],
                ["intermediate_size", "inner", 1152], ["max_position_embeddings", "context", 8192], ["norm_eps", "eps", 1e-5], ["norm_bias", "norm_bias", False],
                ["hidden_activation", "act", {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "silu": "silu", "relu": "relu"}, "gelu"],
                ["attention_bias", "bias", {False: "", True: "qkvo"}, False], ["mlp_bias", "mlp_bias", False], ["local_attention", "window", "@half", 128],
                ["classifier_bias", "head_bias", False], ["decoder_bias", "out_bias", True], ["classifier_pooling", "pooling", {"cls": "first", "mean": "mean"}, "cls"],
                ["classifier_activation", "head_act", {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu", "tanh": "tanh"}, "gelu"],
                ["rope_scaling", "=", [None]], ["tie_word_embeddings", "tied", True], ["@labels", "labels"],
                ["embedding_dropout", "drop", 0.0], ["attention_dropout", "drop_attention", 0.0], ["mlp_dropout", "drop_activation", 0.0],
                ["@rope", "position", {"theta": 160000.0, "layers": "full_attention", "keys": ["global_rope_theta"], "rotated": None, "scaled": False}],
                ["@rope", "turned", {"theta": 10000.0, "layers": "sliding_attention", "keys": ["local_rope_theta"], "rotated": None, "scaled": False}],
                ["@layers", "layout", {
                    "types": {"full_attention": "full", "sliding_attention": "local"}, "first": {"full": "first", "local": "first_local"},
                    "every": "global_attn_every_n_layers", "default": 3, "phase": 0, "yes": "full", "no": "local",
                }],
            ],
            "weights": [
                ["~embeddings.tok_embeddings.weight", "encoder.embed.token"], ["~embeddings.norm.*", "encoder.embed.norm.*"],
                ["~layers.{i}.attn.Wqkv.*", ["encoder.layers.{i}.attention.heads.q.*", "encoder.layers.{i}.attention.heads.k.*", "encoder.layers.{i}.attention.heads.v.*"], "split"],
                ["~layers.{i}.attn.Wo.*", "encoder.layers.{i}.attention.heads.o.*"], ["~layers.{i}.attn_norm.*", "encoder.layers.{i}.join_attention.ins.0.*"],
                ["~layers.{i}.mlp_norm.*", "encoder.layers.{i}.join_ffn.ins.0.*"],
                ["~layers.{i}.mlp.Wi.*", ["encoder.layers.{i}.ffn.gate.*", "encoder.layers.{i}.ffn.up.*"], "split"], ["~layers.{i}.mlp.Wo.*", "encoder.layers.{i}.ffn.down.*"],
                ["~final_norm.*", "encoder.final_norm.*"], ["head.dense.*", "heads.{mlm|classify|choice|tag|span}.dense.*"],
                ["head.norm.*", "heads.{mlm|classify|choice|tag|span}.norm.*"], ["decoder.*", "heads.mlm.*"],
                ["classifier.*", "heads.{classify|choice|tag|span}.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "modernbert-base": {"recipe": "modernbert", "width": 768, "layers": 22, "heads": 12, "inner": 1152, "lr": 8e-4},
    "modernbert-large": {"recipe": "modernbert", "width": 1024, "layers": 28, "heads": 16, "inner": 2624, "lr": 5e-4},
}  # fmt: skip
