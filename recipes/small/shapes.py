"""Pictures of shapes: circles, squares, triangles, stars and crosses of any size, place and turn, filled or drawn as a line, light
on dark or dark on light, in noise."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .base import Figure, Judged, Small, drawer, share

SIDE, FINE = 28, 2  # pixels of a picture; points per pixel and direction that are looked at
TRAINED, ASKED = 6000, 500
SHAPES = ("circle", "cross", "square", "star", "triangle")


def _corners(shape: str) -> list[tuple[float, float]]:
    """Of a shape of radius 1 around 0."""
    if shape == "cross":
        arm = 0.3
        quarter = [(1, -arm), (1, arm), (arm, arm)]
        return [(x * c - y * s, x * s + y * c) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1)) for x, y in quarter]
    count, inner = {"square": (4, 1.0), "star": (10, 0.42), "triangle": (3, 1.0)}[shape]
    radius = [inner if i % 2 and shape == "star" else 1.0 for i in range(count)]
    return [(r * np.cos(2 * np.pi * i / count), r * np.sin(2 * np.pi * i / count)) for i, r in enumerate(radius)]


def _inside(shape: str, size: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points lie within a shape of this radius around 0, by the crossings of a ray."""
    if shape == "circle":
        return x * x + y * y < size * size
    corners = [(size * a, size * b) for a, b in _corners(shape)]
    odd = np.zeros(x.shape, bool)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 != y2:
            odd ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return odd


def picture(draw: random.Random, shape: str) -> np.ndarray:
    """uint8 (SIDE, SIDE)."""
    size, turn = draw.uniform(6.0, 12.0), draw.uniform(0, 2 * np.pi)
    middle = [draw.uniform(size, SIDE - size) for _ in range(2)]
    steps = (np.arange(SIDE * FINE, dtype=np.float32) + 0.5) / FINE
    across, down = (steps - middle[0])[None], (steps - middle[1])[:, None]
    x, y = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
    cover = _inside(shape, size, x, y)
    if draw.random() < 0.5:  # a line of about two pixels
        cover &= ~_inside(shape, size - 2.5, x, y)
    share_of = cover.reshape(SIDE, FINE, SIDE, FINE).mean((1, 3))
    low, high = draw.uniform(0, 90), draw.uniform(150, 255)
    ink, ground = (high, low) if draw.random() < 0.5 else (low, high)
    noise = np.random.default_rng(draw.getrandbits(60)).normal(0, draw.uniform(0, 25), (SIDE, SIDE))
    return np.clip(ground + (ink - ground) * share_of + noise, 0, 255).astype(np.uint8)


def write(folder: Path, seed: int) -> None:
    """train.npz and judged.npz: images and labels, as many of each shape."""
    draw = drawer("shapes", seed)
    seen = set[bytes]()
    for name, count in (("judged", ASKED), ("train", TRAINED)):
        labels = [SHAPES[i % len(SHAPES)] for i in range(count)]
        images = np.stack([picture(draw, shape) for shape in labels])
        kept = [i for i, image in enumerate(images) if image.tobytes() not in seen]
        seen |= {image.tobytes() for image in images}
        np.savez_compressed(folder / f"{name}.npz", images=images[kept], labels=np.array(labels)[kept])


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """The share of new pictures whose shape is told, and of each shape."""
    with np.load(folder / "judged.npz") as held:
        images, labels = held["images"], held["labels"].tolist()
    given = [found[0][0] for found in models["shapes"].classify_images(list(images), top=1, batch=100)]
    figures = [Figure("accuracy on new pictures", share(g == r for g, r in zip(given, labels, strict=True)), 0.95)]
    figures += [Figure(shape, share(g == r for g, r in zip(given, labels, strict=True) if r == shape)) for shape in SHAPES]
    return Judged(figures, [f"{r} → {g}" for g, r in zip(given[:5], labels, strict=False)])


PICTURES = Small("shapes", "tell circles, crosses, squares, stars and triangles apart", write, judge, {"shapes": {"data.path": "train.npz"}})
