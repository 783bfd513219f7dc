"""ALBERT v2 (Lan et al. 2020, arXiv 1909.11942): BERT with one set of weights for all layers and a factorised table."""

RECIPES = {
    "albert": {
        "base": "bert",
        "values": {
            "vocab": 30000, "table": 128, "act": "gelu_tanh", "drop": 0.0, "groups": 1, "inner_groups": 1, "rounds": 12,
            "sharing": {"kind": "groups", "groups": "$groups", "inner": "$inner_groups"},
        },
        "spec": {"encoder": {"layers": ["@times", "$rounds", "$inner_groups"], "embedding": {"width": "$table", "project": "sum"}}},
        "tokenizer": {"kind": "unigram"},
        "hf": {
            "types": ["albert"], "prefixes": ["albert."],
            "classes": {
                "AlbertModel": ["pooler"], "AlbertForMaskedLM": ["mlm"], "AlbertForPreTraining": ["mlm", "pair"],
                "AlbertForSequenceClassification": ["classify"], "AlbertForTokenClassification": ["tag"], "AlbertForQuestionAnswering": ["span"],
                "AlbertForMultipleChoice": ["choice"],
            },
            "bare": ["AlbertModel"],
            "heads": {"mlm": {"task": "mlm", "dense": "$table", "act": "$act", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True}},
            "config": [
                ["vocab_size", "vocab", 30000], ["embedding_size", "table", 128], ["num_hidden_layers", "rounds", 12], ["num_hidden_groups", "groups", 1],
                ["inner_group_num", "inner_groups", 1], ["hidden_dropout_prob", "drop", 0.0], ["attention_probs_dropout_prob", "drop_attention", 0.0],
                ["hidden_act", "act", {"gelu_new": "gelu_tanh", "gelu": "gelu", "relu": "relu", "silu": "silu"}, "gelu_new"],
            ],
            "weights": [
                ["~encoder.embedding_hidden_mapping_in.*", "encoder.embed.project.*"],
                ["~encoder.albert_layer_groups.{g}.albert_layers.{j}.attention.{query|key|value|dense}.*", "encoder.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~encoder.albert_layer_groups.{g}.albert_layers.{j}.attention.LayerNorm.*", "encoder.layers.{i}.join_attention.after.*"],
                ["~encoder.albert_layer_groups.{g}.albert_layers.{j}.{ffn|ffn_output}.*", "encoder.layers.{i}.ffn.{up|down}.*"],
                ["~encoder.albert_layer_groups.{g}.albert_layers.{j}.full_layer_layer_norm.*", "encoder.layers.{i}.join_ffn.after.*"],
                ["~pooler.*", "heads.{pooler|classify|pair|choice}.dense.*"], ["predictions.dense.*", "heads.mlm.dense.*"], ["predictions.LayerNorm.*", "heads.mlm.norm.*"],
                ["predictions.bias", "heads.mlm.bias"], ["predictions.decoder.bias", "heads.mlm.bias", "untied"], ["predictions.decoder.weight", "heads.mlm.weight"],
                ["sop_classifier.classifier.*", "heads.pair.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "albert-base-v2": {"recipe": "albert", "width": 768, "heads": 12},
    "albert-large-v2": {"recipe": "albert", "width": 1024, "heads": 16, "rounds": 24},
    "albert-xlarge-v2": {"recipe": "albert", "width": 2048, "heads": 16, "rounds": 24},
    "albert-xxlarge-v2": {"recipe": "albert", "width": 4096, "heads": 64, "lr": 3e-5},
}  # fmt: skip
