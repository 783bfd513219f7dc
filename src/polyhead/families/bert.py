"""BERT (Devlin et al. 2019, arXiv 1810.04805). bert-nano is in modern.py.

The heads of a preset are those of the published base model: BERT's pooler where the model has one, else the hidden states.
The masked language model's head is put on by `for_objective`.
"""

RECIPES = {
    "bert": {
        "values": {
            "vocab": 30522, "context": 512, "offset": 0, "types": 2, "table": None, "project": "none",
            "act": "gelu", "drop": 0.1, "lr": 1e-4, "sharing": {"kind": "none"}, "norm": {"kind": "layer", "eps": "$eps"}, "eps": 1e-12,
            "heads_out": {"pooler": {"task": "pool", "pool": "first", "dense": "$width", "act": "tanh"}},
            "inner": ["@times", "$width", 4], "tied": True, "labels": 2, "drop_attention": "$drop",
        },
        "spec": {
            "family": "$family", "context": "$context",
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "sharing": "$sharing",
                "embedding": {
                    "vocab": "$vocab", "width": "$table", "project": "$project", "types": "$types", "norm": "$norm",
                    "position": {"kind": "learned", "length": "$context", "offset": "$offset"},
                },
                "blocks": {"layer": {
                    "attention": {"heads": {"heads": "$heads", "bias": "qkvo"}},
                    "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"},
                    "norm": "$norm", "residual": {"placement": "post"},
                }},
            },
            "heads": "$heads_out",
            "dropout": {"embedding": "$drop", "attention": "$drop_attention", "residual": "$drop"},
            "init": {"kind": "normal", "std": 0.02, "residual": False},
        },
        "tokenizer": {"kind": "wordpiece", "vocab_size": "$vocab"},
        "training": {
            "objective": "masked", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.999], "eps": 1e-6, "weight_decay": 0.01},
            "schedule": {"kind": "linear", "warmup": 0.1},
        },
        "hf": {
            "types": ["bert"], "prefixes": ["bert."], "when": {"is_decoder": [None, False]},
            "classes": {
                "BertModel": ["pooler"], "BertForMaskedLM": ["mlm"], "BertForPreTraining": ["mlm", "pair"], "BertForNextSentencePrediction": ["pair"],
                "BertForSequenceClassification": ["classify"], "BertForTokenClassification": ["tag"], "BertForQuestionAnswering": ["span"],
                "BertForMultipleChoice": ["choice"],
            },
            "bare": ["BertModel"],
            "heads": {
                "pooler": {"task": "pool", "pool": "first", "dense": "$width", "act": "tanh"},
                "mlm": {"task": "mlm", "dense": "$width", "act": "$act", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True},
                "classify": {"task": "classify", "pool": "first", "dense": "$width", "act": "tanh", "output": "$labels", "bias": True},
                "choice": {"task": "classify", "pool": "first", "dense": "$width", "act": "tanh", "output": 1, "bias": True},
                "pair": {"task": "pair", "pool": "first", "dense": "$width", "act": "tanh", "output": 2, "bias": True},
                "tag": {"task": "tag", "output": "$labels", "bias": True}, "span": {"task": "span", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 30522], ["hidden_size", "width"], ["num_hidden_layers", "layers"], ["num_attention_heads", "heads"],
                ["intermediate_size", "inner"], ["max_position_embeddings", "context", 512], ["type_vocab_size", "types", 2], ["layer_norm_eps", "eps", 1e-12],
                ["hidden_act", "act", {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}, "gelu"],
                ["position_embedding_type", "=", ["absolute"]], ["tie_word_embeddings", "tied", True], ["@labels", "labels"],
                ["hidden_dropout_prob", "drop", 0.1], ["attention_probs_dropout_prob", "drop_attention", 0.1],
            ],
            "weights": [
                ["~embeddings.word_embeddings.weight", "encoder.embed.token"], ["~embeddings.position_embeddings.weight", "encoder.embed.position.weight"],
                ["~embeddings.token_type_embeddings.weight", "encoder.embed.types"], ["~embeddings.LayerNorm.*", "encoder.embed.norm.*"],
                ["~encoder.layer.{i}.attention.self.{query|key|value}.*", "encoder.layers.{i}.attention.heads.{q|k|v}.*"],
                ["~encoder.layer.{i}.attention.output.dense.*", "encoder.layers.{i}.attention.heads.o.*"],
                ["~encoder.layer.{i}.attention.output.LayerNorm.*", "encoder.layers.{i}.join_attention.after.*"],
                ["~encoder.layer.{i}.intermediate.dense.*", "encoder.layers.{i}.ffn.up.*"], ["~encoder.layer.{i}.output.dense.*", "encoder.layers.{i}.ffn.down.*"],
                ["~encoder.layer.{i}.output.LayerNorm.*", "encoder.layers.{i}.join_ffn.after.*"],
                ["~pooler.dense.*", "heads.{pooler|classify|choice|pair}.dense.*"],
                ["cls.predictions.transform.dense.*", "heads.mlm.dense.*"], ["cls.predictions.transform.LayerNorm.*", "heads.mlm.norm.*"],
                ["cls.predictions.bias", "heads.mlm.bias"], ["cls.predictions.decoder.bias", "heads.mlm.bias", "untied"],
                ["cls.predictions.decoder.weight", "heads.mlm.weight"], ["cls.seq_relationship.*", "heads.pair.*"],
                ["classifier.*", "heads.{classify|choice|tag}.*"], ["qa_outputs.*", "heads.span.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "bert-base": {"recipe": "bert", "width": 768, "layers": 12, "heads": 12},
    "bert-large": {"recipe": "bert", "width": 1024, "layers": 24, "heads": 16},
}  # fmt: skip
