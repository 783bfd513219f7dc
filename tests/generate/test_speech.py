"""From a folder and a sound to text, as transformers goes there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import polyhead as ph
from polyhead.errors import UserError
from polyhead.nn import Tokens

hf = pytest.importorskip("transformers")
SOUNDS = [(0.3 * np.sin(np.arange(14_000) * pitch)).astype(np.float32) for pitch in (0.05, 0.2, 0.5)]
WHISPER = {
    "vocab_size": 60, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24, "num_mel_bins": 20, "max_source_positions": 50, "max_target_positions": 24, "decoder_start_token_id": 50, "eos_token_id": 49,
    "pad_token_id": 49, "bos_token_id": 49,
}  # fmt: skip
HOW = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 20, "chunk_length": 1}


@pytest.fixture
def hearing(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    model = hf.WhisperForConditionalGeneration(hf.WhisperConfig(**WHISPER))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    model.save_pretrained(tmp_path / "whisper")
    (tmp_path / "whisper" / "preprocessor_config.json").write_text(json.dumps(HOW))
    return tmp_path / "whisper"


@torch.no_grad()
def test_what_is_heard_is_what_the_reference_hears(hearing: Path) -> None:
    model, ids = ph.load(hearing), torch.tensor([[50, 3, 9]] * 3)
    extractor = hf.WhisperFeatureExtractor.from_pretrained(hearing)
    features = torch.from_numpy(np.asarray(extractor(SOUNDS, sampling_rate=16_000).input_features))
    wanted = hf.WhisperForConditionalGeneration.from_pretrained(hearing)(input_features=features, decoder_input_ids=ids).logits
    heard = model.frames(SOUNDS)
    assert heard.shape == (3, 20, 100)
    assert (model.net(Tokens(ids), Tokens(signal=heard)) - wanted).abs().max() < 1e-4


def test_what_cannot_be_heard_is_refused(hearing: Path) -> None:
    model = ph.load(hearing)
    with pytest.raises(UserError, match="reads no images"):
        model.pixels(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="reads no sounds"):
        ph.Model(ph.preset("gpt-nano").build(0)).frames(SOUNDS)
    with pytest.raises(UserError, match="feature_size"):
        ph.Model(model.net, meta={"preprocessor": HOW | {"feature_size": 80}}).frames(SOUNDS)
    with pytest.raises(UserError, match="nothing says how this model's sounds"):
        ph.Model(model.net).frames(SOUNDS)
