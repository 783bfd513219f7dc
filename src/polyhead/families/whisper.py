"""Whisper (Radford et al. 2022, arXiv 2212.04356): a pre-norm encoder–decoder whose encoder reads a log-mel spectrum through two
convolutions; keys without biases; positions are tables on both sides (the encoder's start as sinusoids)."""

RECIPES = {
    "whisper": {
        "base": "bart",
        "values": {
            "vocab": 51865, "context": 448, "seconds": 1500, "bands": 80, "residual": {"placement": "pre"}, "final": "$norm", "embed_norm": None, "shared": False,
            "position": {"kind": "learned", "length": "$context"}, "encoder_position": {"kind": "learned", "length": "$seconds"},
            "source": {"input": {"kind": "frames", "channels": "$bands"}, "position": "$encoder_position"},
            "reads": {"heads": {"heads": "$heads", "bias": "qvo"}}, "grouped": {"heads": "$decoder_heads", "bias": "qvo"}, "target_vocab": 51865, "drop": 0.0,
        },
        "spec": {"heads": {"lm": {"task": "lm", "output": "$target_vocab", "tied": "$tied"}}},
        "hf": {
            "types": ["whisper"], "when": {}, "pad": 50256, "classes": {"WhisperForConditionalGeneration": ["lm"], "WhisperModel": []},
            "heads": {"lm": {"task": "lm", "output": "$target_vocab", "tied": "$tied"}},
            "config": [
                ["vocab_size", "target_vocab", 51865], ["max_position_embeddings"], ["max_source_positions", "seconds", 1500], ["max_target_positions", "context", 448],
                ["num_mel_bins", "bands", 80], ["d_model", "width", 384], ["encoder_layers", "layers", 4], ["decoder_layers", "decoder_layers", 4], ["encoder_attention_heads", "heads", 6],
                ["decoder_attention_heads", "decoder_heads", 6], ["encoder_ffn_dim", "inner", 1536], ["decoder_ffn_dim", "decoder_inner", 1536], ["scale_embedding"], ["eos_token_id"],
                ["dropout", "drop", 0.0],
            ],
            "weights": [
                ["~{encoder|decoder}.embed_tokens.weight"], ["~shared.weight"], ["~decoder.embed_tokens.weight", "decoder.embed.token"], ["~encoder.{conv1|conv2}.*", "encoder.embed.{conv1|conv2}.*"],
                ["~{encoder|decoder}.layers.{i}.self_attn_layer_norm.*", "{encoder|decoder}.layers.{i}.join_attention.ins.0.*"],
                ["~decoder.layers.{i}.encoder_attn_layer_norm.*", "decoder.layers.{i}.join_cross.ins.0.*"],
                ["~{encoder|decoder}.layers.{i}.final_layer_norm.*", "{encoder|decoder}.layers.{i}.join_ffn.ins.0.*"], ["~{encoder|decoder}.layer_norm.*", "{encoder|decoder}.final_norm.*"],
                ["lm_head.weight"], ["proj_out.weight", "heads.lm.weight"],
            ],
        },
    },
}  # fmt: skip

PRESETS = {
    "whisper-tiny": {"recipe": "whisper", "width": 384, "layers": 4, "heads": 6},
    "whisper-base": {"recipe": "whisper", "width": 512, "layers": 6, "heads": 8},
    "whisper-small": {"recipe": "whisper", "width": 768, "layers": 12, "heads": 12},
    "whisper-medium": {"recipe": "whisper", "width": 1024, "layers": 24, "heads": 16},
    "whisper-large-v2": {"recipe": "whisper", "width": 1280, "layers": 32, "heads": 20},
    "whisper-large-v3": {"recipe": "whisper", "target_vocab": 51866, "width": 1280, "layers": 32, "heads": 20, "bands": 128},
    "whisper-large-v3-turbo": {"recipe": "whisper", "target_vocab": 51866, "width": 1280, "layers": 32, "decoder_layers": 4, "heads": 20, "bands": 128},
}  # fmt: skip
