"""Pictures and their classes (Dosovitskiy et al. 2021, arXiv 2010.11929): uint8 → normalised pixels, shifted, mirrored,
partly hidden or mixed anew in every epoch, as a function of (seed, epoch, picture) alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError, DataError
from ...nn.tokens import Batch, Tokens
from ..order import key, noise
from .base import Objective, by_epoch

if TYPE_CHECKING:
    from ..examplefile import ExampleFile

_CHANGE = 0x1396
_DOWN, _RIGHT, _MIRROR, _HIDE_Y, _HIDE_X, _PARTNER, _PARTNER_KEY, _SHARE = range(1, 9)
_ROUNDS = 40  # of Jöhnk's method: each fails with at most 1/2
_BLOCK = 1 << 12


class Augment(NamedTuple):
    """What is done to a training picture, nothing by default.

    crop: pixels of black put around it before a piece of the old size is cut out at random (He et al. 2016 §4.2 use 4).
    flip: mirrored left to right in half of the cases; wrong for digits and text. cutout: side of a square with its centre
    anywhere, set to the mean (DeVries and Taylor 2017, arXiv 1708.04552). mixup: α of Beta(α, α), the share that a picture
    keeps when another is laid over it, with both classes asked for in these shares (Zhang et al. 2018, arXiv 1710.09412
    eq. 1; at most 1); 0 = none.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    mixup: float = 0.0


NOTHING = Augment()


class Pictures(Objective):
    """Batches of `signal` (B, C, H, W) float32, (x / 255 − mean) / std; targets (B,) long, or with mixup (B, classes) float32,
    the shares of each class; weights (B,) 1.

    mean, std: one number per channel, of values from 0 to 1; None = those of this file. Give a held-out part those of the
    training part. `evaluation` leaves pictures as they are.
    """

    def __init__(
        self,
        file: ExampleFile,
        augment: Augment = NOTHING,
        *,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> None:
        if file.kind != "images":
            raise DataError(f"{file.path} holds {file.kind}", expected="pictures", change="pack a source of pictures")
        self.file, self.augment = file, augment
        self._images, self._labels = file.array("image"), file.array("label")
        self.size, self.channels = self._images.shape[1:3], self._images.shape[3]
        self.labels: list[str] = file.facts["labels"]
        _check(augment, self.size, mean, std, self.channels)
        found = _statistics(self._images) if mean is None or std is None else ((), ())
        self.mean, self.std = mean or found[0], std or found[1]
        self._scale, self._shift = (torch.tensor(a, dtype=torch.float32).view(-1, 1, 1) for a in self._affine())

    def _affine(self) -> tuple[list[float], list[float]]:
        return [1 / (255 * s) for s in self.std], [-m / s for m, s in zip(self.mean, self.std, strict=True)]

    def __len__(self) -> int:
        return len(self._labels)

    def too_short(self, batch: int) -> DataError:
        return DataError(
            f"the set is smaller than one batch: {len(self)} pictures",
            expected=f"at least {batch} pictures",
            received=f"{len(self)} pictures",
            change=f"set the batch to {len(self)} or less, or add pictures",
        )

    def preprocessor(self) -> dict[str, Any]:
        """What a preprocessor_config.json says of these pixels: what must be done to a picture that the model is shown."""
        return {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True, "size": {"height": self.size[0], "width": self.size[1]}, "resample": 2,
            "do_rescale": True, "rescale_factor": 1 / 255,
            "do_normalize": True, "image_mean": list(self.mean), "image_std": list(self.std),
        }  # fmt: skip

    def make(self, indices: np.ndarray, epoch: int | np.ndarray, seed: int) -> Batch:
        indices = np.asarray(indices, np.int64)
        keys = noise(by_epoch(epoch, lambda e: key(seed, e, _CHANGE)) + indices.astype(np.uint64))
        pixels, targets = self._changed(indices, keys), torch.from_numpy(self._labels[indices].astype(np.int64))
        if self.augment.mixup:
            partner = (_draw(keys, _PARTNER) % np.uint64(len(self))).astype(np.int64)
            other = self._changed(partner, _draw(keys, _PARTNER_KEY))
            share = torch.from_numpy(beta(keys, self.augment.mixup).astype(np.float32))
            pixels = other + share.view(-1, 1, 1, 1) * (pixels - other)
            targets = self._mixed(targets, torch.from_numpy(self._labels[partner].astype(np.int64)), share)
        return Batch(Tokens(signal=pixels), targets, torch.ones(len(indices)))

    def _mixed(self, one: Tensor, two: Tensor, share: Tensor) -> Tensor:
        shares = torch.zeros(len(one), len(self.labels))
        shares.scatter_add_(1, one[:, None], share[:, None])
        return shares.scatter_add_(1, two[:, None], 1 - share[:, None])

    def evaluation(self, batch: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """In the set's order; the last batch may be smaller."""
        for at in range(rank * batch, len(self), world * batch):
            indices = np.arange(at, min(at + batch, len(self)))
            targets = torch.from_numpy(self._labels[indices].astype(np.int64))
            yield Batch(Tokens(signal=self._pixels(self._read(indices))), targets, torch.ones(len(indices)))

    def _read(self, indices: np.ndarray) -> np.ndarray:
        self.file.check()
        return np.ascontiguousarray(self._images[indices])

    def _pixels(self, images: np.ndarray) -> Tensor:
        """(B, H, W, C) uint8 → (B, C, H, W) float32."""
        planes = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return planes.mul_(self._scale).add_(self._shift)

    def _changed(self, indices: np.ndarray, keys: np.ndarray) -> Tensor:
        """Pixels of the pictures, changed as `keys` say."""
        pixels = self._pixels(shifted(self._read(indices), keys, self.augment.crop, self.augment.flip))
        if self.augment.cutout:
            pixels.masked_fill_(torch.from_numpy(hidden(keys, self.size, self.augment.cutout))[:, None], 0.0)
        return pixels


def shifted(images: np.ndarray, keys: np.ndarray, crop: int, flip: bool) -> np.ndarray:
    """(B, H, W, C), each moved by up to `crop` pixels either way, black where nothing was, and mirrored in half of the cases."""
    if not crop and not flip:
        return images
    height, width = images.shape[1:3]
    down, right = ((_draw(keys, what) % np.uint64(2 * crop + 1)).astype(np.int64) - crop for what in (_DOWN, _RIGHT))
    mirrored = (_draw(keys, _MIRROR) >> np.uint64(63) == 1) & flip
    out = np.zeros_like(images)
    # one copy of a rectangle per picture: several times faster than gathering all pixels by their indices
    for image, moved, y, x, mirror in zip(images, out, down.tolist(), right.tolist(), mirrored.tolist(), strict=True):
        target = moved[:, ::-1] if mirror else moved
        target[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)] = image[
            max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)
        ]
    return out


