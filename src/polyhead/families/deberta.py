"""DeBERTa-v2 and v3 (He et al. 2021, arXiv 2006.03654 and 2111.09543): BERT whose positions meet queries and keys. No position
is added to the embedding; scores of three equal terms are scaled by (3·head_dim)^−½.

Files have the masked model's head under `cls.predictions` or, as the authors' own v3 files do, under `lm_predictions`.
"""

RECIPES = {
    "deberta-v2": {
        "base": "bert",
        "values": {
            "vocab": 128100, "types": 0, "eps": 1e-7, "absolute": {"kind": "none"}, "learned": {"kind": "learned", "length": "$context"},
            "project": ["@differ", "$table", "$width", "sum_first", "none"], "table": "$width", "span": 256, "distance": "$context", "rel_norm": "$norm",
            "grouped": {"heads": "$heads", "bias": "qkvo", "scale": ["@rsqrt", ["@times", 3, ["@over", "$width", "$heads"]]]}, "pool_act": "gelu",
            "heads_out": {"states": {"task": "embed"}},
        },
        "spec": {"encoder": {
            "embedding": {"position": "$absolute", "width": ["@differ", "$table", "$width", "$table", None]},
            "blocks": {"layer": {
                "attention": {"heads": "$grouped", "position": {"kind": "disentangled", "span": "$span", "distance": "$distance", "norm": "$rel_norm"}},
                "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": {"placement": "post"},
            }},
        }},
        "tokenizer": {"kind": "unigram"},
        "hf": {
            "types": ["deberta-v2"], "prefixes": ["deberta."], "when": {"legacy": [None, True]},
            "classes": {
                "DebertaV2ForMaskedLM": ["mlm"], "DebertaV2Model": [], "DebertaV2ForSequenceClassification": ["classify"],
                "DebertaV2ForTokenClassification": ["tag"], "DebertaV2ForQuestionAnswering": ["span"], "DebertaV2ForMultipleChoice": ["choice"],
            },
            "bare": ["DebertaV2Model"],
            "heads": {
                "mlm": {"task": "mlm", "dense": "$table", "act": "$act", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True},
                "classify": {"task": "classify", "pool": "first", "dense": "$width", "act": "$pool_act", "output": "$labels", "bias": True},
                "choice": {"task": "classify", "pool": "first", "dense": "$width", "act": "$pool_act", "output": 1, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 128100], ["hidden_size", "width", 1536], ["num_hidden_layers", "layers", 24], ["num_attention_heads", "heads", 24],
                ["intermediate_size", "inner", 6144], ["type_vocab_size", "types", 0], ["layer_norm_eps", "eps", 1e-7], ["embedding_size", "table", "$width"],
                ["relative_attention", "=", [True], False], ["share_att_key", "=", [True], False], ["conv_kernel_size", "=", [None, 0]], ["attention_head_size", "=", [None]],
                ["pos_att_type", "=", [["p2c", "c2p"], ["c2p", "p2c"], "p2c|c2p", "c2p|p2c"], []], ["norm_rel_ebd", "rel_norm", {"layer_norm": "$norm", "none": None}, "none"],
                ["position_biased_input", "absolute", {False: {"kind": "none"}, True: "$learned"}, True], ["position_embedding_type"],
                ["pooler_hidden_size", "=", [None, "$width"]],
                ["pooler_hidden_act", "pool_act", {"gelu": "gelu", "tanh": "tanh", "relu": "relu"}, "gelu"],
                ["@buckets", "span", {"give": "span"}], ["@buckets", "distance", {"give": "distance"}],
            ],
            "weights": [
                ["~embeddings.embed_proj.weight", "encoder.embed.project.weight"], ["~encoder.rel_embeddings.weight", "encoder.relative.0.weight"],
                ["~encoder.LayerNorm.*", "encoder.relative.0.norm.*"],
                ["~encoder.layer.{i}.attention.self.{query|key|value}_proj.*", "encoder.layers.{i}.attention.heads.{q|k|v}.*"],
                ["lm_predictions.lm_head.dense.*", "heads.mlm.dense.*", "also"], ["lm_predictions.lm_head.LayerNorm.*", "heads.mlm.norm.*", "also"],
                ["lm_predictions.lm_head.bias", "heads.mlm.bias", "also"], ["~pooler.dense.*"],
                ["pooler.dense.*", "heads.{classify|choice}.dense.*"],
            ],
            "drop": ["mask_predictions.*"],
        },
    },
    "deberta-v2-infill": {
        "base": "deberta-v2",
        "hf": {
            "when": {"legacy": [False]}, "config": [["tie_word_embeddings"]],  # whatever it says, the table is the output matrix
            "heads": {"mlm": {"task": "mlm", "dense": "$table", "act": "$act", "norm": "$norm", "output": "$vocab", "tied": True, "bias": True}},
            "weights": [
                ["lm_predictions.lm_head.dense.*", "heads.mlm.dense.*"], ["lm_predictions.lm_head.LayerNorm.*", "heads.mlm.norm.*"], ["lm_predictions.lm_head.bias", "heads.mlm.bias"],
                ["cls.predictions.transform.dense.*"], ["cls.predictions.transform.LayerNorm.*"], ["cls.predictions.bias"], ["cls.predictions.decoder.bias"], ["cls.predictions.decoder.weight"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "deberta-v3-xsmall": {"recipe": "deberta-v2", "width": 384, "layers": 12, "heads": 6},
    "deberta-v3-small": {"recipe": "deberta-v2", "width": 768, "layers": 6, "heads": 12},
    "deberta-v3-base": {"recipe": "deberta-v2", "width": 768, "layers": 12, "heads": 12},
    "deberta-v3-large": {"recipe": "deberta-v2", "width": 1024, "layers": 24, "heads": 16},
    "mdeberta-v3-base": {"recipe": "deberta-v2", "vocab": 251000, "width": 768, "layers": 12, "heads": 12},
}  # fmt: skip
