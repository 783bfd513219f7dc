"""ViT (Dosovitskiy et al. 2021, arXiv 2010.11929): a pre-norm encoder of image patches behind a class token, with a table of
positions that is stretched to images of other sizes (§3.2). The published models classify ImageNet's 1,000 kinds."""

RECIPES = {
    "vit": {
        "values": {
            "image": 224, "patch": 16, "channels": 3, "patch_bias": True, "mask": False, "positions": ["@patches", "$image", "$patch"], "embed_norm": None,
            "bias": "qkvo", "act": "gelu", "inner": ["@times", "$width", 4], "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"},
            "norm": {"kind": "layer", "eps": "$eps"}, "eps": 1e-12, "final": "$norm", "residual": {"placement": "pre"}, "drop": 0.0, "drop_attention": "$drop",
            "pooler_width": "$width", "pooler_act": "tanh", "labels": 1000, "heads_out": {"classify": "$classify"},
            "classify": {"task": "image", "pool": "first", "output": "$labels", "bias": True}, "lr": 1e-3,
        },
        "spec": {
            "family": "$family", "context": "$positions",
            "encoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"],
                "embedding": {
                    "input": {"kind": "patches", "image": "$image", "patch": "$patch", "channels": "$channels", "bias": "$patch_bias", "mask_token": "$mask"},
                    "position": {"kind": "learned", "length": "$positions", "resize": "bicubic"}, "norm": "$embed_norm",
                },
                "blocks": {"layer": {"attention": {"heads": {"heads": "$heads", "bias": "$bias"}}, "ffn": "$ffn", "norm": "$norm", "residual": "$residual"}},
                "final_norm": "$final",
            },
            "heads": "$heads_out",
            "dropout": {"embedding": "$drop", "attention": "$drop_attention", "residual": "$drop"},
            "init": {"kind": "normal", "std": 0.02, "residual": False},
        },
        "tokenizer": {"kind": "bytes"},
        "training": {
            "objective": "image", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.999], "weight_decay": 0.1}, "schedule": {"kind": "cosine", "warmup": 0.03, "final": 0.0},
        },
        "hf": {
            "types": ["vit"], "renames": True, "prefixes": ["vit."], "bare": ["ViTModel"],
            "classes": {"ViTModel": ["pooler"], "ViTForImageClassification": ["classify"]},
            "heads": {"pooler": {"task": "pool", "pool": "first", "dense": "$pooler_width", "act": "$pooler_act"}, "classify": "$classify"},
            "config": [
                ["hidden_size", "width", 768], ["num_hidden_layers", "layers", 12], ["num_attention_heads", "heads", 12], ["intermediate_size", "inner", 3072],
                ["hidden_act", "act", {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "quick_gelu": "quick_gelu", "relu": "relu", "silu": "silu"}, "gelu"],
                ["layer_norm_eps", "eps", 1e-12], ["image_size", "image", 224], ["patch_size", "patch", 16], ["num_channels", "channels", 3],
                ["qkv_bias", "bias", {True: "qkvo", False: "o"}, True], ["pooler_output_size", "pooler_width", "$width"],
                ["pooler_act", "pooler_act", {"tanh": "tanh", "gelu": "gelu", "relu": "relu", "silu": "silu"}, "tanh"], ["@labels", "labels"],
                ["hidden_dropout_prob", "drop", 0.0], ["attention_probs_dropout_prob", "drop_attention", 0.0],
            ],
            "weights": [
                ["~embeddings.cls_token", "encoder.embed.cls", "row0", "row0"], ["~embeddings.position_embeddings", "encoder.embed.position.weight", "row0"],
                ["~embeddings.patch_embeddings.projection.*", "encoder.embed.patch.*"],
                ["~encoder.layer.{i}.attention.attention.{query|key|value}.*", "encoder.layers.{i}.attention.heads.{q|k|v}.*"],
                ["~encoder.layer.{i}.attention.output.dense.*", "encoder.layers.{i}.attention.heads.o.*"],
                ["~encoder.layer.{i}.layernorm_{before|after}.*", "encoder.layers.{i}.join_{attention|ffn}.ins.0.*"],
                ["~encoder.layer.{i}.intermediate.dense.*", "encoder.layers.{i}.ffn.up.*"], ["~encoder.layer.{i}.output.dense.*", "encoder.layers.{i}.ffn.down.*"],
                ["~layernorm.*", "encoder.final_norm.*"], ["~pooler.dense.*", "heads.pooler.dense.*"], ["classifier.*", "heads.classify.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "vit-nano": {"recipe": "vit", "width": 96, "layers": 6, "heads": 4, "image": 28, "patch": 4, "channels": 1, "inner": 192, "eps": 1e-6, "lr": 2e-3, "labels": 10},
    "vit-base-16-224": {"recipe": "vit", "width": 768, "layers": 12, "heads": 12},
    "vit-large-16-224": {"recipe": "vit", "width": 1024, "layers": 24, "heads": 16},
}  # fmt: skip
