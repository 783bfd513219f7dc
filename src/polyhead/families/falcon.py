"""Falcon (Almazrouei et al. 2023, arXiv 2311.16867), four forms: 7b has one key/value head and one norm before attention and
feed-forward side by side; 40b and 180b have groups and a norm for each of the two; 11B (Falcon 2, arXiv 2407.14885) groups and one
norm; RW (RefinedWeb, arXiv 2306.01116) is sequential with ALiBi, its slopes and positions rounded to bf16. The code of 40b and 11B takes ALiBi too. The output matrix is tied,
but for 11B.
"""

RECIPES = {
    "falcon": {
        "values": {
            "vocab": 65024, "context": 2048, "kv_heads": 1, "eps": 1e-5, "norm": {"kind": "layer", "eps": "$eps"}, "bias": "",
            "act": "gelu", "inner": ["@times", "$width", 4], "ffn_bias": ["@differ", "$bias", "", True, False], "tied": True, "labels": 2,
            "position": {"kind": "rotary", "theta": 10000.0}, "residual": {"placement": "pre", "parallel": "one_norm"}, "drop": 0.0, "drop_attention": 0.0,
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm", "embedding": {"vocab": "$vocab"},
                "blocks": {"layer": {
                    "attention": {"heads": {"heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias"}, "pattern": {"kind": "causal"}, "position": "$position"},
                    "ffn": {"kind": "plain", "act": "$act", "inner": "$inner", "bias": "$ffn_bias"}, "norm": "$norm", "residual": "$residual",
                }},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}},
            "dropout": {"residual": "$drop", "attention": "$drop_attention"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": 6e-4, "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.02, "final": 0.1},
        },
        "hf": {
            "types": ["falcon", "RefinedWebModel", "RefinedWeb"], "prefixes": ["transformer."], "implied": {"RefinedWeb": {"new_decoder_architecture": True}},
            "when": {"new_decoder_architecture": [None, False], "multi_query": [None, True], "parallel_attn": [None, True], "alibi": [None, False]},
            "classes": {
                "FalconForCausalLM": ["lm"], "FalconModel": [], "FalconForSequenceClassification": ["classify"], "FalconForTokenClassification": ["tag"],
                "FalconForQuestionAnswering": ["span"], "RWForCausalLM": ["lm"],
            },
            "heads": {
                "lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}, "classify": {"task": "classify", "pool": "last", "output": "$labels"},
                "tag": {"task": "tag", "output": "$labels", "bias": True}, "span": {"task": "span", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 65024], ["hidden_size", "width", 4544], [["num_hidden_layers", "n_layer"], "layers", 32],
                [["num_attention_heads", "n_head"], "heads", 71], ["ffn_hidden_size", "inner", ["@times", "$width", 4]],
                ["activation", "act", {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu"}, "gelu"], ["layer_norm_epsilon", "eps", 1e-5],
                ["bias", "bias", {False: "", True: "qkvo"}, False], ["max_position_embeddings", "context", 2048], ["tie_word_embeddings", "tied", True],
                ["apply_residual_connection_post_layernorm", "=", [False]], ["hidden_dropout", "drop", 0.0], ["attention_dropout", "drop_attention", 0.0],
                ["@rope", "position", {"rotated": ["@over", "$width", "$heads"]}], ["@labels", "labels"],
            ],
            "weights": [
                ["~word_embeddings.weight", "decoder.embed.token"], ["~ln_f.*", "decoder.final_norm.*"],
                ["~h.{i}.self_attention.query_key_value.*", ["decoder.layers.{i}.attention.heads.q.*", "decoder.layers.{i}.attention.heads.k.*", "decoder.layers.{i}.attention.heads.v.*"], "groups"],
                ["~h.{i}.self_attention.dense.*", "decoder.layers.{i}.attention.heads.o.*"], ["~h.{i}.input_layernorm.*", "decoder.layers.{i}.join_attention.ins.0.*"],
                ["~h.{i}.mlp.{dense_h_to_4h|dense_4h_to_h}.*", "decoder.layers.{i}.ffn.{up|down}.*"],
                ["lm_head.weight", "heads.lm.weight"], ["score.weight", "heads.classify.weight"], ["classifier.*", "heads.tag.*"], ["qa_outputs.*", "heads.span.*"],
            ],
        },
    },
    "falcon-11b": {
        "base": "falcon",
        "hf": {"when": {"new_decoder_architecture": [True], "num_ln_in_parallel_attn": [1], "alibi": [None, False]}, "config": [[["num_kv_heads", "n_head_kv"], "kv_heads", "$heads"]]},
    },
    "falcon-40b": {
        "base": "falcon",
        "values": {"residual": {"placement": "pre", "parallel": "two_norms"}},
        "hf": {
            "when": {"new_decoder_architecture": [True], "num_ln_in_parallel_attn": [None, 2], "alibi": [None, False]}, "config": [[["num_kv_heads", "n_head_kv"], "kv_heads", "$heads"]],
            "weights": [
                ["~h.{i}.input_layernorm.*"], ["~h.{i}.ln_attn.*", "decoder.layers.{i}.join_attention.ins.0.*"], ["~h.{i}.ln_mlp.*", "decoder.layers.{i}.join_attention.ins.1.*"],
            ],
        },
    },
    "falcon-11b-alibi": {
        "base": "falcon-11b", "values": {"position": {"kind": "alibi", "form": "key", "rounded": True, "scale": ["@rsqrt", ["@over", "$width", "$heads"]]}},
        "hf": {"when": {"new_decoder_architecture": [True], "num_ln_in_parallel_attn": [1], "alibi": [True]}, "config": [["@rope position"]]},
    },
    "falcon-40b-alibi": {
        "base": "falcon-40b", "values": {"position": {"kind": "alibi", "form": "key", "rounded": True, "scale": ["@rsqrt", ["@over", "$width", "$heads"]]}},
        "hf": {"when": {"new_decoder_architecture": [True], "num_ln_in_parallel_attn": [None, 2], "alibi": [True]}, "config": [["@rope position"]]},
    },
    "falcon-rw": {
        "base": "falcon",
        "values": {
            "kv_heads": "$heads", "bias": "qkvo", "residual": {"placement": "pre"},
            "position": {"kind": "alibi", "form": "key", "rounded": True, "scale": ["@rsqrt", ["@over", "$width", "$heads"]]},
        },
        "hf": {
            "when": {"alibi": [True], "multi_query": [False], "parallel_attn": [False], "new_decoder_architecture": [None, False]},
            "config": [["@rope position"], ["bias", "bias", {False: "", True: "qkvo"}, False]],
            "weights": [["~h.{i}.post_attention_layernorm.*", "decoder.layers.{i}.join_ffn.ins.0.*"]],
        },
    },
}  # fmt: skip

PRESETS = {
    "falcon-7b": {"recipe": "falcon", "width": 4544, "layers": 32, "heads": 71},
    "falcon-11b": {
        "recipe": "falcon-11b", "width": 4096, "layers": 60, "heads": 32, "kv_heads": 8, "context": 8192, "tied": False,
        "position": {"kind": "rotary", "theta": 500042.0},
    },
    "falcon-40b": {"recipe": "falcon-40b", "width": 8192, "layers": 60, "heads": 128, "kv_heads": 8},
    "falcon-180b": {"recipe": "falcon-40b", "width": 14848, "layers": 80, "heads": 232, "kv_heads": 8},
    "falcon-rw-1b": {"recipe": "falcon-rw", "vocab": 50304, "width": 2048, "layers": 24, "heads": 32},
    "falcon-rw-7b": {"recipe": "falcon-rw", "width": 4096, "layers": 36, "heads": 64},
}  # fmt: skip
