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


GENERATION = {
    "decoder_start_token_id": 50, "eos_token_id": 49, "pad_token_id": 49, "bos_token_id": 49, "is_multilingual": True, "lang_to_id": {"<|en|>": 51, "<|de|>": 52},
    "task_to_id": {"transcribe": 53, "translate": 54}, "no_timestamps_token_id": 55, "suppress_tokens": [1, 2, 7], "begin_suppress_tokens": [3, 49],
    "max_length": 24, "return_timestamps": False,
}  # fmt: skip


@pytest.mark.parametrize(("language", "task"), [("de", "transcribe"), ("en", "translate"), (None, "transcribe")])
def test_what_is_written_is_what_the_reference_writes(hearing: Path, language: str | None, task: str) -> None:
    (hearing / "generation_config.json").write_text(json.dumps(GENERATION))
    model, theirs = ph.load(hearing), hf.WhisperForConditionalGeneration.from_pretrained(hearing)
    found = model.transcribe(SOUNDS, language=language, task=task)
    for sound, answer in zip(SOUNDS, found, strict=True):  # by itself: an ended row is padded in a batch
        heard = model.frames(sound)
        asked = {} if language is None else {"language": language}
        ids = theirs.generate(heard, task=task, **asked, attention_mask=torch.ones(1, 100))[0].tolist()
        wrote = [i for i in ids if i != 49]
        assert answer.new_ids == wrote[-len(answer.new_ids) :] and len(answer.new_ids) > 3
        assert answer.ids[1] == {"de": 52, "en": 51}.get(language, answer.ids[1]) and answer.ids[2:4] == [53 if task == "transcribe" else 54, 55]
        assert len(wrote) in (len(answer.new_ids), len(answer.ids))
    assert model.transcribe(SOUNDS[1], language=language, task=task) == found[1]


@torch.no_grad()
def test_ids_that_are_never_written_are_not(hearing: Path) -> None:
    """Greedy by hand, without a generation_config.json and with one."""
    model = ph.load(hearing)
    free = model.transcribe(SOUNDS[0], max_tokens=6)
    ids, heard = [50], model.frames(SOUNDS[0])
    for _ in range(6):
        ids.append(int(model.net(Tokens(torch.tensor([ids])), Tokens(signal=heard))[0, -1].argmax()))
    assert free.ids == ids and free.reason == "length"
    (hearing / "generation_config.json").write_text(json.dumps({"suppress_tokens": [ids[2]], "begin_suppress_tokens": [ids[1]]}))
    held = ph.load(hearing).transcribe(SOUNDS[0], max_tokens=6)
    assert held.new_ids[0] != ids[1] and ids[2] not in held.new_ids


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
    with pytest.raises(UserError, match="one language"):
        model.transcribe(SOUNDS, language="en")
    with pytest.raises(UserError, match="cannot generate") as told:
        model.generate("a text")
    assert "model.transcribe" in str(told.value)
    (hearing / "generation_config.json").write_text(json.dumps(GENERATION | {"lang_to_id": {"<|en|>": 60}}))
    with pytest.raises(UserError, match="lang_to_id"):
        ph.load(hearing).transcribe(SOUNDS)
    (hearing / "generation_config.json").write_text(json.dumps(GENERATION))
    for asked in ({"language": "fr"}, {"task": "sing"}):
        with pytest.raises(UserError, match=next(iter(asked))):
            ph.load(hearing).transcribe(SOUNDS, **asked)
