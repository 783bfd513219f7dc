"""CLIP (Radford et al. 2021, arXiv 2103.00020): a ViT whose embeddings are normed and whose class token alone is normed at the end,
and a causal Transformer that is read where its text ends; each gives a vector, and the pair compares them. Old configs name 2
as the end of a text, and mean the place of the largest id."""

RECIPES = {
    "clip_vision_model": {
        "base": "vit",
        "values": {
            "patch": 32, "patch_bias": False, "embed_norm": "$norm", "eps": 1e-5, "act": "quick_gelu", "final": None, "projection": 512, "drop": 0.0, "drop_attention": 0.0,
            "heads_out": {"embed": {"task": "embed", "pool": "first", "input_norm": "$norm", "output": "$projection"}}, "lr": 5e-4,
        },
        "hf": {
            "types": ["clip_vision_model"], "renames": True, "prefixes": ["vision_model."], "bare": [],
            "classes": {"CLIPVisionModel": ["pooler"], "CLIPVisionModelWithProjection": ["embed"]},
            "heads": {
                "pooler": {"task": "pool", "pool": "first", "input_norm": "$norm"}, "embed": {"task": "embed", "pool": "first", "input_norm": "$norm", "output": "$projection"},
                "classify": {"task": "image", "pool": "mean_patches", "output": "$labels", "bias": True},
            },
            "config": [
                ["hidden_act", "act", {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}, "quick_gelu"],
                ["layer_norm_eps", "eps", 1e-5], ["patch_size", "patch", 32], ["projection_dim", "projection", 512], ["attention_dropout", "drop_attention", 0.0],
                ["qkv_bias"], ["pooler_output_size"], ["pooler_act"], ["hidden_dropout_prob"], ["attention_probs_dropout_prob"],
            ],
            "weights": [
                ["~embeddings.cls_token"], ["~embeddings.position_embeddings"], ["~embeddings.patch_embeddings.projection.*"],
                ["~encoder.layer.{i}.attention.attention.{query|key|value}.*"], ["~encoder.layer.{i}.attention.output.dense.*"],
                ["~encoder.layer.{i}.layernorm_{before|after}.*"], ["~encoder.layer.{i}.intermediate.dense.*"], ["~encoder.layer.{i}.output.dense.*"],
                ["~layernorm.*"], ["~pooler.dense.*"], ["~embeddings.class_embedding", "encoder.embed.cls"], ["~embeddings.patch_embedding.*", "encoder.embed.patch.*"],
                ["~embeddings.position_embedding.weight", "encoder.embed.position.weight"], ["~pre_layrnorm.*", "encoder.embed.norm.*"],
                ["~encoder.layers.{i}.self_attn.{q|k|v|out}_proj.*", "encoder.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~encoder.layers.{i}.layer_norm{1|2}.*", "encoder.layers.{i}.join_{attention|ffn}.ins.0.*"], ["~encoder.layers.{i}.mlp.fc{1|2}.*", "encoder.layers.{i}.ffn.{up|down}.*"],
                ["~post_layernorm.*", "heads.{pooler|embed}.input_norm.*"], ["visual_projection.weight", "heads.embed.weight"], ["classifier.*", "heads.classify.*"],
            ],
        },
    },
    "clip-classifier": {  # its files hold the norm of the class token, which its answer does not use
        "base": "clip_vision_model",
        "hf": {
            "types": ["clip"], "when": {"architectures": [["CLIPForImageClassification"]]}, "inside": "vision_config", "outside": ["id2label", "label2id", "num_labels"],
            "classes": {"CLIPForImageClassification": ["classify", "pooler"]}, "config": [["projection_dim"]],
        },
    },
    "clip_text_model": {
        "values": {
            "vocab": 49408, "context": 77, "eps": 1e-5, "norm": {"kind": "layer", "eps": "$eps"}, "act": "quick_gelu", "inner": ["@times", "$width", 4], "projection": 512,
            "eos": 49407, "where": ["@differ", "$eos", None, "eos", "largest_id"], "drop_attention": 0.0, "lr": 5e-4,
            "heads_out": {"embed": {"task": "embed", "pool": "$where", "eos": "$eos", "output": "$projection"}},
        },
        "spec": {
            "family": "$family", "context": "$context",
            "decoder": {
                "width": "$width", "layers": "$layers", "layout": ["layer"], "final_norm": "$norm",
                "embedding": {"vocab": "$vocab", "position": {"kind": "learned", "length": "$context"}},
                "blocks": {"layer": {
                    "attention": {"heads": {"heads": "$heads", "bias": "qkvo"}, "pattern": {"kind": "causal"}}, "ffn": {"kind": "plain", "act": "$act", "inner": "$inner"}, "norm": "$norm",
                }},
            },
            "heads": "$heads_out", "dropout": {"attention": "$drop_attention"}, "init": {"kind": "normal", "std": 0.02, "residual": True},
        },
        "tokenizer": {"kind": "byte_bpe", "vocab_size": "$vocab"},
        "training": {
            "objective": "causal", "steps": 10000, "batch": 32,
            "optimizer": {"kind": "adamw", "lr": "$lr", "betas": [0.9, 0.98], "weight_decay": 0.2}, "schedule": {"kind": "cosine", "warmup": 0.02, "final": 0.0},
        },
        "hf": {
            "types": ["clip_text_model"], "renames": True, "prefixes": ["text_model."], "classes": {"CLIPTextModel": ["pooler"], "CLIPTextModelWithProjection": ["embed"]},
            "heads": {
                "pooler": {"task": "pool", "pool": "$where", "eos": "$eos"}, "embed": {"task": "embed", "pool": "$where", "eos": "$eos", "output": "$projection"},
            },
            "config": [
                ["vocab_size", "vocab", 49408], ["hidden_size", "width", 512], ["num_hidden_layers", "layers", 12], ["num_attention_heads", "heads", 8], ["intermediate_size", "inner", 2048],
                ["max_position_embeddings", "context", 77], ["layer_norm_eps", "eps", 1e-5], ["projection_dim", "projection", 512], ["eos_token_id", "eos", "@unless_2", 49407],
                ["hidden_act", "act", {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}, "quick_gelu"],
                ["attention_dropout", "drop_attention", 0.0],
            ],
            "weights": [
                ["~embeddings.token_embedding.weight", "decoder.embed.token"], ["~embeddings.position_embedding.weight", "decoder.embed.position.weight"],
                ["~encoder.layers.{i}.self_attn.{q|k|v|out}_proj.*", "decoder.layers.{i}.attention.heads.{q|k|v|o}.*"],
                ["~encoder.layers.{i}.layer_norm{1|2}.*", "decoder.layers.{i}.join_{attention|ffn}.ins.0.*"], ["~encoder.layers.{i}.mlp.fc{1|2}.*", "decoder.layers.{i}.ffn.{up|down}.*"],
                ["~final_layer_norm.*", "decoder.final_norm.*"], ["text_projection.weight", "heads.embed.weight"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "clip-vit-base-32-image": {"recipe": "clip_vision_model", "width": 768, "layers": 12, "heads": 12},
    "clip-vit-base-32-text": {"recipe": "clip_text_model", "width": 512, "layers": 12, "heads": 8},
    "clip-vit-large-14-image": {"recipe": "clip_vision_model", "patch": 14, "width": 1024, "layers": 24, "heads": 16, "projection": 768},
    "clip-vit-large-14-text": {"recipe": "clip_text_model", "width": 768, "layers": 12, "heads": 12, "projection": 768},
}  # fmt: skip

PAIRS = {
    "clip": {
        "types": ["clip"], "class": "CLIPModel", "shared": {"projection_dim": 512}, "scale": ["logit_scale_init_value", 2.6592],
        "image": {"key": "vision_config", "recipe": "clip_vision_model", "class": "CLIPVisionModelWithProjection"},
        "text": {"key": "text_config", "recipe": "clip_text_model", "class": "CLIPTextModelWithProjection"},
        "presets": {
            "clip-vit-base-32": {"image": "clip-vit-base-32-image", "text": "clip-vit-base-32-text"},
            "clip-vit-large-14": {"image": "clip-vit-large-14-image", "text": "clip-vit-large-14-text"},
        },
    },
}  # fmt: skip
