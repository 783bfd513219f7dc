"""AXIS input: what a stack reads, as data: token ids, image patches, audio frames. `embedding` builds what they name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .spec import Spec


class TokenInput(Spec):
    """ids (B, T), looked up in a table."""

    kind: Literal["tokens"] = "tokens"


class Patches(Spec):
    """Pixels (B, C, H, W) cut into squares of `patch`, row by row, each a product with one matrix; what does not fill a
    square at the right and lower edge is not read (ViT, Dosovitskiy et al. 2021, arXiv 2010.11929, eq. 1).

    image: side of the square images it is made for. class_token: a learned vector stands before the patches.
    mask_token: a learned vector that may stand for hidden patches (DINOv2, arXiv 2304.07193 §4). stem: channels of 3 × 3
    convolutions that take every other pixel, with an exact GELU behind each, before a product per place: 2^layers pixels a
    patch; small models learn faster from overlapping squares (Xiao et al. 2021, arXiv 2106.14881, without its BatchNorm).
    """

    kind: Literal["patches"] = "patches"
    image: int = Field(gt=0, le=65_536)
    patch: int = Field(gt=0)
    channels: int = Field(3, gt=0)
    bias: bool = True
    class_token: bool = True
    mask_token: bool = False
    stem: tuple[Annotated[int, Field(gt=0)], ...] = ()

    @model_validator(mode="after")
    def _halves(self) -> Patches:
        if self.stem and self.patch != 2 ** len(self.stem):
            raise ValueError(f"each convolution of a stem halves the image: expected patch {2 ** len(self.stem)}, got {self.patch}")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Patches:
        if self.patch > self.image:
            raise ValueError(f"a patch must fit into the image: got patch {self.patch}, image {self.image}")
        return self

    @property
    def positions(self) -> int:
        """Vectors that an image of the stated size becomes."""
        return (self.image // self.patch) ** 2 + self.class_token

    @property
    def window(self) -> tuple[int, int]:
        """Side and channels of what the matrix of a patch multiplies: its pixels, or what the stem makes of them."""
        return (1, self.stem[-1]) if self.stem else (self.patch, self.channels)

    def params(self, width: int) -> int:
        side, channels = self.window
        stem = sum(9 * a * b + b for a, b in zip((self.channels, *self.stem), self.stem, strict=False))
        return stem + channels * side**2 * width + (self.bias + self.class_token + self.mask_token) * width

    def flops(self, width: int, tokens: int, rows: int) -> int:
        side, channels = self.window
        pairs, depth = zip((self.channels, *self.stem), self.stem, strict=False), len(self.stem)
        stem = sum(9 * a * b * 4 ** (depth - 1 - i) for i, (a, b) in enumerate(pairs))  # per patch: a quarter of the places each time
        return 2 * rows * (tokens - self.class_token) * (stem + channels * side**2 * width)


class Frames(Spec):
    """Spectrum (B, channels, frames) through two convolutions over three frames each, with an exact GELU behind each; the
    second one takes every other frame, so that T = ⌈frames / 2⌉ (Whisper, Radford et al. 2022, arXiv 2212.04356 §2.2)."""

    kind: Literal["frames"] = "frames"
    channels: int = Field(gt=0, description="mel bands")

    def params(self, width: int) -> int:
        return 3 * self.channels * width + 3 * width * width + 2 * width

    def flops(self, width: int, tokens: int, rows: int) -> int:
        """Of an even number of frames, 2·tokens."""
        return 2 * rows * tokens * (2 * 3 * self.channels * width + 3 * width * width)


Input = Annotated[TokenInput | Patches | Frames, Field(discriminator="kind")]
