"""GPT: GPT-2 (Radford et al. 2019) and GPT-3 (Brown et al. 2020, arXiv 2005.14165). The CPU sizes are in modern.py.

GPT-3 alternates dense and locally banded layers "similar to the Sparse Transformer" (§2.1) and does not publish the
band's width: 128 tokens here, the stride of the Sparse Transformer's text model (Child et al. 2019, arXiv 1904.10509
§7). Learning rates are those of table 2.1 of the GPT-3 paper for the nearest size.
"""

RECIPES = {
    "gpt2": {
        "values": {
            "vocab": 50257, "context": 1024, "drop": 0.1, "layout": ["layer"],
            "blocks": {
                "layer": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}}, "cross": "$cross", "ffn": "$ffn", "norm": "$norm"},
                "layer-{n}": {"attention": {"heads": {"heads": "$heads", "bias": "qkvo", "scale": ["@rsqrt", ["@times", ["@over", "$width", "$heads"], ["@times", "$n", "$n"]]]}, "pattern": {"kind": "causal"}}, "ffn": "$ffn", "norm": "$norm"},
            },
            "grouped": {"heads": "$heads", "bias": "qkvo", "scale": "$scale"}, "scale": None, "inner": ["@times", "$width", 4], "act": "gelu_tanh", "cross": None,
            "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "tied": True, "labels": 2,
            "norm": {"kind": "layer", "eps": "$eps"}, "eps": 1e-5, "drop_attention": "$drop", "drop_residual": "$drop",
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "blocks": "$blocks", "layout": "$layout", "final_norm": "$norm",
                "embedding": {"vocab": "$vocab", "position": {"kind": "learned", "length": "$context"}},
            },
            "heads": {"lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}},
            "dropout": {"embedding": "$drop", "attention": "$drop_attention", "residual": "$drop_residual"},
            "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.95], "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": 0.02, "final": 0.1},
        },
        "hf": {
            "types": ["gpt2"], "prefixes": ["transformer."],
            "classes": {
                "GPT2LMHeadModel": ["lm"], "GPT2Model": [], "GPT2ForSequenceClassification": ["classify"], "GPT2ForTokenClassification": ["tag"],
                "GPT2ForQuestionAnswering": ["span"],
            },
            "heads": {
                "lm": {"task": "lm", "output": "$vocab", "tied": "$tied"}, "classify": {"task": "classify", "pool": "last", "output": "$labels"},
                "tag": {"task": "tag", "output": "$labels", "bias": True}, "span": {"task": "span", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 50257], ["n_positions", "context", 1024], ["n_embd", "width"], ["n_layer", "layers"], ["n_head", "heads"],
                ["n_inner", "inner", ["@times", "$width", 4]],
                ["activation_function", "act", {"gelu_new": "gelu_tanh", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}, "gelu_new"],
                ["layer_norm_epsilon", "eps", 1e-5], ["scale_attn_weights", "scale", {True: None, False: 1.0}, True],
                ["@layers", "layout", {"index": "scale_attn_by_inverse_layer_idx", "name": "layer-{n}", "no": "layer"}],
                ["add_cross_attention", "cross", {False: None, True: {"heads": "$grouped"}}, False],
                ["tie_word_embeddings", "tied", True], ["@labels", "labels"], ["embd_pdrop", "drop", 0.1], ["resid_pdrop", "drop_residual", 0.1], ["attn_pdrop", "drop_attention", 0.1],
            ],
            "weights": [
                ["~wte.weight", "decoder.embed.token"], ["~wpe.weight", "decoder.embed.position.weight"], ["~ln_f.*", "decoder.final_norm.*"],
                ["~h.{i}.ln_1.*", "decoder.layers.{i}.join_attention.ins.0.*"], ["~h.{i}.ln_2.*", "decoder.layers.{i}.join_ffn.ins.0.*"],
                ["~h.{i}.ln_cross_attn.*", "decoder.layers.{i}.join_cross.ins.0.*"],
                ["~h.{i}.attn.c_attn.*", ["decoder.layers.{i}.attention.heads.q.*", "decoder.layers.{i}.attention.heads.k.*", "decoder.layers.{i}.attention.heads.v.*"], "T", "split"],
                ["~h.{i}.attn.c_proj.*", "decoder.layers.{i}.attention.heads.o.*", "T"],
                ["~h.{i}.crossattention.q_attn.*", "decoder.layers.{i}.cross.heads.q.*", "T"],
                ["~h.{i}.crossattention.c_attn.*", ["decoder.layers.{i}.cross.heads.k.*", "decoder.layers.{i}.cross.heads.v.*"], "T", "split"],
                ["~h.{i}.crossattention.c_proj.*", "decoder.layers.{i}.cross.heads.o.*", "T"],
                ["~h.{i}.mlp.c_fc.*", "decoder.layers.{i}.ffn.up.*", "T"], ["~h.{i}.mlp.c_proj.*", "decoder.layers.{i}.ffn.down.*", "T"],
                ["lm_head.weight", "heads.lm.weight"], ["score.weight", "heads.classify.weight"], ["classifier.*", "heads.tag.*"], ["qa_outputs.*", "heads.span.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "gpt2": {"recipe": "gpt2", "width": 768, "layers": 12, "heads": 12, "lr": 6e-4},
    "gpt2-medium": {"recipe": "gpt2", "width": 1024, "layers": 24, "heads": 16, "lr": 3e-4},
    "gpt2-large": {"recipe": "gpt2", "width": 1280, "layers": 36, "heads": 20, "lr": 2.5e-4},
    "gpt2-xl": {"recipe": "gpt2", "width": 1600, "layers": 48, "heads": 25, "lr": 2e-4},
    "gpt3": {
        "recipe": "gpt2", "family": "gpt3", "width": 12288, "layers": 96, "heads": 96, "context": 2048, "drop": 0.0, "lr": 6e-5,
        "layout": ["dense", "banded"],
        "blocks": {
            "dense": {"attention": {"heads": "$grouped", "pattern": {"kind": "causal"}}, "ffn": "$ffn", "norm": "$norm"},
            "banded": {"attention": {"heads": "$grouped", "pattern": {"kind": "window", "back": 127}}, "ffn": "$ffn", "norm": "$norm"},
        },
    },
}  # fmt: skip
