"""T5 (Raffel et al. 2020, arXiv 1910.10683): pre-norm RMS, learned distance buckets shared by a stack's layers, scores that are not
scaled, no biases, one table for both inputs and, times 1/√width, for the output. v1.1, Flan-T5 (arXiv 2210.11416) and mT5
(arXiv 2010.11934): gated feed-forwards and an output matrix of their own. Encoders alone are published of each."""

RECIPES = {
    "t5-encoder": {
        "base": "t5",
        "spec": {"share_embeddings": False, "decoder": None},
        "hf": {
            "when": {"architectures": [["T5ForTokenClassification"], ["T5EncoderModel"]], "feed_forward_proj": [None, "relu"]},
            "classes": {"T5EncoderModel": [], "T5ForTokenClassification": ["tag"]}, "class_prefix": {"T5ForTokenClassification": "transformer."},
            "heads": {"tag": {"task": "tag", "output": "$labels", "bias": True}}, "config": [["num_decoder_layers"]],
        },
    },
    "t5-v1.1-encoder": {
        "base": "t5-v1.1",
        "spec": {"share_embeddings": False, "decoder": None},
        "hf": {
            "when": {"architectures": [["T5ForTokenClassification"], ["T5EncoderModel"]], "feed_forward_proj": ["gated-silu", "gated-gelu"]},
            "classes": {"T5EncoderModel": [], "T5ForTokenClassification": ["tag"]}, "class_prefix": {"T5ForTokenClassification": "transformer."},
            "heads": {"tag": {"task": "tag", "output": "$labels", "bias": True}}, "config": [["num_decoder_layers"]],
        },
    },
    "mt5-encoder": {
        "base": "mt5",
        "spec": {"share_embeddings": False, "decoder": None},
        "hf": {
            "when": {"architectures": [["MT5ForTokenClassification"], ["MT5EncoderModel"]], "feed_forward_proj": [None, "gated-silu", "gated-gelu"]},
            "classes": {"MT5EncoderModel": [], "MT5ForTokenClassification": ["tag"]}, "class_prefix": {"MT5ForTokenClassification": "transformer."},
            "heads": {"tag": {"task": "tag", "output": "$labels", "bias": True}}, "config": [["num_decoder_layers"]],
        },
    },
    "t5": {
        "values": {
            "vocab": 32128, "context": 512, "drop": 0.1, "eps": 1e-6, "norm": {"kind": "rms", "eps": "$eps"}, "head_dim": 64, "inner": ["@times", "$width", 4],
            "grouped": {"heads": "$heads", "head_dim": "$head_dim", "scale": 1.0}, "buckets": 32, "distance": 128, "decoder_layers": "$layers", "tied": True, "labels": 2, "eos": 1,
            "act": "relu", "ffn": {"kind": "plain", "act": "$act", "inner": "$inner", "bias": False}, "root": ["@rsqrt", "$width"], "out_scale": "$root",
        },
        "spec": {
            "family": "$family", "context": "$context", "share_embeddings": True,
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm", "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {"heads": "$grouped", "position": {"kind": "buckets", "buckets": "$buckets", "distance": "$distance", "two_sided": True}},
                    "ffn": "$ffn", "norm": "$norm",
                }},
            },
            "decoder": {
                "width": "$width", "layers": "$decoder_layers", "layout": ["layer"], "final_norm": "$norm", "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {
                        "heads": "$grouped", "pattern": {"kind": "causal"},
                        "position": {"kind": "buckets", "buckets": "$buckets", "distance": "$distance", "two_sided": False},
                    },
                    "cross": {"heads": "$grouped"}, "ffn": "$ffn", "norm": "$norm",
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied", "scale": "$out_scale"}},
            "dropout": {"embedding": "$drop", "attention": "$drop", "residual": "$drop", "activation": "$drop", "head": "$drop"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "unigram", "vocab_size": "$vocab"},
        "training": {
            "objective": "seq2seq", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 0.0},
            "schedule": {"kind": "inverse_sqrt", "warmup": 1000},
        },
        "hf": {
            "types": ["t5"], "when": {"feed_forward_proj": [None, "relu"]}, "prefixes": ["", "transformer."],
            "class_prefix": {"T5ForSequenceClassification": "transformer.", "MT5ForSequenceClassification": "transformer."},
            "classes": {
                "T5ForConditionalGeneration": ["lm"], "T5WithLMHeadModel": ["lm"], "T5Model": [], "T5ForSequenceClassification": ["classify"], "T5ForQuestionAnswering": ["span"],
            },
            "heads": {
                "lm": {"task": "lm", "output": "$vocab", "tied": "$tied", "scale": "$out_scale"}, "span": {"task": "span", "output": 2, "bias": True},
                "classify": {"task": "classify", "pool": "last_eos", "eos": "$eos", "dense": "$width", "act": "tanh", "output": "$labels", "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 32128], ["d_model", "width", 512], ["d_kv", "head_dim", 64], ["d_ff", "inner", 2048], ["num_layers", "layers", 6],
                ["num_decoder_layers", "decoder_layers", "$layers"], ["num_heads", "heads", 8], ["relative_attention_num_buckets", "buckets", 32],
                ["relative_attention_max_distance", "distance", 128], ["layer_norm_epsilon", "eps", 1e-6], ["dropout_rate", "drop", 0.1], ["n_positions", "context", 512],
                ["tie_word_embeddings", "out_scale", {True: "$root", False: 1.0}, True], ["<scale_decoder_outputs", "out_scale", {True: "$root", False: 1.0}], ["eos_token_id", "eos", 1], ["@labels", "labels"],
            ],
            "weights": [
                ["~{encoder|decoder}.embed_tokens.weight", "encoder.embed.token", "also"], ["~shared.weight", "encoder.embed.token"], ["lm_head.weight", "heads.lm.weight"],
                ["~{encoder|decoder}.block.{i}.layer.0.SelfAttention.{q|k|v|o}.weight", "{encoder|decoder}.layers.{i}.attention.heads.{q|k|v|o}.weight"],
                ["~{encoder|decoder}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "{encoder|decoder}.relative.0.weight"],
                ["~decoder.block.{i}.layer.1.EncDecAttention.{q|k|v|o}.weight", "decoder.layers.{i}.cross.heads.{q|k|v|o}.weight"],
                ["~encoder.block.{i}.layer.1.DenseReluDense.{wi|wo}.weight", "encoder.layers.{i}.ffn.{up|down}.weight"],
                ["~decoder.block.{i}.layer.2.DenseReluDense.{wi|wo}.weight", "decoder.layers.{i}.ffn.{up|down}.weight"],
                ["~{encoder|decoder}.block.{i}.layer.0.layer_norm.weight", "{encoder|decoder}.layers.{i}.join_attention.ins.0.weight"],
                ["~decoder.block.{i}.layer.1.layer_norm.weight", "decoder.layers.{i}.join_cross.ins.0.weight"],
                ["~encoder.block.{i}.layer.1.layer_norm.weight", "encoder.layers.{i}.join_ffn.ins.0.weight"], ["~decoder.block.{i}.layer.2.layer_norm.weight", "decoder.layers.{i}.join_ffn.ins.0.weight"],
                ["~{encoder|decoder}.final_layer_norm.weight", "{encoder|decoder}.final_norm.weight"], ["qa_outputs.*", "heads.span.*"], ["classifier.*", "heads.tag.*"],
                ["classification_head.dense.*", "heads.classify.dense.*"], ["classification_head.out_proj.*", "heads.classify.*"],
            ],
            "drop": ["*decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"],
        },
    },
    "t5-v1.1": {
        "base": "t5",
        "values": {"act": "gelu_tanh", "ffn": {"kind": "gated", "act": "$act", "inner": "$inner"}},
        "hf": {
            "when": {"feed_forward_proj": ["gated-silu", "gated-gelu"]},
            "config": [["feed_forward_proj", "act", {"gated-gelu": "gelu_tanh", "gated-silu": "silu"}]],
            "weights": [
                ["~encoder.block.{i}.layer.1.DenseReluDense.{wi_0|wi_1|wo}.weight", "encoder.layers.{i}.ffn.{gate|up|down}.weight"],
                ["~decoder.block.{i}.layer.2.DenseReluDense.{wi_0|wi_1|wo}.weight", "decoder.layers.{i}.ffn.{gate|up|down}.weight"],
            ],
        },
    },
    "mt5": {
        "base": "t5-v1.1", "values": {"vocab": 250112, "out_scale": 1.0},
        "hf": {
            "types": ["mt5"], "when": {"feed_forward_proj": [None, "gated-silu", "gated-gelu"]},
            "classes": {"MT5ForConditionalGeneration": ["lm"], "MT5Model": [], "MT5ForSequenceClassification": ["classify"], "MT5ForQuestionAnswering": ["span"]},
            "config": [["tie_word_embeddings", "=", [False, True]], ["<scale_decoder_outputs"], ["vocab_size", "vocab", 250112], ["feed_forward_proj", "act", {"gated-gelu": "gelu_tanh", "gated-silu": "silu"}, "gated-gelu"], ["d_ff", "inner", 1024], ["num_layers", "layers", 8], ["num_heads", "heads", 6]],
        },
    },
}  # fmt: skip

