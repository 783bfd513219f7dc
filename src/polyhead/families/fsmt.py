"""FSMT, the models of Facebook's WMT 2019 submission (Ng et al. 2019, arXiv 1907.06616), the published form nearest to the Transformer of
2017: ReLU, post-norm, √width, fairseq's sinusoids, two vocabularies and three matrices."""

RECIPES = {
    "fsmt": {
        "base": "bart",
        "values": {
            "vocab": 42024, "act": "relu", "shared": False, "tied": False, "embed_scale": ["@sqrt", "$width"], "embed_norm": None,
            "position": {"kind": "sinusoidal", "layout": "halves", "step": "half-1", "offset": 2},
        },
        "spec": {"heads": {"lm": {"task": "lm", "output": "$target_vocab", "tied": "$tied"}}},
        "tokenizer": {"kind": "bpe"},
        "hf": {
            "types": ["fsmt"], "when": {}, "classes": {"FSMTForConditionalGeneration": ["lm"]},
            "heads": {"lm": {"task": "lm", "output": "$target_vocab", "tied": "$tied"}},
            "config": [
                ["vocab_size"], ["src_vocab_size", "vocab", 42024], ["tgt_vocab_size", "target_vocab", 42024], ["pad_token_id", "=", [1]], ["eos_token_id"],
                ["activation_function", "act", {"relu": "relu", "gelu": "gelu"}, "relu"], ["scale_embedding", "embed_scale", {False: 1.0, True: "$root"}, True], ["tie_word_embeddings", "tied", False],
            ],
            "weights": [
                ["~{encoder|decoder}.embed_tokens.weight", "{encoder|decoder}.embed.token"], ["~shared.weight"], ["~decoder.output_projection.weight", "heads.lm.weight"], ["lm_head.weight"],
            ],
            "computed": [
                ["~{encoder|decoder}.embed_positions.weights", "{encoder|decoder}.embed.position", "also"], ["~{encoder|decoder}.embed_positions.weight", "{encoder|decoder}.embed.position"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "wmt19-en-de": {"recipe": "fsmt", "width": 1024, "layers": 6, "heads": 16, "inner": 8192, "decoder_inner": 4096},
}  # fmt: skip
