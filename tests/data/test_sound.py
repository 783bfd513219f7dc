"""Frames are those of transformers' extractor; what a file or a sound gets wrong is told."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyhead.data.sound import Sound, frames, read_sound
from polyhead.errors import ConfigError, DataError

KIND = {"feature_extractor_type": "WhisperFeatureExtractor"}
DRAW = np.random.default_rng(0)
TONE = (0.3 * np.sin(np.arange(30_000) * 0.2) + 0.01 * DRAW.standard_normal(30_000)).astype(np.float32)


def write_wav(path: Path, x: np.ndarray, rate: int = 16_000, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((x.shape[1] if x.ndim == 2 else 1, width, rate, 0, "NONE", ""))
        file.writeframes(x.tobytes())
    return path


@pytest.mark.parametrize(
    ("fields", "length"), [({"feature_size": 80, "chunk_length": 3}, 30_000), ({"feature_size": 128, "chunk_length": 2}, 31_999), ({}, 16_000),
                           ({"chunk_length": 1, "n_fft": 512, "hop_length": 200, "feature_size": 20}, 100)]
)  # fmt: skip
def test_frames_are_the_reference_s(fields: dict[str, Any], length: int, tmp_path: Path) -> None:
    theirs = pytest.importorskip("transformers").WhisperFeatureExtractor(**fields)
    theirs.save_pretrained(tmp_path)
    how = read_sound(json.loads((tmp_path / "preprocessor_config.json").read_text()))
    sounds = [TONE[:length], DRAW.standard_normal(length // 2).astype(np.float32) / 9]
    wanted = torch.from_numpy(np.asarray(theirs(sounds, sampling_rate=16_000).input_features))
    found = frames(sounds, how)
    assert found.shape == wanted.shape == (2, how.bands, how.chunk * how.rate // how.hop)
    assert (found - wanted).abs().max() <= 1e-5


def test_a_short_row_of_bands_is_not_the_reference_s_row() -> None:
    """The comparison above can fail: one band more moves all of them."""
    a, b = (frames(TONE, Sound(n, 16_000, 160, 400, 2)) for n in (80, 81))
    assert (a - b[:, :80]).abs().max() > 0.01


def test_files_and_arrays_are_one_sound(tmp_path: Path) -> None:
    how, loud = Sound(8, 16_000, 160, 400, 2), (TONE * 32768).astype("<i2")
    mono = write_wav(tmp_path / "mono.wav", loud)
    stereo = write_wav(tmp_path / "stereo.wav", np.stack([loud, loud], 1))
    found = frames([loud.astype(np.float32) / 32768, torch.from_numpy(loud).float() / 32768, str(mono), stereo], how)
    assert found.shape == (4, 8, 200) and all(torch.equal(one, found[0]) for one in found)
    with pytest.warns(UserWarning, match="longer than 1 second"):
        assert frames(TONE, how._replace(chunk=1)).shape == (1, 8, 100)


@pytest.mark.parametrize(
    "change",
    [{"feature_extractor_type": "SpeechT5FeatureExtractor"}, {"feature_size": 0}, {"chunk_length": 10**9}, {"hop_length": 401}, {"hop_length": 1}, {"dither": 0.1},
     {"padding_side": "left"}, {"sampling_rate": 16000.0}, {"mel_floor": 1e-5}, {"do_normalize": True}],
    ids=range(10),
)  # fmt: skip
def test_a_field_that_is_unknown_or_wrong_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        read_sound(KIND | change)


def test_old_files_repeat_what_follows() -> None:
    assert read_sound(KIND | {"n_samples": 480_000, "nb_max_frames": 3000, "mel_filters": [[0.0]], "return_attention_mask": False}) == Sound(80, 16_000, 160, 400, 30)


def test_what_is_no_sound_is_told(tmp_path: Path) -> None:
    how, loud = Sound(8, 16_000, 160, 400, 1), (TONE * 9000).astype("<i2")
    (tmp_path / "text.wav").write_text("not a sound")
    (tmp_path / "cut.wav").write_bytes(write_wav(tmp_path / "a.wav", loud).read_bytes()[:30])
    files = [tmp_path / name for name in ("text.wav", "cut.wav", "none.wav")]
    files += [write_wav(tmp_path / "fast.wav", loud, rate=44_100), write_wav(tmp_path / "thin.wav", loud, width=1), write_wav(tmp_path / "empty.wav", loud[:0])]
    for wrong in (*files, loud, TONE[None], TONE[:0], np.full(9, np.nan, np.float32), 7, []):
        with pytest.raises(DataError):
            frames(wrong, how)