PRESETS = {
    "t5-small": {"recipe": "t5", "width": 512, "layers": 6, "heads": 8},
    "t5-base": {"recipe": "t5", "width": 768, "layers": 12, "heads": 12},
    "t5-large": {"recipe": "t5", "width": 1024, "layers": 24, "heads": 16},
    "t5-3b": {"recipe": "t5", "width": 1024, "layers": 24, "heads": 32, "head_dim": 128, "inner": 16384},
    "t5-11b": {"recipe": "t5", "width": 1024, "layers": 24, "heads": 128, "head_dim": 128, "inner": 65536},
    "t5-v1.1-small": {"recipe": "t5-v1.1", "width": 512, "layers": 8, "heads": 6, "inner": 1024, "tied": False, "out_scale": 1.0},
    "flan-t5-small": {"recipe": "t5-v1.1", "width": 512, "layers": 8, "heads": 6, "inner": 1024, "tied": False, "out_scale": 1.0},
    "flan-t5-base": {"recipe": "t5-v1.1", "width": 768, "layers": 12, "heads": 12, "inner": 2048, "tied": False, "out_scale": 1.0},
    "flan-t5-large": {"recipe": "t5-v1.1", "width": 1024, "layers": 24, "heads": 16, "inner": 2816, "tied": False, "out_scale": 1.0},
    "flan-t5-xl": {"recipe": "t5-v1.1", "width": 2048, "layers": 24, "heads": 32, "inner": 5120, "tied": False, "out_scale": 1.0},
    "flan-t5-xxl": {"recipe": "t5-v1.1", "width": 4096, "layers": 24, "heads": 64, "inner": 10240, "tied": False, "out_scale": 1.0},
    "mt5-small": {"recipe": "mt5", "width": 512, "layers": 8, "heads": 6, "inner": 1024, "tied": False},
    "mt5-base": {"recipe": "mt5", "width": 768, "layers": 12, "heads": 12, "inner": 2048, "tied": False},
    "mt5-large": {"recipe": "mt5", "width": 1024, "layers": 24, "heads": 16, "inner": 2816, "tied": False},
    "mt5-xl": {"recipe": "mt5", "width": 2048, "layers": 24, "heads": 32, "inner": 5120, "tied": False},
    "mt5-xxl": {"recipe": "mt5", "width": 4096, "layers": 24, "heads": 64, "inner": 10240, "tied": False},
}  # fmt: skip
