"""Longformer (Beltagy et al. 2020, arXiv 2004.05150): RoBERTa in which a token sees half a window on either side, and marked
tokens (`Tokens.mark`) see and are seen by all, through projections of their own. Who is marked is the task's choice: for a
classification the first token, for a question the question, for choices each choice; for masked tokens nobody (§5, §6)."""

RECIPES = {
    "longformer": {
        "base": "roberta",
        "values": {"context": 4096, "layout": ["w256"]},
        "spec": {"encoder": {
            "layout": "$layout",
            "blocks": {"w{n}": {
                "attention": {
                    "heads": {"heads": "$heads", "bias": "qkvo"}, "global_heads": True,
                    "pattern": {"kind": "or", "parts": [{"kind": "window", "back": "$n", "ahead": "$n"}, {"kind": "marked", "keys": True, "queries": True}]},
                },
                "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": {"placement": "post"},
            }},
        }},
        "hf": {
            "types": ["longformer"], "prefixes": ["longformer."],
            "classes": {
                "LongformerModel": ["pooler"], "LongformerForMaskedLM": ["mlm"], "LongformerForSequenceClassification": ["classify"],
                "LongformerForTokenClassification": ["tag"], "LongformerForQuestionAnswering": ["span"], "LongformerForMultipleChoice": ["choice"],
            },
            "bare": ["LongformerModel"],
            "config": [["vocab_size", "vocab", 30522], ["@layers", "layout", {"each": "attention_window", "default": 512, "name": "w{n}", "half": True}]],
            "weights": [
                ["~encoder.layer.{i}.attention.self.{query|key|value}_global.*", "encoder.layers.{i}.attention.global_heads.{q|k|v}.*"],
                ["~pooler.dense.*", "heads.{pooler|choice}.dense.*"], ["classifier.*", "heads.{choice|tag}.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "longformer-base-4096": {"recipe": "longformer", "width": 768, "layers": 12, "heads": 12},
    "longformer-large-4096": {"recipe": "longformer", "width": 1024, "layers": 24, "heads": 16},
}  # fmt: skip
