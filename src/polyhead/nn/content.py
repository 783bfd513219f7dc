"""AXIS position, the choices that meet queries and keys: a score for (query, key) that depends on what they hold.

More of position.py's contract, for choices with `relates`
    index(q, k)                             once per call and kind: (B|1, 1, T, S) row of the table for each pair
    content(table, index, q, k, heads)      once per layer: (B, h, T, S) scores to add; needs the layer's own products
The union of choices closes this file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .at import At
from .norm import Norm
from .position import AlibiSpec, BucketsSpec, NoPosition, Position
from .rotary import RotarySpec
from .spec import Spec


class DisentangledSpec(Spec):
    """Content-to-position and position-to-content scores (DeBERTa, He et al. 2021, arXiv 2006.03654, eq. 3–4; logarithmic
    buckets and shared products, arXiv 2111.09543): (q·(W_k r) + k·(W_q r)) · scale, r the row of the distance i − j.

    The table holds 2·span rows as wide as the model, normed by `norm`; the layer's own query and key products, biases
    included, read it. distance: beyond span/2 buckets grow logarithmically up to this distance; null = one row for each
    distance, clipped at ±span. Three terms of equal size want the heads' scale at (3·head_dim)^−½.
    """

    kind: Literal["disentangled"] = "disentangled"
    span: int = Field(gt=1, description="distances the table tells apart on each side")
    distance: int | None = Field(None, gt=1)
    norm: Norm | None = None

    @model_validator(mode="after")
    def _reach(self) -> DisentangledSpec:
        if self.distance is not None and self.distance - 1 <= self.span // 2:
            raise ValueError(f"distance must exceed the {self.span // 2} exact buckets by two: got {self.distance}")
        if self.norm is not None and self.norm.kind == "batch":
            raise ValueError("rows of a table are no tokens: expected a layer, rms or dyt norm, got batch")
        return self

    def params(self, width: int, heads: int, head_dim: int) -> int:
        return 2 * self.span * width + (self.norm.params(width) if self.norm else 0)

    def flops(self, width: int, heads: int, kv: int, head_dim: int, queries: int, keys: int) -> int:
        """The table through both products, then every query and key with every row."""
        rows = 2 * self.span
        return 2 * rows * head_dim * (width * (heads + kv) + heads * (queries + keys))

    def build(self, width: int, heads: int, head_dim: int) -> Disentangled:
        return Disentangled(self, width)


class Disentangled(Position):
    relates = True

    def __init__(self, spec: DisentangledSpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.empty(2 * spec.span, width))
        self.norm = spec.norm.build(width) if spec.norm else None
        # the logarithm of the largest distance, rounded to fp32 as that of each distance is: where they meet, they are equal
        self.log_far = torch.tensor((spec.distance - 1) / (spec.span // 2), device="cpu").log().item() if spec.distance else 0.0

    def prepare(self, q: At, length: int) -> Tensor:
        """The table's rows (2·span, D), normed."""
        return self.weight if self.norm is None else self.norm(self.weight)

    def bucket(self, far: Tensor) -> Tensor:
        """Signed distances → signed buckets: exact up to span/2, then by the logarithm."""
        if self.spec.distance is None:
            return far
        exact = self.spec.span // 2
        ratio = torch.log(far.abs().clamp(min=exact) / exact) / self.log_far
        coarse = torch.ceil(ratio * (exact - 1)).long() + exact
        return torch.where(far.abs() <= exact, far, coarse * far.sign())

    def index(self, q: At, k: At) -> Tensor:
        span = self.spec.span
        return (self.bucket(q.rows().pos - k.cols().pos) + span).clamp(0, 2 * span - 1)

    def content(self, table: Tensor, index: Tensor, q: Tensor, k: Tensor, heads: Any) -> Tensor:
        asks, asked = (t.to(q.dtype) for t in heads.rows(table))
        groups = q.shape[1] // k.shape[1]
        asked, k = (t if groups == 1 else t.repeat_interleave(groups, 1) for t in (asked, k))
        shape = (*q.shape[:-1], k.shape[2])
        forth = (q @ asked.transpose(-1, -2)).gather(-1, index.expand(shape))
        back = (k @ asks.transpose(-1, -2)).gather(-1, index.expand(shape).transpose(-1, -2))
        return (forth + back.transpose(-1, -2)) * heads.scale


class ShawSpec(Spec):
    """A learned vector per clipped distance, added to the keys: q_i·(k_j + a_{j−i}) (Shaw et al. 2018, arXiv 1803.02155,
    eq. 3–4). The table, (2·distance + 1, head_dim), serves all heads and all layers of a stack.

    Their vectors on values are left out: they need the weights themselves, which fused kernels do not give, and their own
    ablation (§4.3) finds keys alone to be sufficient.
    """

    kind: Literal["shaw"] = "shaw"
    distance: int = Field(gt=0)

    def params(self, width: int, heads: int, head_dim: int) -> int:
        return (2 * self.distance + 1) * head_dim

    def flops(self, width: int, heads: int, kv: int, head_dim: int, queries: int, keys: int) -> int:
        return 2 * queries * heads * head_dim * (2 * self.distance + 1)

    def build(self, width: int, heads: int, head_dim: int) -> Shaw:
        return Shaw(self, head_dim)


class Shaw(Position):
    relates = True

    def __init__(self, spec: ShawSpec, head_dim: int) -> None:
        super().__init__()
        self.distance = spec.distance
        self.weight = nn.Parameter(torch.empty(2 * spec.distance + 1, head_dim))

    def index(self, q: At, k: At) -> Tensor:
        """Row 0 is a key `distance` or more before its query."""
        return (k.cols().pos - q.rows().pos).clamp(-self.distance, self.distance) + self.distance

    def content(self, table: Any, index: Tensor, q: Tensor, k: Tensor, heads: Any) -> Tensor:
        scores = q @ self.weight.to(q.dtype).T
        return scores.gather(-1, index.expand(*q.shape[:-1], k.shape[2])) * heads.scale


Relative = Annotated[
    NoPosition | RotarySpec | AlibiSpec | BucketsSpec | DisentangledSpec | ShawSpec, Field(discriminator="kind")
]
