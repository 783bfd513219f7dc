"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108): half of BERT's layers, no token types, no pooler."""

RECIPES = {
    "distilbert": {
        "base": "bert",
        "values": {"types": 0, "heads_out": {"states": {"task": "embed"}}},
        "hf": {
            "types": ["distilbert"], "prefixes": ["distilbert."],
            "classes": {
                "DistilBertModel": [], "DistilBertForMaskedLM": ["mlm"], "DistilBertForSequenceClassification": ["classify"],
                "DistilBertForTokenClassification": ["tag"], "DistilBertForQuestionAnswering": ["span"],
                "DistilBertForMultipleChoice": ["choice"],
            },
            "heads": {
                "classify": {"task": "classify", "pool": "first", "dense": "$width", "act": "relu", "output": "$labels", "bias": True},
                "choice": {"task": "classify", "pool": "first", "dense": "$width", "act": "relu", "output": 1, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 30522], ["dim", "width", 768], ["n_layers", "layers", 6], ["n_heads", "heads", 12], ["hidden_dim", "inner", 3072],
                ["activation", "act", {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu"}, "gelu"],
                ["dropout", "drop", 0.1], ["attention_dropout", "drop_attention", 0.1],
                ["hidden_size"], ["num_hidden_layers"], ["num_attention_heads"], ["intermediate_size"], ["type_vocab_size"], ["layer_norm_eps"], ["hidden_act"],
                ["hidden_dropout_prob"], ["attention_probs_dropout_prob"], ["position_embedding_type"],
            ],
            "weights": [
                ["~transformer.layer.{i}.attention.{q|k|v|out}_lin.*", "encoder.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~transformer.layer.{i}.sa_layer_norm.*", "encoder.layers.{i}.join_attention.after.*"],
                ["~transformer.layer.{i}.ffn.{lin1|lin2}.*", "encoder.layers.{i}.ffn.{up|down}.*"],
                ["~transformer.layer.{i}.output_layer_norm.*", "encoder.layers.{i}.join_ffn.after.*"],
                ["vocab_transform.*", "heads.mlm.dense.*"], ["vocab_layer_norm.*", "heads.mlm.norm.*"], ["vocab_projector.bias", "heads.mlm.bias"],
                ["vocab_projector.weight", "heads.mlm.weight"], ["pre_classifier.*", "heads.{classify|choice}.dense.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "distilbert-base": {"recipe": "distilbert", "width": 768, "layers": 6, "heads": 12},
}  # fmt: skip