def hidden(keys: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
    """(B, H, W) bool: the square that cutout hides, cut off at the edges."""
    centre = [(_draw(keys, what) % np.uint64(n)).astype(np.int64) for what, n in zip((_HIDE_Y, _HIDE_X), size, strict=True)]
    low = [c[:, None] - side // 2 for c in centre]
    y, x = ((np.arange(n) >= a) & (np.arange(n) < a + side) for n, a in zip(size, low, strict=True))
    return y[:, :, None] & x[:, None, :]


def beta(keys: np.ndarray, alpha: float) -> np.ndarray:
    """(B,) numbers with the distribution Beta(α, α), α ≤ 1, one for each key (Jöhnk 1964)."""
    rounds = np.arange(_ROUNDS, dtype=np.uint64)
    bits = noise(_draw(keys, _SHARE)[:, None] ^ noise(rounds))
    u, v = (((part >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53 for part in (bits, noise(bits)))
    u, v = u ** (1 / alpha), v ** (1 / alpha)
    taken = (u + v <= 1) & (u + v > 0)
    first = taken.argmax(1)[:, None]
    a, b = (np.take_along_axis(side, first, 1)[:, 0] for side in (u, v))
    total = a + b
    return np.where(taken.any(1), a / np.where(total > 0, total, 1), 0.5)


def _draw(keys: np.ndarray, what: int) -> np.ndarray:
    """(B,) uint64 for one question about each picture."""
    return noise(keys ^ np.uint64(what << 56))


def _statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of values from 0 to 1, over all pictures; exact counts of 256 values."""
    channels = images.shape[3]
    counts = np.zeros((channels, 256), np.int64)
    for first in range(0, len(images), _BLOCK):
        block = images[first : first + _BLOCK]
        for channel in range(channels):
            counts[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())


def _check(
    augment: Augment, size: tuple[int, int], mean: tuple[float, ...] | None, std: tuple[float, ...] | None, channels: int
) -> None:
    least = min(size)
    if not 0 <= augment.crop <= least or not 0 <= augment.cutout <= 2 * max(size):
        raise ConfigError("crop and cutout are in pixels", expected=f"0 to {least}", received=f"{augment.crop}, {augment.cutout}")
    if not 0 <= augment.mixup <= 1:
        raise ConfigError("mixup is the α of a Beta distribution", expected="0 (none) to 1", received=str(augment.mixup))
    for name, given in (("mean", mean), ("std", std)):
        if given is not None and (len(given) != channels or (name == "std" and min(given) <= 0)):
            raise ConfigError(f"{name} of the channels", expected=f"{channels} numbers, std above 0", received=str(given))
