"""BART (Lewis et al. 2020, arXiv 1910.13461): the Transformer of 2017 with learned positions that start at row 2, a norm on the
embeddings, GELU, and one table for both inputs and the output, which has a bias. Untied, three tables."""

RECIPES = {
    "bart": {
        "values": {
            "vocab": 50265, "context": 1024, "eps": 1e-5, "norm": {"kind": "layer", "eps": "$eps"}, "act": "gelu", "tied": True, "labels": 2, "eos": 2, "shared": True,
            "embed_scale": 1.0, "root": ["@sqrt", "$width"], "position": {"kind": "learned", "length": "$context", "offset": 2}, "embed_norm": "$norm", "final": None,
            "residual": {"placement": "post"}, "decoder_layers": "$layers", "decoder_heads": "$heads", "decoder_inner": "$inner", "inner": ["@times", "$width", 4],
            "target_vocab": "$vocab", "reads": {"heads": {"heads": "$heads", "bias": "qkvo"}}, "encoder_position": "$position", "encoder_layout": ["layer"],
            "encoder_blocks": {"layer": {"attention": "$reads", "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": "$residual"}},
            "source": {"vocab": "$vocab", "scale": "$embed_scale", "position": "$encoder_position", "norm": "$embed_norm"}, "grouped": {"heads": "$decoder_heads", "bias": "qkvo"},
            "drop": 0.1, "drop_attention": 0.0, "drop_act": 0.0,
        },
        "spec": {
            "family": "$family", "context": "$context", "share_embeddings": "$shared",
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": "$encoder_layout", "embedding": "$source", "final_norm": "$final", "blocks": "$encoder_blocks",
            },
            "decoder": {
                "width": "$width", "layers": "$decoder_layers", "layout": ["layer"], "final_norm": "$final",
                "embedding": {"vocab": "$target_vocab", "scale": "$embed_scale", "position": "$position", "norm": "$embed_norm"},
                "blocks": {"layer": {
                    "attention": {"heads": "$grouped", "pattern": {"kind": "causal"}}, "cross": {"heads": "$grouped"},
                    "ffn": {"kind": "plain", "act": "$act", "inner": "$decoder_inner"}, "norm": "$norm", "residual": "$residual",
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$target_vocab", "tied": "$tied", "bias": True}},
            "dropout": {"embedding": "$drop", "attention": "$drop_attention", "residual": "$drop", "activation": "$drop_act"},
            "init": {"kind": "normal", "std": 0.02, "residual": False},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "seq2seq", "steps": 10000, "batch": 32, "label_smoothing": 0.1,
            "optimizer": {"kind": "adamw", "lr": 3e-4, "betas": [0.9, 0.999], "weight_decay": 0.01},
            "schedule": {"kind": "linear", "warmup": 0.05},
        },
        "hf": {
            "types": ["bart"], "prefixes": ["model."], "when": {"tie_word_embeddings": [None, True]},
            "classes": {
                "BartForConditionalGeneration": ["lm"], "BartModel": [], "BartForSequenceClassification": ["classify"], "BartForQuestionAnswering": ["span"],
            },
            "heads": {
                "lm": {"task": "lm", "output": "$target_vocab", "tied": "$tied", "bias": True}, "span": {"task": "span", "output": 2, "bias": True},
                "classify": {"task": "classify", "pool": "last_eos", "eos": "$eos", "dense": "$width", "act": "tanh", "output": "$labels", "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 50265], ["d_model", "width", 1024], ["max_position_embeddings", "context", 1024], ["encoder_layers", "layers", 12],
                ["decoder_layers", "decoder_layers", 12], ["encoder_attention_heads", "heads", 16], ["decoder_attention_heads", "decoder_heads", 16],
                ["encoder_ffn_dim", "inner", 4096], ["decoder_ffn_dim", "decoder_inner", 4096],
                ["activation_function", "act", {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}, "gelu"],
                ["scale_embedding", "embed_scale", {False: 1.0, True: "$root"}, False], ["tie_word_embeddings", "tied", True], ["eos_token_id", "eos", 2],
                ["normalize_before", "=", [None, False]], ["add_final_layer_norm", "=", [None, False]], ["static_position_embeddings", "=", [None, False]],
                ["normalize_embedding", "=", [None, True]], ["dropout", "drop", 0.1], ["attention_dropout", "drop_attention", 0.0], ["activation_dropout", "drop_act", 0.0], ["@labels", "labels"],
            ],
            "weights": [
                ["~{encoder|decoder}.embed_tokens.weight", "encoder.embed.token", "also"], ["~shared.weight", "encoder.embed.token"], ["lm_head.weight", "heads.lm.weight"],
                ["~{encoder|decoder}.embed_positions.weight", "{encoder|decoder}.embed.position.weight"], ["~{encoder|decoder}.layernorm_embedding.*", "{encoder|decoder}.embed.norm.*"],
                ["~{encoder|decoder}.layers.{i}.self_attn.{q|k|v|out}_proj.*", "{encoder|decoder}.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~decoder.layers.{i}.encoder_attn.{q|k|v|out}_proj.*", "decoder.layers.{i}.cross.heads.{q|k|v|o}.*"],
                ["~{encoder|decoder}.layers.{i}.self_attn_layer_norm.*", "{encoder|decoder}.layers.{i}.join_attention.after.*"],
                ["~decoder.layers.{i}.encoder_attn_layer_norm.*", "decoder.layers.{i}.join_cross.after.*"], ["~{encoder|decoder}.layers.{i}.final_layer_norm.*", "{encoder|decoder}.layers.{i}.join_ffn.after.*"],
                ["~{encoder|decoder}.layers.{i}.{fc1|fc2}.*", "{encoder|decoder}.layers.{i}.ffn.{up|down}.*"], ["final_logits_bias", "heads.lm.bias", "row0", "zeros"],
                ["classification_head.dense.*", "heads.classify.dense.*"], ["classification_head.out_proj.*", "heads.classify.*"], ["qa_outputs.*", "heads.span.*"],
            ],
        },
    },
    "bart-untied": {
        "base": "bart", "values": {"shared": False, "tied": False},
        "hf": {
            "when": {"tie_word_embeddings": [False]},
            "weights": [
                ["~shared.weight", "{encoder|decoder}.embed.token", "spare"], ["~{encoder|decoder}.embed_tokens.weight", "{encoder|decoder}.embed.token"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "bart-base": {"recipe": "bart", "width": 768, "layers": 6, "heads": 12},
    "bart-large": {"recipe": "bart", "width": 1024, "layers": 12, "heads": 16},
}  # fmt: skip
