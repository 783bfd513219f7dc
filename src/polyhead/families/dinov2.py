"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193): ViT with a gain per channel behind each sublayer, a vector for masked patches, and,
in the giant one, a gated feed-forward of two thirds the width. A classifier reads the class token beside the mean patch."""

RECIPES = {
    "dinov2": {
        "base": "vit",
        "values": {
            "patch": 14, "image": 518, "mask": True, "eps": 1e-6, "residual": {"placement": "pre", "gain": {"kind": "layer_scale", "start": "$start"}, "stochastic_depth": "$depth"},
            "start": 1.0, "depth": 0.0, "ratio": 4, "inner": ["@times", "$ratio", "$width"],
            "heads_out": {"states": {"task": "embed"}}, "classify": {"task": "image", "pool": "first_mean", "output": "$labels", "bias": True},
        },
        "hf": {
            "types": ["dinov2"], "renames": True, "when": {"use_swiglu_ffn": [None, False]}, "prefixes": ["dinov2."], "bare": [], "classes": {"Dinov2Model": [], "Dinov2ForImageClassification": ["classify"]},
            "config": [
                ["intermediate_size"], ["pooler_output_size"], ["pooler_act"], ["mlp_ratio", "ratio", 4], ["layer_norm_eps", "eps", 1e-6], ["patch_size", "patch", 14],
                ["layerscale_value", "start", 1.0], ["drop_path_rate", "depth", 0.0], ["use_mask_token", "mask", True],
            ],
            "weights": [
                ["~embeddings.mask_token", "encoder.embed.mask", "row0"],
                ["~encoder.layer.{i}.layernorm_{before|after}.*"], ["~encoder.layer.{i}.intermediate.dense.*"], ["~encoder.layer.{i}.output.dense.*"], ["~pooler.dense.*"],
                ["~encoder.layer.{i}.norm{1|2}.*", "encoder.layers.{i}.join_{attention|ffn}.ins.0.*"],
                ["~encoder.layer.{i}.layer_scale{1|2}.lambda1", "encoder.layers.{i}.join_{attention|ffn}.gains.0"],
                ["~encoder.layer.{i}.mlp.fc{1|2}.*", "encoder.layers.{i}.ffn.{up|down}.*"],
            ],
        },
    },
    "dinov2-gated": {
        "base": "dinov2", "values": {"inner": ["@swiglu", ["@times", "$ratio", "$width"]], "ffn": {"kind": "gated", "act": "silu", "bias": True, "inner": "$inner"}},
        "hf": {
            "when": {"use_swiglu_ffn": [True]}, "config": [["hidden_act"]],
            "weights": [
                ["~encoder.layer.{i}.mlp.fc{1|2}.*"], ["~encoder.layer.{i}.mlp.weights_out.*", "encoder.layers.{i}.ffn.down.*"],
                ["~encoder.layer.{i}.mlp.weights_in.*", ["encoder.layers.{i}.ffn.gate.*", "encoder.layers.{i}.ffn.up.*"], "split"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "dinov2-small": {"recipe": "dinov2", "width": 384, "layers": 12, "heads": 6},
    "dinov2-base": {"recipe": "dinov2", "width": 768, "layers": 12, "heads": 12},
    "dinov2-large": {"recipe": "dinov2", "width": 1024, "layers": 24, "heads": 16},
    "dinov2-giant": {"recipe": "dinov2-gated", "width": 1536, "layers": 40, "heads": 24},
}  # fmt: skip
