"""AXIS position: how a token knows where it is.

Contract of a choice (identity, or nothing, by default)
    embed(x, pos, grid)           x (B, T, D) with the position added; absolute choices, used by the embedding;
                                  grid: rows and columns, where the last tokens are an image's patches
    prepare(q, length)            a table made once per call; length = the longest position + 1 the call may reach
    rotate(x, table)              x (B, n, T, d) with queries or keys rotated
    bias(table, head, q, k)       a term added to the scores, elementwise in head (1, h, 1, 1) and coordinates
rotary.py has the choice that turns queries and keys, content.py those whose term depends on what they hold.
Angles, slopes and buckets are computed in fp32 whatever the model's dtype.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .at import At
from .spec import Spec


class Position(nn.Module):
    """The contract with every hook doing nothing; the last two, of content.py, are asked only where `relates`."""

    biased = False
    relates = False  # True: content() adds scores of its own
    fixed_length = False  # True: the table depends on `length`, so a cached run must fix it at its start

    def embed(self, x: Tensor, pos: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        return x

    def prepare(self, q: At, length: int) -> Any:
        return None

    def rotate(self, x: Tensor, table: Any) -> Tensor:
        return x

    def bias(self, table: Any, head: Tensor, q: At, k: At) -> Tensor | None:
        return None

    def index(self, q: At, k: At) -> Tensor:
        raise NotImplementedError("only where `relates`")

    def content(self, table: Any, index: Tensor, q: Tensor, k: Tensor, heads: Any) -> Tensor:
        raise NotImplementedError("only where `relates`")


class NoPosition(Spec):
    """None at all; a causal decoder can still tell positions apart (Haviv et al. 2022, arXiv 2203.16634)."""

    kind: Literal["none"] = "none"

    def params(self, width: int, heads: int, head_dim: int = 0) -> int:
        return 0

    def build(self, width: int, heads: int, head_dim: int = 0) -> Position:
        return Position()


# ---------------------------------------------------------------- absolute: added to the embedding


class LearnedSpec(Spec):
    """A learned vector per position (BERT, GPT-2). The row is pos + offset; OPT and RoBERTa start at 2 (a padded token,
    pos −1, reads row offset − 1 or 0).

    resize, of an image's patches: "bicubic" stretches their square of rows to the grid of an image of another size, the
    class token's row kept (DINOv2, arXiv 2304.07193; Dosovitskiy et al. 2021 §3.2); "no" refuses such an image.
    """

    kind: Literal["learned"] = "learned"
    length: int = Field(gt=0, description="positions the table holds, offset not counted")
    offset: int = Field(0, ge=0)
    resize: Literal["no", "bicubic"] = "no"

    def params(self, width: int, heads: int, head_dim: int = 0) -> int:
        return (self.length + self.offset) * width

    def build(self, width: int, heads: int, head_dim: int = 0) -> Learned:
        return Learned(self, width)


class Learned(Position):
    def __init__(self, spec: LearnedSpec, width: int) -> None:
        super().__init__()
        self.offset, self.resize = spec.offset, spec.resize
        self.weight = nn.Parameter(torch.empty(spec.length + spec.offset, width))
        self.side = math.isqrt(len(self.weight))  # of the square of patches; what is over is the class token's row

    def table(self, grid: tuple[int, int]) -> Tensor:
        """(class row + rows·columns, D): the weight, or its square stretched to the grid, in fp32 at least."""
        side, before = self.side, len(self.weight) - self.side**2
        if grid == (side, side):
            return self.weight
        if self.resize == "no":
            got = f"{grid[0]} × {grid[1]}"
            raise ValueError(
                f"the image has another size than the positions: expected {side} × {side} patches, got {got}; "
                "set resize of the positions to bicubic, or scale the image"
            )
        square = self.weight[before:].view(1, side, side, -1).permute(0, 3, 1, 2)
        wide = square if square.dtype == torch.float64 else square.float()
        wide = nn.functional.interpolate(wide, size=grid, mode="bicubic", align_corners=False)
        return torch.cat([self.weight[:before], wide.to(square.dtype).flatten(2).squeeze(0).T])

    def embed(self, x: Tensor, pos: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        if grid is not None:
            return x + self.table(grid)
        return x + nn.functional.embedding((pos + self.offset).clamp(min=0), self.weight)


class SinusoidalSpec(Spec):
    """sin and cos of pos / 10000^(2i/d) (Vaswani et al. 2017 §3.5).

    layout "pairs" interleaves sin, cos as the paper writes it; "halves" puts all sines first (tensor2tensor, Marian).
    step "half-1" spaces the frequencies by d/2 − 1, as tensor2tensor and fairseq do. With an offset, pos counts from
    there, and padding gets zeros (fairseq: the padding id + 1).
    """

    kind: Literal["sinusoidal"] = "sinusoidal"
    layout: Literal["pairs", "halves"] = "pairs"
    step: Literal["half", "half-1"] = "half"
    base: float = Field(10000.0, gt=1)
    offset: int = Field(0, ge=0)

    def params(self, width: int, heads: int, head_dim: int = 0) -> int:
        return 0

    def build(self, width: int, heads: int, head_dim: int = 0) -> Sinusoidal:
        return Sinusoidal(self, width)


class Sinusoidal(Position):
    def __init__(self, spec: SinusoidalSpec, width: int) -> None:
        super().__init__()
        self.spec, self.waves = spec, (width + 1) // 2

    def table(self, pos: Tensor, width: int) -> Tensor:
        """pos (B|1, T) → (B|1, T, width) fp32; odd widths drop the last cosine."""
        steps = self.waves if self.spec.step == "half" else max(self.waves - 1, 1)
        span = width / 2 if self.spec.step == "half" and width % 2 else steps
        index = torch.arange(self.waves, device=pos.device, dtype=torch.float32)
        pos = (pos + self.spec.offset).clamp(min=0)
        angle = pos.float().unsqueeze(-1) * torch.exp(index * (-math.log(self.spec.base) / span))
        if self.spec.layout == "pairs":
            return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[..., :width]
        return torch.cat([angle.sin(), angle.cos()[..., : width - self.waves]], -1)

    def embed(self, x: Tensor, pos: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        table = self.table(pos, x.shape[-1])
        if self.spec.offset:
            table = table.masked_fill((pos < 0).unsqueeze(-1), 0.0)
        return x + table.to(x.dtype)


# ---------------------------------------------------------------- relative: inside attention


class AlibiSpec(Spec):
    """−slope_h · distance added to the scores (Press et al. 2022, arXiv 2108.12409 §3).

    form "relative" uses |i − j| (symmetric in an encoder); "key" adds slope · key position, equal under softmax in a
    causal model. rounded: slope, key position and their product each rounded to bf16, as Falcon-RW was trained.
    """

    kind: Literal["alibi"] = "alibi"
    form: Literal["relative", "key"] = "relative"
    rounded: bool = False
    scale: float = Field(1.0, gt=0, description="factor on the bias; Falcon-RW divides it by √head_dim like the score")

    @model_validator(mode="after")
    def _rounds_keys(self) -> AlibiSpec:
        if self.rounded and self.form == "relative":
            raise ValueError("only absolute key positions are rounded: expected form key, got relative")
        return self

    def params(self, width: int, heads: int, head_dim: int = 0) -> int:
        return 0

    def build(self, width: int, heads: int, head_dim: int = 0) -> Alibi:
        return Alibi(self, heads)


def alibi_slopes(heads: int) -> Tensor:
    """(heads,) fp32: 2^(−8i/n) for the n = 2^⌊log₂ h⌋ first heads, then the odd powers of the series for 2n."""
    n = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * i / n) for i in range(1, n + 1)]
    slopes += [2 ** (-8 * (2 * i - 1) / (2 * n)) for i in range(1, heads - n + 1)]
    return torch.tensor(slopes)


class Alibi(Position):
    biased = True

    def __init__(self, spec: AlibiSpec, heads: int) -> None:
        super().__init__()
        self.spec, self.heads = spec, heads

    def prepare(self, q: At, length: int) -> Tensor:
        slopes = alibi_slopes(self.heads).to(q.pos.device)
        return slopes.bfloat16() if self.spec.rounded else slopes

    def bias(self, table: Tensor, head: Tensor, q: At, k: At) -> Tensor:
        if self.spec.form == "relative":
            return table[head] * -(q.pos - k.pos).abs() * self.spec.scale
        return (table[head] * k.pos.clamp(min=0).to(table.dtype)).float() * self.spec.scale


class BucketsSpec(Spec):
    """A learned scalar per head and log-spaced distance bucket (T5, Raffel et al. 2020, arXiv 1910.10683 §2.1).

    two_sided splits the buckets between keys before and after (encoders). One table serves every layer of a stack.
    """

    kind: Literal["buckets"] = "buckets"
    buckets: int = Field(32, gt=1)
    distance: int = Field(128, gt=1)
    two_sided: bool

    @model_validator(mode="after")
    def _sides(self) -> BucketsSpec:
        if self.two_sided and self.buckets % 2:
            raise ValueError(f"two-sided buckets must be even: got {self.buckets}")
        if self.distance <= self.buckets // (4 if self.two_sided else 2):
            raise ValueError(f"distance must exceed the exact buckets: got distance {self.distance}")
        return self

    def params(self, width: int, heads: int, head_dim: int = 0) -> int:
        return self.buckets * heads

    def build(self, width: int, heads: int, head_dim: int = 0) -> Buckets:
        return Buckets(self, heads)


class Buckets(Position):
    biased = True

    def __init__(self, spec: BucketsSpec, heads: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.empty(spec.buckets, heads))

    def bucket(self, q: Tensor, k: Tensor) -> Tensor:
        """Bucket numbers of key positions k seen from query positions q (both broadcast)."""
        far, n = k - q, self.spec.buckets
        start = torch.zeros_like(far)
        if self.spec.two_sided:
            n //= 2
            start, far = (far > 0).long() * n, far.abs()
        else:
            far = (-far).clamp(min=0)
        exact = n // 2
        ratio = torch.log(far.clamp(min=1).float() / exact) / math.log(self.spec.distance / exact)
        coarse = (exact + (ratio * (n - exact)).long()).clamp(max=n - 1)
        return start + torch.where(far < exact, far, coarse)

    def bias(self, table: Any, head: Tensor, q: At, k: At) -> Tensor:
        return self.weight[self.bucket(q.pos, k.pos), head]


Absolute = Annotated[NoPosition | LearnedSpec | SinusoidalSpec, Field(discriminator="kind")]
