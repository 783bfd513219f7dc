"""ELECTRA (Clark et al. 2020, arXiv 2003.10555): BERT's shape with a factorised table; the discriminator says of every token
whether it was replaced, the generator is a masked language model."""

RECIPES = {
    "electra": {
        "base": "bert",
        "values": {"table": "$width", "heads_out": {"states": {"task": "embed"}}, "project": ["@differ", "$table", "$width", "sum", "none"]},
        "spec": {"encoder": {"embedding": {"width": ["@differ", "$table", "$width", "$table", None], "project": "$project"}}},
        "hf": {
            "types": ["electra"], "prefixes": ["electra."],
            "classes": {
                "ElectraModel": [], "ElectraForMaskedLM": ["mlm"], "ElectraForPreTraining": ["rtd"], "ElectraForSequenceClassification": ["classify"],
                "ElectraForTokenClassification": ["tag"], "ElectraForQuestionAnswering": ["span"],
                "ElectraForMultipleChoice": ["choice"],
            },
            "heads": {
                "mlm": {"task": "mlm", "dense": "$table", "act": "gelu", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True},
                "rtd": {"task": "rtd", "dense": "$width", "act": "$act", "output": 1, "bias": True},
                "classify": {"task": "classify", "pool": "first", "dense": "$width", "act": "gelu", "output": "$labels", "bias": True},
                "choice": {"task": "classify", "pool": "first", "dense": "$width", "act": "$summary", "output": 1, "bias": True},
            },
            "config": [
                ["embedding_size", "table", 128], ["summary_activation", "summary", {"gelu": "gelu", "tanh": "tanh", "relu": "relu"}, "gelu"],
                ["summary_type", "=", [None, "first"]], ["summary_use_proj", "=", [None, True]],
            ],
            "weights": [
                ["~embeddings_project.*", "encoder.embed.project.*"], ["generator_predictions.dense.*", "heads.mlm.dense.*"],
                ["generator_predictions.LayerNorm.*", "heads.mlm.norm.*"], ["generator_lm_head.bias", "heads.mlm.bias"], ["generator_lm_head.weight", "heads.mlm.weight"],
                ["discriminator_predictions.dense.*", "heads.rtd.dense.*"], ["discriminator_predictions.dense_prediction.*", "heads.rtd.*"],
                ["classifier.dense.*", "heads.classify.dense.*"], ["classifier.out_proj.*", "heads.classify.*"], ["classifier.*", "heads.{choice|tag}.*"], ["sequence_summary.summary.*", "heads.choice.dense.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "electra-small": {"recipe": "electra", "width": 256, "layers": 12, "heads": 4, "table": 128, "lr": 5e-4},
    "electra-base": {"recipe": "electra", "width": 768, "layers": 12, "heads": 12, "lr": 2e-4},
    "electra-large": {"recipe": "electra", "width": 1024, "layers": 24, "heads": 16, "lr": 2e-4},
}  # fmt: skip
