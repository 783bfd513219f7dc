"""BigBird (Zaheer et al. 2020, arXiv 2007.14062): BERT whose rows are cut into blocks; a block sees itself, its neighbours, the
first and the last. Outside training Hugging Face draws block 0 for each random block, so that its keys count once more each, and
lets rows of at most (5 + 2·random)·block tokens see everything: both are the pattern here, in training too."""

RECIPES = {
    "big_bird": {
        "base": "bert",
        "values": {
            "vocab": 50358, "context": 4096, "act": "gelu_tanh", "bias": "qkvo", "scale": 1.0, "root": ["@sqrt", "$width"], "block": 64, "random": 3,
            "pattern": {"kind": "block_sparse", "block": "$block", "random": "$random", "draw": "block0"},
        },
        "spec": {"encoder": {
            "embedding": {"scale": "$scale"}, "blocks": {"layer": {
                "attention": {"heads": {"heads": "$heads", "bias": "$bias"}, "pattern": "$pattern"},
                "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm", "residual": {"placement": "post"},
            }},
        }},
        "tokenizer": {"kind": "unigram"},
        "hf": {
            "types": ["big_bird"],
            "classes": {
                "BigBirdModel": ["pooler"], "BigBirdForMaskedLM": ["mlm", "pooler"], "BigBirdForPreTraining": ["mlm", "pair"], "BigBirdForSequenceClassification": ["classify", "pooler"],
                "BigBirdForTokenClassification": ["tag", "pooler"], "BigBirdForQuestionAnswering": ["span"], "BigBirdForMultipleChoice": ["choice"],
            },
            "bare": ["BigBirdModel"],
            "heads": {
                "classify": {"task": "classify", "pool": "first", "dense": "$width", "act": "$act", "output": "$labels", "bias": True},
                "span": {"task": "span", "dense": "$inner", "act": "$act", "back": True, "norm": "$norm", "output": 2, "bias": True},
            },
            "config": [
                ["vocab_size", "vocab", 50358], ["max_position_embeddings", "context", 4096], ["use_bias", "bias", {True: "qkvo", False: "o"}, True],
                ["hidden_act", "act", {"gelu_new": "gelu_tanh", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}, "gelu_new"],
                ["rescale_embeddings", "scale", {False: 1.0, True: "$root"}, False], ["block_size", "block", 64], ["num_random_blocks", "random", 3],
                ["attention_type", "pattern", {
                    "block_sparse": {"kind": "block_sparse", "block": "$block", "random": "$random", "draw": "block0"}, "original_full": {"kind": "full"},
                }, "block_sparse"],
            ],
            "weights": [
                ["~pooler.dense.*"], ["~pooler.*", "heads.{pooler|choice|pair}.dense.*"], ["classifier.*", "heads.{choice|tag}.*"], ["classifier.dense.*", "heads.classify.dense.*"],
                ["classifier.out_proj.*", "heads.classify.*"], ["qa_classifier.intermediate.dense.*", "heads.span.dense.*"], ["qa_classifier.output.dense.*", "heads.span.back.*"],
                ["qa_classifier.output.LayerNorm.*", "heads.span.norm.*"], ["qa_classifier.qa_outputs.*", "heads.span.*"], ["qa_outputs.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "bigbird-roberta-base": {"recipe": "big_bird", "width": 768, "layers": 12, "heads": 12},
    "bigbird-roberta-large": {"recipe": "big_bird", "width": 1024, "layers": 24, "heads": 16},
}  # fmt: skip
