"""Pixels are those of transformers' processors; what a file or a picture gets wrong is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyhead.data.images import Images, pixels, read_images
from polyhead.errors import ConfigError, DataError

Image = pytest.importorskip("PIL.Image")
PICTURE = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
SQUARE = {"height": 20, "width": 24}


def processor(kind: str, **fields: Any) -> Any:
    """transformers' own, over Pillow."""
    pytest.importorskip("transformers")
    from importlib import import_module

    name = {"ViT": "vit", "CLIP": "clip", "Bit": "bit"}[kind]
    return getattr(import_module(f"transformers.models.{name}.image_processing_pil_{name}"), f"{kind}ImageProcessorPil")(**fields)


CASES = [
    ("ViT", {}),
    ("ViT", {"size": SQUARE, "resample": 3}),
    ("ViT", {"size": SQUARE, "resample": 1, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}),
    ("ViT", {"size": SQUARE, "do_rescale": False}),
    ("ViT", {"size": SQUARE, "do_normalize": False, "rescale_factor": 0.01}),
    ("ViT", {"size": SQUARE, "resample": 0}),
    ("CLIP", {}),
    ("CLIP", {"size": {"shortest_edge": 18}, "crop_size": {"height": 16, "width": 15}}),
    ("CLIP", {"size": {"shortest_edge": 18}, "crop_size": {"height": 25, "width": 35}}),
    ("CLIP", {"size": {"shortest_edge": 18}, "do_center_crop": False}),
    ("CLIP", {"size": SQUARE, "crop_size": 17, "resample": 2}),
    ("Bit", {"do_resize": False, "crop_size": {"height": 40, "width": 31}}),
    ("Bit", {"size": {"shortest_edge": 256}}),
]


@pytest.mark.parametrize(("kind", "fields"), CASES)
@pytest.mark.parametrize("upright", [False, True])
def test_pixels_are_the_reference_s(kind: str, fields: dict[str, Any], upright: bool, tmp_path: Path) -> None:
    theirs = processor(kind, **fields)
    theirs.save_pretrained(tmp_path)
    how = read_images(json.loads((tmp_path / "preprocessor_config.json").read_text()))
    picture = PICTURE.transpose(1, 0, 2) if upright else PICTURE
    wanted = theirs(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    found = pixels(picture, how)
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-6 * max(1.0, float(wanted.abs().max()))


def test_old_files_say_less_and_mean_the_same() -> None:
    old = {"do_normalize": True, "do_resize": True, "feature_extractor_type": "ViTFeatureExtractor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
           "resample": 2, "size": 224}  # fmt: skip
    assert read_images(old) == read_images({"image_processor_type": "ViTImageProcessorFast"}) == Images((224, 224), None, 2, 1 / 255, (0.5,) * 3, (0.5,) * 3)
    old = {"crop_size": 20, "do_center_crop": True, "feature_extractor_type": "CLIPFeatureExtractor", "size": 30, "device": None, "return_tensors": None}
    assert read_images(old)[:4] == (30, (20, 20), 3, 1 / 255)


def test_files_arrays_and_images_are_one_picture(tmp_path: Path) -> None:
    how = read_images({"image_processor_type": "ViTImageProcessor", "size": 9})
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    turned = Image.fromarray(PICTURE).transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held so that a quarter turn back is needed
    turned.save(tmp_path / "turned.png", exif=exif)
    given = [PICTURE, torch.from_numpy(PICTURE), Image.fromarray(PICTURE), str(tmp_path / "a.png"), tmp_path / "turned.png", Image.fromarray(PICTURE).convert("RGBA")]
    found = pixels(given, how)
    assert found.shape == (6, 3, 9, 9) and all(torch.equal(one, found[0]) for one in found)
    grey = pixels(PICTURE[..., :1], how._replace(mean=(0.5,), std=(0.5,)), channels=1)
    assert grey.shape == (1, 1, 9, 9)
    assert torch.equal(pixels(PICTURE[..., 0], how), grey.expand(1, 3, 9, 9))


@pytest.mark.parametrize(
    "change",
    [
        {"image_processor_type": "SiglipImageProcessor"}, {"image_processor_type": None}, {"size_divisor": 32}, {"do_pad": True}, {"resample": 9}, {"resample": True},
        {"size": {"longest_edge": 9}}, {"size": {"height": 9}}, {"size": -1}, {"size": 10**9}, {"crop_size": {"shortest_edge": 9}, "do_center_crop": True},
        {"image_mean": [0.5, float("nan"), 0.5]}, {"image_mean": "x"}, {"image_std": [0.5, 0.0, 0.5]}, {"image_std": [0.5]}, {"rescale_factor": "x"},
    ],
    ids=range(16),
)  # fmt: skip
def test_a_field_that_is_unknown_or_wrong_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        read_images({"image_processor_type": "ViTImageProcessor"} | change)


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    how = read_images({"image_processor_type": "CLIPImageProcessor", "size": 8, "crop_size": 8})
    (tmp_path / "a.png").write_text("not a picture")
    Image.fromarray(PICTURE).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    for wrong in (tmp_path / "a.png", tmp_path / "cut.png", tmp_path / "none.png", PICTURE / 255, PICTURE[None], np.zeros((0, 3, 3), np.uint8), 7, []):
        with pytest.raises(DataError):
            pixels(wrong, how)
    with pytest.raises(DataError, match="too long"):
        pixels(np.zeros((1, 40_000, 3), np.uint8), how._replace(size=224))
    with pytest.raises(DataError, match="several sizes"):
        pixels([PICTURE, PICTURE[:9]], how._replace(size=None, crop=None))
    with pytest.raises(ConfigError, match="image_mean"):
        pixels(PICTURE, how, channels=1)
