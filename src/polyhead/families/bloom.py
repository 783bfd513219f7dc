"""BLOOM (Scao et al. 2022, arXiv 2211.05100): GPT with ALiBi in place of a position table and a norm on the token vector."""

RECIPES = {
    "bloom": {
        "values": {
            "vocab": 250880, "context": 2048, "eps": 1e-5, "norm": {"kind": "layer", "eps": "$eps"}, "tied": True, "labels": 2,
            "drop": 0.0, "drop_attention": 0.0, "lr": 3e-4
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm", "embedding": {"vocab": "$vocab", "norm": "$norm"},
                "blocks": {"layer": {
                    "attention": {"heads": {"heads": "$heads", "bias": "qkvo"}, "pattern": {"kind": "causal"}, "position": {"kind": "alibi"}},
                    "ffn": {"kind": "plain", "act": "gelu_tanh", "inner": ["@times", "$width", 4]}, "norm": "$norm",
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}},
            "dropout": {"residual": "$drop", "attention": "$drop_attention"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.01, "final": 0.1},
        },
        "hf": {
            "types": ["bloom"], "prefixes": ["transformer."],
            "classes": {
                "BloomForCausalLM": ["lm"], "BloomModel": [], "BloomForSequenceClassification": ["classify"], "BloomForTokenClassification": ["tag"],
                "BloomForQuestionAnswering": ["span"],
            },
            "heads": {
                "lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}, "classify": {"task": "classify", "pool": "last", "output": "$labels"},
                "tag": {"task": "tag", "output": "$labels", "bias": True}, "span": {"task": "span", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 250880], [["hidden_size", "n_embed"], "width", 64], [["n_layer", "num_hidden_layers"], "layers", 2],
                [["n_head", "num_attention_heads"], "heads", 8], ["seq_length", "context", 2048], ["layer_norm_epsilon", "eps", 1e-5],
                ["apply_residual_connection_post_layernorm", "=", [False]], ["pretraining_tp", "ranks", 1], ["slow_but_exact", "=", [None, False, ["@differ", "$ranks", 1, False, True]]], ["tie_word_embeddings", "tied", True],
                ["hidden_dropout", "drop", 0.0], ["attention_dropout", "drop_attention", 0.0], ["@labels", "labels"],
            ],
            "weights": [
                ["~word_embeddings.weight", "decoder.embed.token"], ["~word_embeddings_layernorm.*", "decoder.embed.norm.*"], ["~ln_f.*", "decoder.final_norm.*"],
                ["~h.{i}.self_attention.query_key_value.*", ["decoder.layers.{i}.attention.heads.q.*", "decoder.layers.{i}.attention.heads.k.*", "decoder.layers.{i}.attention.heads.v.*"], "groups"],
                ["~h.{i}.self_attention.dense.*", "decoder.layers.{i}.attention.heads.o.*"], ["~h.{i}.input_layernorm.*", "decoder.layers.{i}.join_attention.ins.0.*"],
                ["~h.{i}.post_attention_layernorm.*", "decoder.layers.{i}.join_ffn.ins.0.*"],
                ["~h.{i}.mlp.{dense_h_to_4h|dense_4h_to_h}.*", "decoder.layers.{i}.ffn.{up|down}.*"],
                ["lm_head.weight", "heads.lm.weight"], ["score.weight", "heads.classify.weight"], ["classifier.*", "heads.tag.*"], ["qa_outputs.*", "heads.span.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "bloom-560m": {"recipe": "bloom", "width": 1024, "layers": 24, "heads": 16},
    "bloom-1b1": {"recipe": "bloom", "width": 1536, "layers": 24, "heads": 16, "lr": 2.5e-4},
    "bloom-1b7": {"recipe": "bloom", "width": 2048, "layers": 24, "heads": 16, "lr": 2e-4},
    "bloom-3b": {"recipe": "bloom", "width": 2560, "layers": 30, "heads": 32, "lr": 1.6e-4},
    "bloom-7b1": {"recipe": "bloom", "width": 4096, "layers": 30, "heads": 32, "lr": 1.2e-4},
    "bloom": {"recipe": "bloom", "width": 14336, "layers": 70, "heads": 112, "lr": 6e-5},
}  # fmt: skip
