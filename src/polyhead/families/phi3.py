"""Phi-3, Phi-3.5 and Phi-4-mini (Abdin et al. 2024, arXiv 2404.14219): LLaMA with one matrix for queries, keys and values and one
for gate and up, and longrope for the long contexts."""

RECIPES = {
    "phi3": {
        "base": "llama",
        "values": {"vocab": 32064, "context": 4096},
        "hf": {
            "types": ["phi3"], "pad": 32000,
            "classes": {
                "Phi3ForCausalLM": ["lm"], "Phi3Model": [], "Phi3ForSequenceClassification": ["classify"], "Phi3ForTokenClassification": ["tag"],
            },
            "heads": {"tag": {"task": "tag", "output": "$labels", "bias": True}},
            "config": [
                ["vocab_size", "vocab", 32064], ["max_position_embeddings", "context", 4096], ["rms_norm_eps", "eps", 1e-5],
                ["head_dim", "=", [None]], ["attention_bias", "=", [False]], ["mlp_bias"], ["sliding_window", "pattern", "@window", None],
            ],
            "weights": [
                ["~layers.{i}.self_attn.qkv_proj.*", ["decoder.layers.{i}.attention.heads.q.*", "decoder.layers.{i}.attention.heads.k.*", "decoder.layers.{i}.attention.heads.v.*"], "split"],
                ["~layers.{i}.mlp.gate_up_proj.*", ["decoder.layers.{i}.ffn.gate.*", "decoder.layers.{i}.ffn.up.*"], "split"], ["score.*", "heads.{classify|tag}.*"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "phi-3-mini-4k": {"recipe": "phi3", "width": 3072, "layers": 32, "heads": 32, "inner": 8192, "pattern": {"kind": "window", "back": 2046}},
    "phi-3-medium-4k": {
        "recipe": "phi3", "width": 5120, "layers": 40, "heads": 40, "kv_heads": 10, "inner": 17920, "pattern": {"kind": "window", "back": 2046},
    },
}  # fmt: skip
