"""RoBERTa (Liu et al. 2019, arXiv 1907.11692), XLM-R (arXiv 1911.02116), CamemBERT (arXiv 1911.03894): BERT with positions
that start after the padding id, one token type, and a classifier without a pooler of its own name."""

RECIPES = {
    "roberta": {
        "base": "bert",
        "values": {"vocab": 50265, "context": 512, "offset": 2, "types": 1, "eps": 1e-5},
        "tokenizer": {"kind": "byte_bpe"},
        "hf": {
            "types": ["roberta"], "prefixes": ["roberta."],
            "classes": {
                "RobertaModel": ["pooler"], "RobertaForMaskedLM": ["mlm"], "RobertaForSequenceClassification": ["classify"],
                "RobertaForTokenClassification": ["tag"], "RobertaForQuestionAnswering": ["span"], "RobertaForMultipleChoice": ["choice"],
            },
            "bare": ["RobertaModel"],
            "heads": {"mlm": {"task": "mlm", "dense": "$width", "act": "gelu", "norm": "$norm", "output": "$vocab", "tied": "$tied", "bias": True}},
            "config": [
                ["max_position_embeddings", "context", "@less_two", 512], ["pad_token_id", "=", [1]], ["vocab_size", "vocab", 50265],
            ],
            "weights": [
                ["~pooler.dense.*", "heads.{pooler|choice}.dense.*"], ["lm_head.dense.*", "heads.mlm.dense.*"], ["lm_head.layer_norm.*", "heads.mlm.norm.*"],
                ["lm_head.bias", "heads.mlm.bias"], ["lm_head.decoder.bias", "heads.mlm.bias", "untied"], ["lm_head.decoder.weight", "heads.mlm.weight"],
                ["classifier.dense.*", "heads.classify.dense.*"], ["classifier.out_proj.*", "heads.classify.*"], ["classifier.*", "heads.{choice|tag}.*"],
            ],
        },
    },
    "xlm-roberta": {
        "base": "roberta", "values": {"vocab": 250002}, "tokenizer": {"kind": "unigram"},
        "hf": {
            "types": ["xlm-roberta"],
            "classes": {
                "XLMRobertaModel": ["pooler"], "XLMRobertaForMaskedLM": ["mlm"], "XLMRobertaForSequenceClassification": ["classify"],
                "XLMRobertaForTokenClassification": ["tag"], "XLMRobertaForQuestionAnswering": ["span"], "XLMRobertaForMultipleChoice": ["choice"],
            },
            "bare": ["XLMRobertaModel"],
        },
    },
    "camembert": {
        "base": "roberta", "values": {"vocab": 32005}, "tokenizer": {"kind": "unigram"},
        "hf": {
            "types": ["camembert"],
            "classes": {
                "CamembertModel": ["pooler"], "CamembertForMaskedLM": ["mlm"], "CamembertForSequenceClassification": ["classify"],
                "CamembertForTokenClassification": ["tag"], "CamembertForQuestionAnswering": ["span"], "CamembertForMultipleChoice": ["choice"],
            },
            "bare": ["CamembertModel"],
        },
    },
}  # fmt: skip

PRESETS = {
    "roberta-base": {"recipe": "roberta", "width": 768, "layers": 12, "heads": 12},
    "roberta-large": {"recipe": "roberta", "width": 1024, "layers": 24, "heads": 16},
    "xlm-roberta-base": {"recipe": "xlm-roberta", "width": 768, "layers": 12, "heads": 12},
    "xlm-roberta-large": {"recipe": "xlm-roberta", "width": 1024, "layers": 24, "heads": 16},
    "camembert-base": {"recipe": "camembert", "width": 768, "layers": 12, "heads": 12},
    "camembert-large": {"recipe": "camembert", "width": 1024, "layers": 24, "heads": 16},
}  # fmt: skip
