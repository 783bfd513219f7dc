"""PICTURES → PIXELS, as the processor that a published model was trained with makes them.

    how = read_images(preprocessor_config)      what its preprocessor_config.json says
    pixels(["cat.png", array], how)             (B, channels, H, W) fp32

resize (Pillow) → crop the middle → × scale → (x − mean) / std. Needs Pillow: pip install 'polyhead[images]'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, DataError

_HALF, _CLIP = ([0.5] * 3, [0.5] * 3), ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
# what a class does where its file is silent: size, crop, resample (Pillow's number), (mean, std)
_DEFAULTS: dict[str, tuple[Any, Any, int, Any]] = {
    "ViT": ({"height": 224, "width": 224}, None, 2, _HALF), "CLIP": ({"shortest_edge": 224}, 224, 3, _CLIP), "Bit": ({"shortest_edge": 224}, 224, 3, _CLIP),
}  # fmt: skip
_KNOWN = {
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std",
    "do_convert_rgb", "image_processor_type", "feature_extractor_type", "processor_class", "data_format", "default_to_square",
}  # fmt: skip
_SIDE, _PIXELS = 16_384, 2**27  # no side in a file may be larger, no picture become more than this


class Images(NamedTuple):
    """size: (height, width), the shorter edge, or None: as they come. crop: (height, width) of the middle, zeros where there
    is less, or None. resample: Pillow's number of a filter. scale: of numbers from 0 to 255. mean, std: by channel, after it."""

    size: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_images(config: Mapping[str, Any], source: str = "preprocessor_config.json") -> Images:
    """What a file says, of any version of it. ConfigError names the field that is unknown or not possible."""
    told = config.get("image_processor_type") or config.get("feature_extractor_type")
    kind = next((k for k in _DEFAULTS if any(told == k + end for end in ("ImageProcessor", "ImageProcessorFast", "FeatureExtractor"))), None)
    if kind is None:
        expected = " | ".join(f"{k}ImageProcessor" for k in _DEFAULTS)
        raise ConfigError(f"{source}: image_processor_type is not one polyhead reads", expected=expected, received=repr(told)[:100])
    for key, value in config.items():
        if key not in _KNOWN and value not in (None, False):
            raise ConfigError(f"{source}: {key} is not a field polyhead reads", expected=", ".join(sorted(_KNOWN)), received=repr(value)[:100])
    size, crop, resample, (mean, std) = _DEFAULTS[kind]
    given = {key: value for key, value in config.items() if value is not None}
    resample = given.get("resample", resample)
    if type(resample) is not int or not 0 <= resample <= 5:
        raise ConfigError(f"{source}: resample is not possible", expected="Pillow's number of a filter, 0 to 5", received=repr(resample)[:100])
    scale = _numbers(given.get("rescale_factor", 1 / 255), "rescale_factor", source)[0] if given.get("do_rescale", True) else 1.0
    plain = not given.get("do_normalize", True)
    means, stds = (_numbers(given.get(k, d), k, source) for k, d in (("image_mean", mean), ("image_std", std)))
    if len(means) != len(stds) or min(stds) <= 0:
        raise ConfigError(f"{source}: image_std is not possible", expected=f"{len(means)} numbers above 0", received=repr(stds)[:100])
    return Images(
        _size(given.get("size", size), "size", source, kind != "ViT") if given.get("do_resize", True) else None,
        _size(given.get("crop_size", crop), "crop_size", source) if given.get("do_center_crop", crop is not None) else None,
        resample, scale, (0.0,) * len(means) if plain else means, (1.0,) * len(stds) if plain else stds,
    )  # fmt: skip


def _size(value: Any, key: str, source: str, edge: bool = False) -> Any:
    """(height, width) or the shorter edge. edge: a number alone is that, else the side of a square."""
    sides = {"shortest_edge": value} if edge and type(value) is int else {"height": value, "width": value} if type(value) is int else value
    sides = {k: v for k, v in sides.items() if v is not None} if isinstance(sides, dict) else {}
    fine = set(sides) in ({"shortest_edge"}, {"height", "width"}) and all(type(v) is int and 0 < v <= _SIDE for v in sides.values())
    if not fine or (key == "crop_size" and len(sides) == 1):
        expected = f"a number up to {_SIDE}, height and width" + ("" if key == "crop_size" else ", or shortest_edge")
        raise ConfigError(f"{source}: {key} is not possible", expected=expected, received=repr(value)[:100])
    return sides["shortest_edge"] if len(sides) == 1 else (sides["height"], sides["width"])


