"""BERT, RoBERTa, ELECTRA and BigBird as decoders: each token sees those before it, and, of a model that adds cross-attention, the states of
an encoder beside it (Rothe et al. 2020, arXiv 1907.12461). BigBird has none: its reference ignores which of those are padding."""

RECIPES = {
    "bert-decoder": {
        "base": "bert",
        "values": {"crossed": None, "heads_out": {"lm": {"task": "lm", "dense": "$width", "act": "$act", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True}}},
        "spec": {"encoder": None, "decoder": {
            "width": "$width", "layers": "$layers", "layout": ["layer"],
            "embedding": {
                "vocab": "$vocab", "width": "$table", "project": "$project", "types": "$types", "norm": "$norm",
                "position": {"kind": "learned", "length": "$context", "offset": "$offset"},
            },
            "blocks": {"layer": {
                "attention": {"heads": {"heads": "$heads", "bias": "qkvo"}, "pattern": {"kind": "causal"}}, "cross": "$crossed",
                "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": {"placement": "post"},
            }},
        }},
        "training": {"objective": "causal"},
        "hf": {
            "when": {"is_decoder": [True]},
            "classes": {"BertLMHeadModel": ["lm"], "BertModel": ["pooler"]},
            "heads": {"lm": {"task": "lm", "dense": "$width", "act": "$act", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True}},
            "config": [["is_decoder", "=", [True]], ["add_cross_attention", "crossed", {False: None, True: {"heads": {"heads": "$heads", "bias": "qkvo"}}}, False]],
            "weights": [
                ["~embeddings.word_embeddings.weight", "decoder.embed.token"], ["~embeddings.position_embeddings.weight", "decoder.embed.position.weight"],
                ["~embeddings.token_type_embeddings.weight", "decoder.embed.types"], ["~embeddings.LayerNorm.*", "decoder.embed.norm.*"],
                ["~encoder.layer.{i}.attention.self.{query|key|value}.*", "decoder.layers.{i}.attention.heads.{q|k|v}.*"],
                ["~encoder.layer.{i}.attention.output.dense.*", "decoder.layers.{i}.attention.heads.o.*"],
                ["~encoder.layer.{i}.attention.output.LayerNorm.*", "decoder.layers.{i}.join_attention.after.*"],
                ["~encoder.layer.{i}.crossattention.self.{query|key|value}.*", "decoder.layers.{i}.cross.heads.{q|k|v}.*"],
                ["~encoder.layer.{i}.crossattention.output.dense.*", "decoder.layers.{i}.cross.heads.o.*"],
                ["~encoder.layer.{i}.crossattention.output.LayerNorm.*", "decoder.layers.{i}.join_cross.after.*"],
                ["~encoder.layer.{i}.intermediate.dense.*", "decoder.layers.{i}.ffn.up.*"], ["~encoder.layer.{i}.output.dense.*", "decoder.layers.{i}.ffn.down.*"],
                ["~encoder.layer.{i}.output.LayerNorm.*", "decoder.layers.{i}.join_ffn.after.*"], ["~pooler.dense.*", "heads.pooler.dense.*"],
                ["cls.predictions.transform.dense.*", "heads.lm.dense.*"], ["cls.predictions.transform.LayerNorm.*", "heads.lm.norm.*"],
                ["cls.predictions.bias", "heads.lm.bias"], ["cls.predictions.decoder.bias", "heads.lm.bias", "untied"], ["cls.predictions.decoder.weight", "heads.lm.weight"],
            ],
        },
    },
    "roberta-decoder": {
        "base": "bert-decoder", "values": {"vocab": 50265, "offset": 2, "types": 1, "eps": 1e-5}, "tokenizer": {"kind": "byte_bpe"},
        "hf": {
            "types": ["roberta"], "prefixes": ["roberta."], "classes": {"RobertaForCausalLM": ["lm"], "RobertaModel": ["pooler"]}, "bare": ["RobertaModel"],
            "heads": {"lm": {"task": "lm", "dense": "$width", "act": "gelu", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True}},
            "config": [["max_position_embeddings", "context", "@less_two", 512], ["pad_token_id", "=", [1]], ["vocab_size", "vocab", 50265]],
            "weights": [
                ["lm_head.dense.*", "heads.lm.dense.*"], ["lm_head.layer_norm.*", "heads.lm.norm.*"], ["lm_head.bias", "heads.lm.bias"],
                ["lm_head.decoder.bias", "heads.lm.bias", "untied"], ["lm_head.decoder.weight", "heads.lm.weight"],
            ],
        },
    },
    "xlm-roberta-decoder": {
        "base": "roberta-decoder", "values": {"vocab": 250002}, "tokenizer": {"kind": "unigram"},
        "hf": {"types": ["xlm-roberta"], "classes": {"XLMRobertaForCausalLM": ["lm"], "XLMRobertaModel": ["pooler"]}, "bare": ["XLMRobertaModel"]},
    },
    "camembert-decoder": {
        "base": "roberta-decoder", "values": {"vocab": 32005}, "tokenizer": {"kind": "unigram"},
        "hf": {"types": ["camembert"], "classes": {"CamembertForCausalLM": ["lm"], "CamembertModel": ["pooler"]}, "bare": ["CamembertModel"]},
    },
    "big_bird-decoder": {
        "base": "bert-decoder", "values": {"vocab": 50358, "context": 4096, "act": "gelu_tanh", "bias": "qkvo", "scale": 1.0, "root": ["@sqrt", "$width"]},
        "spec": {"decoder": {
            "embedding": {"scale": "$scale"}, "blocks": {"layer": {
                "attention": {"heads": {"heads": "$heads", "bias": "$bias"}, "pattern": {"kind": "causal"}},
                "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": {"placement": "post"},
            }},
        }},
        "hf": {
            "types": ["big_bird"], "classes": {"BigBirdForCausalLM": ["lm", "pooler"], "BigBirdModel": ["pooler"]}, "bare": ["BigBirdModel"],
            "config": [
                ["vocab_size", "vocab", 50358], ["max_position_embeddings", "context", 4096], ["use_bias", "bias", {True: "qkvo", False: "o"}, True],
                ["hidden_act", "act", {"gelu_new": "gelu_tanh", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}, "gelu_new"],
                ["add_cross_attention", "=", [None, False]],
                ["rescale_embeddings", "scale", {False: 1.0, True: "$root"}, False], ["attention_type", "=", ["original_full"], "block_sparse"],
            ],
            "weights": [["~pooler.dense.*"], ["~pooler.*", "heads.pooler.dense.*"]],
        },
    },
    "electra-decoder": {
        "base": "bert-decoder",
        "values": {"table": "$width", "project": ["@differ", "$table", "$width", "sum", "none"]},
        "spec": {"decoder": {"embedding": {"width": ["@differ", "$table", "$width", "$table", None]}}},
        "hf": {
            "types": ["electra"], "prefixes": ["electra."], "classes": {"ElectraForCausalLM": ["lm"], "ElectraModel": []},
            "heads": {"lm": {"task": "lm", "dense": "$table", "act": "gelu", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True}},
            "config": [["embedding_size", "table", 128]],
            "weights": [
                ["~embeddings_project.*", "decoder.embed.project.*"], ["generator_predictions.dense.*", "heads.lm.dense.*"],
                ["generator_predictions.LayerNorm.*", "heads.lm.norm.*"], ["generator_lm_head.bias", "heads.lm.bias"], ["generator_lm_head.weight", "heads.lm.weight"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {}  # type: dict[str, dict]
