"""Marian and the OPUS-MT models (Junczys-Dowmunt et al. 2018, arXiv 1804.00344; Tiedemann & Thottingal 2020): the Transformer of 2017
with sinusoids in halves, computed and never stored, and SiLU in the published models."""

RECIPES = {
    "marian": {
        "base": "bart",
        "values": {
            "vocab": 58101, "context": 512, "act": "silu", "embed_scale": ["@sqrt", "$width"], "embed_norm": None, "position": {"kind": "sinusoidal", "layout": "halves"},
        },
        "tokenizer": {"kind": "unigram"},
        "hf": {
            "types": ["marian"], "pad": 58100, "when": {"share_encoder_decoder_embeddings": [None, True], "tie_word_embeddings": [None, True]}, "classes": {"MarianMTModel": ["lm"], "MarianModel": []},
            "config": [["vocab_size", "vocab", 58101], ["decoder_vocab_size", "target_vocab", "$vocab"], ["eos_token_id"]],
            "computed": [["~{encoder|decoder}.embed_positions.weight", "{encoder|decoder}.embed.position", "also"]],
        },
    },
    "marian-two-tables": {
        "base": "marian", "values": {"shared": False},
        "hf": {
            "when": {"share_encoder_decoder_embeddings": [False]},
            "weights": [["~{encoder|decoder}.embed_tokens.weight", "{encoder|decoder}.embed.token"], ["~shared.weight"]],
        },
    },
    "marian-untied": {
        "base": "marian", "values": {"shared": False, "tied": False},
        "hf": {
            "when": {"share_encoder_decoder_embeddings": [None, True], "tie_word_embeddings": [False]},
            "weights": [
                ["~shared.weight", "{encoder|decoder}.embed.token", "spare"], ["~{encoder|decoder}.embed_tokens.weight", "{encoder|decoder}.embed.token"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "opus-mt-de-en": {"recipe": "marian", "width": 512, "layers": 6, "heads": 8, "inner": 2048},
}  # fmt: skip
