"""SOUND → FRAMES of a log-mel spectrum, as the extractor that a published model was trained with makes them (Whisper,
Radford et al. 2022, arXiv 2212.04356 §2.2).

    how = read_sound(preprocessor_config)       what its preprocessor_config.json says
    frames(["a.wav", waveform], how)            (B, bands, frames) fp32

silence up to a chunk → power in windows of Hann → mel bands → log10, no more than 8 below the loudest → (x + 4) / 4
"""

from __future__ import annotations

import math
import warnings
import wave
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, DataError

_KIND = "WhisperFeatureExtractor"
_SIZES = {"feature_size": (80, 1024), "sampling_rate": (16_000, 96_000), "hop_length": (160, 2048), "n_fft": (400, 2048), "chunk_length": (30, 600)}
_FIXED = {"padding_value": (0, 0.0), "dither": (0, 0.0), "padding_side": ("right",), "do_normalize": (False,)}  # nothing else is read
_FREE = {"feature_extractor_type", "processor_class", "return_attention_mask", "mel_filters", "n_samples", "nb_max_frames"}  # said by the others
_FRAMES = 20_000  # of a chunk at most; Whisper's have 3000
_TOP, _KNEE, _MELS = 8000.0, 1000.0, 15.0  # Hz of the highest band's end; above the knee, 15 mels, pitches count as logarithms


class Sound(NamedTuple):
    """bands: of the mel scale. rate: samples per second. hop, window: samples. chunk: seconds of every row."""

    bands: int
    rate: int
    hop: int
    window: int
    chunk: int


def read_sound(config: Mapping[str, Any], source: str = "preprocessor_config.json") -> Sound:
    """What a file says. ConfigError names the field that is unknown or not possible."""
    if config.get("feature_extractor_type") != _KIND:
        raise ConfigError(f"{source}: feature_extractor_type is not one polyhead reads", expected=_KIND, received=repr(config.get("feature_extractor_type"))[:100])
    for key, value in config.items():
        if key in _SIZES or key in _FREE or value is None:
            continue
        if value not in _FIXED.get(key, (False,)):
            expected = repr(_FIXED[key][0]) if key in _FIXED else ", ".join([*_SIZES, *_FIXED])
            raise ConfigError(f"{source}: {key} is not one polyhead reads", expected=expected, received=repr(value)[:100])
    sizes = {key: default if config.get(key) is None else config[key] for key, (default, _) in _SIZES.items()}
    for key, size in sizes.items():
        if type(size) is not int or not 0 < size <= _SIZES[key][1]:
            raise ConfigError(f"{source}: {key} is not possible", expected=f"a whole number up to {_SIZES[key][1]:,}", received=repr(size)[:100])
    how = Sound(*sizes.values())
    if how.hop > how.window or how.chunk * how.rate > _FRAMES * how.hop:
        expected = f"at most n_fft, {how.window}, and so many that a chunk has {_FRAMES:,} frames or less"
        raise ConfigError(f"{source}: hop_length is not possible", expected=expected, received=str(how.hop))
    return how


@torch.no_grad()
def frames(sounds: Any, how: Sound) -> Tensor:
    """(B, bands, frames) fp32 of B sounds: names of .wav files (PCM of 16 bits), or waveforms (samples,) of real numbers from
    −1 to 1 at how.rate. A sound alone makes a batch of one; what is beyond a chunk is cut off, with a warning. DataError for
    what is no sound."""
    sounds = list(sounds) if isinstance(sounds, list | tuple) else [sounds]
    if not sounds:
        raise DataError("there is no sound", expected="at least one", received="an empty list")
    waves, size = [_open(one, how, i) for i, one in enumerate(sounds)], how.chunk * how.rate
    cut = sum(len(one) > size for one in waves)
    if cut:
        warnings.warn(f"{cut} of {len(waves)} sounds are longer than {how.chunk} seconds; what is beyond was cut off", stacklevel=4)
    x = torch.zeros(len(waves), size)
    for row, one in zip(x, waves, strict=True):
        row[: len(one)] = one[:size]
    turns = torch.stft(x, how.window, how.hop, window=torch.hann_window(how.window), return_complex=True)[..., :-1]
    heard = (_filters(how) @ turns.abs().square().contiguous()).clamp(min=1e-10).log10()
    return (heard.maximum(heard.amax((1, 2), keepdim=True) - 8) + 4) / 4


@cache
def _filters(how: Sound) -> Tensor:
    """(bands, window / 2 + 1): triangles of one area, their corners equally far apart in mels (Slaney 1998)."""
    step = math.log(6.4) / 27  # of a mel above the knee
    end = _MELS + math.log(_TOP / _KNEE) / step
    mels = torch.linspace(0, end, how.bands + 2, dtype=torch.float64)
    corners = torch.where(mels < _MELS, mels * _KNEE / _MELS, _KNEE * ((mels - _MELS) * step).exp())
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    pitch = torch.linspace(0, how.rate // 2, how.window // 2 + 1, dtype=torch.float64)
    rising, falling = (pitch - low) / (middle - low), (high - pitch) / (high - middle)
    return (rising.minimum(falling).clamp(min=0) * 2 / (high - low)).float()


def _open(given: Any, how: Sound, place: int) -> Tensor:
    """(samples,) fp32."""
    if isinstance(given, str | Path):
        return _file(given, how)
    x = torch.from_numpy(given) if isinstance(given, np.ndarray) and given.dtype in (np.float32, np.float64) else given
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() != 1 or not len(x):
        received = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor | np.ndarray) else type(given).__name__
        raise DataError(f"sound {place} is none", expected=f"a .wav file's name, or real numbers (samples,) at {how.rate:,} Hz", received=received)
    if not bool(x.isfinite().all()):
        raise DataError(f"sound {place} holds values that are not finite", expected="numbers from −1 to 1", received="NaN or infinity")
    return x.detach().float().cpu()


def _file(path: str | Path, how: Sound) -> Tensor:
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            raw = file.readframes(min(count, how.chunk * rate + 1))
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"{path} is not a .wav file", expected="PCM of 16 bits", received=str(error)[:200] or "an end too soon") from None
    if width != 2 or rate != how.rate or len(raw) < 2 * channels:
        received = f"{8 * width} bits at {rate:,} Hz, {count:,} samples"
        raise DataError(f"{path} is not what the model hears", expected=f"16 bits at {how.rate:,} Hz", received=received, change="convert it first")
    x = torch.from_numpy(np.frombuffer(raw[: len(raw) // (2 * channels) * 2 * channels], "<i2").astype(np.float32) / 32768)
    return x.unflatten(0, (-1, channels)).mean(1)