def _numbers(value: Any, key: str, source: str) -> tuple[float, ...]:
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= 16 or any(type(v) not in (int, float) or not abs(v) < 1e6 for v in values):
        raise ConfigError(f"{source}: {key} is not possible", expected="a finite number, or one for each channel", received=repr(value)[:100])
    return tuple(float(v) for v in values)


# ---------------------------------------------------------------- pictures


def pixels(pictures: Any, how: Images, channels: int = 3) -> Tensor:
    """(B, channels, H, W) fp32 of B pictures: names of files, Pillow's images, or uint8 arrays (H, W) or (H, W, C). A picture
    alone makes a batch of one. Colours are made to fit `channels`, 1 or 3. DataError for what is no picture."""
    pictures = list(pictures) if isinstance(pictures, Sequence) and not isinstance(pictures, str) else [pictures]
    if not pictures:
        raise DataError("there is no picture", expected="at least one", received="an empty list")
    if channels not in (1, 3):
        raise ConfigError("pictures have 1 or 3 channels", expected="a model that reads such", received=str(channels), change="make its pixels yourself")
    made = [_picture(one, how, "RGB" if channels == 3 else "L", i) for i, one in enumerate(pictures)]
    if len({one.shape for one in made}) > 1:
        sizes = ", ".join(sorted({"×".join(map(str, one.shape[1:])) for one in made})[:5])
        raise DataError("the pictures are of several sizes, and this model's processor leaves them so", expected="one size", received=sizes, change="give them one by one")
    return torch.from_numpy(np.stack(made))


def _picture(given: Any, how: Images, mode: str, place: int) -> np.ndarray:
    """(C, H, W) fp32, step by step as the reference rounds."""
    picture = _open(given, place).convert(mode)
    if how.size is not None:
        width, height = picture.size
        short, edge = min(width, height), how.size
        size = edge if isinstance(edge, tuple) else (edge * height // short, edge * width // short)  # whole numbers: long edges round down
        if size[0] * size[1] > _PIXELS:
            raise DataError(f"picture {place} is too long", expected=f"at most {_PIXELS:,} pixels once resized", received=f"{width}×{height}")
        picture = picture.resize(size[::-1], resample=how.resample)
    x = np.array(picture)
    x = _middle(x if x.ndim == 3 else x[..., None], how.crop)
    if len(how.mean) not in (1, x.shape[2]):
        raise ConfigError("image_mean does not fit this model", expected=f"{x.shape[2]} numbers", received=str(len(how.mean)))
    x = (x.astype(np.float64) * how.scale).astype(np.float32)
    x = (x - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
    return np.ascontiguousarray(x.transpose(2, 0, 1))


def _middle(x: np.ndarray, crop: tuple[int, int] | None) -> np.ndarray:
    """The middle of (H, W, C); zeros around what is smaller."""
    if crop is None:
        return x
    short = [max(0, n - have) for n, have in zip(crop, x.shape, strict=False)]
    x = np.pad(x, [((n + 1) // 2, n // 2) for n in short] + [(0, 0)]) if any(short) else x
    top, left = ((have - n) // 2 for n, have in zip(crop, x.shape, strict=False))
    return x[top : top + crop[0], left : left + crop[1]]


def _open(given: Any, place: int) -> Any:
    """A Pillow image, of a file turned as its camera says."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ConfigError("pictures need Pillow", expected="Pillow", received="none", change="pip install 'polyhead[images]'") from None
    if isinstance(given, Image.Image):
        return given
    if isinstance(given, str | Path):
        try:
            with Image.open(given) as file:
                return ImageOps.exif_transpose(file)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, FileNotFoundError):
                raise DataError(f"there is no picture {given}", expected="the name of a picture's file", change="check the path") from None
            raise DataError(f"{given} is not a picture", expected="a picture that Pillow reads", received=str(error)[:200]) from None
    x = given.numpy(force=True) if isinstance(given, Tensor) else given
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or not (x.ndim == 2 or x.ndim == 3 and x.shape[2] in (1, 3, 4)) or not x.size:
        received = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(given).__name__
        raise DataError(f"picture {place} is none", expected="a file's name, a Pillow image, or uint8 (H, W) or (H, W, 3)", received=received)
    return Image.fromarray(x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x)
