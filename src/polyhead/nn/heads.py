"""AXIS heads: how queries, keys and values are made from x, and what of them the cache keeps.

Contract of a choice (turn: the position's rotation; identity for cross-attention)
    project(x, turn) -> q, entry      query(x, turn) -> q      entry(src, turn) -> entry
    shapes() -> ((heads, width), …)   what one token's entry occupies in the cache
    expand(q, entry) -> q, k, v       output(o) -> (B, T, D)
    fuse()                            one product where there were several; inference only
The union of choices closes latent.py. Shapes: x (B, T, D); q (B, h, T, d); an entry is a tuple of (B, n_i, T, d_i).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, overload

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .lora import adapted
from .norm import Norm
from .spec import Spec, linear_params

Turn = Callable[[Tensor], Tensor]
Entry = tuple[Tensor, ...]


class GroupedSpec(Spec):
    """h query heads share kv key/value heads: kv = h is multi-head (Vaswani et al. 2017 §3.2.2), kv = 1 multi-query
    (Shazeer 2019, arXiv 1911.02150), between them grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245).

    bias: which of q, k, v, o have one, as letters. qk_norm normalises queries and keys before rotation, per head or
    over all heads at once. scale None is head_dim^−½. softcap c bounds scores by c·tanh(s/c) (Gemma 2). sinks gives each
    head a learned score that joins the softmax and whose weight is dropped, so that a head may look at nothing (gpt-oss;
    Xiao et al. 2023, arXiv 2309.17453 §3.1).
    """

    kind: Literal["grouped"] = "grouped"
    heads: int = Field(gt=0)
    kv_heads: int | None = Field(None, gt=0, description="None = heads")
    head_dim: int | None = Field(None, gt=0, description="None = width / heads")
    bias: str = Field("", pattern="^q?k?v?o?$")
    qk_norm: Norm | None = None
    qk_norm_over: Literal["head", "all"] = "head"
    scale: float | None = Field(None, gt=0)
    softcap: float | None = Field(None, gt=0)
    sinks: bool = False

    @model_validator(mode="after")
    def _groups(self) -> GroupedSpec:
        if self.heads % self.kv:
            raise ValueError(f"kv_heads must divide heads: got {self.heads} heads and {self.kv} kv_heads")
        if self.qk_norm is not None and self.qk_norm.kind == "batch":
            raise ValueError("queries and keys are normalised token by token: expected layer, rms or dyt, got batch")
        return self

    @property
    def kv(self) -> int:
        return self.kv_heads or self.heads

    def dim(self, width: int) -> int:
        if self.head_dim is None and width % self.heads:
            raise ValueError(
                f"heads must divide the width: got width {width} and {self.heads} heads; "
                f"change heads to a divisor of {width}, or give head_dim"
            )
        return self.head_dim or width // self.heads

    @overload
    def rotary_dim(self, width: None = None) -> int | None: ...

    @overload
    def rotary_dim(self, width: int) -> int: ...

    def rotary_dim(self, width: int | None = None) -> int | None:
        """Features a rotation may turn; None = not known before the width is."""
        return self.head_dim if width is None else self.dim(width)

    def norm_widths(self, width: int) -> tuple[int, int]:
        d = self.dim(width)
        return (d, d) if self.qk_norm_over == "head" else (self.heads * d, self.kv * d)

    def params(self, width: int) -> int:
        d = self.dim(width)
        sizes = {"q": (width, self.heads * d), "k": (width, self.kv * d), "v": (width, self.kv * d)}
        sizes["o"] = (self.heads * d, width)
        norms = sum(self.qk_norm.params(w) for w in self.norm_widths(width)) if self.qk_norm else 0
        return sum(linear_params(*size, name in self.bias) for name, size in sizes.items()) + norms + self.heads * self.sinks

    def flops(self, width: int, queries: int, keys: int) -> int:
        """Projections of `queries` tokens (q, o) and `keys` tokens (k, v)."""
        d = self.dim(width)
        return 4 * queries * width * self.heads * d + 4 * keys * width * self.kv * d

    def score_flops(self, width: int, pairs: int) -> int:
        """q·k and weights·v over `pairs` (query, key) pairs."""
        return 4 * pairs * self.heads * self.dim(width)

    def activations(self, width: int) -> int:
        """Numbers per token that a training step keeps: q, k, v and what attention gives."""
        return (2 * self.heads + 2 * self.kv) * self.dim(width)

    def build(self, width: int, output: bool = True) -> Grouped:
        return Grouped(self, width, output)


class Grouped(nn.Module):
    def __init__(self, spec: GroupedSpec, width: int, output: bool = True) -> None:
        super().__init__()
        self.heads, self.kv, self.dim = spec.heads, spec.kv, spec.dim(width)
        self.scale = spec.scale if spec.scale is not None else self.dim**-0.5
        self.softcap, self.norm_over = spec.softcap, spec.qk_norm_over
        self.q = nn.Linear(width, self.heads * self.dim, bias="q" in spec.bias)
        self.k = nn.Linear(width, self.kv * self.dim, bias="k" in spec.bias)
        self.v = nn.Linear(width, self.kv * self.dim, bias="v" in spec.bias)
        self.o = nn.Linear(self.heads * self.dim, width, bias="o" in spec.bias) if output else None
        widths = spec.norm_widths(width)
        self.q_norm, self.k_norm = (spec.qk_norm.build(w) if spec.qk_norm else None for w in widths)
        self.sinks = nn.Parameter(torch.zeros(self.heads)) if spec.sinks else None
        self.qkv: nn.Linear | None = None  # set by fuse(): one product at inference

    def shapes(self) -> tuple[tuple[int, int], ...]:
        return ((self.kv, self.dim), (self.kv, self.dim))

    def project(self, x: Tensor, turn: Turn) -> tuple[Tensor, Entry]:
        if self.qkv is not None:
            joined = self.qkv(x)
        elif torch.compiler.is_compiling() and x.device.type == "cpu" and not adapted(self.q, self.k, self.v):
            joined = join_linears(x, (self.q, self.k, self.v))  # one bigger product: a compiled step gains 5 to 10 %
        else:
            return self.query(x, turn), self.entry(x, turn)
        q, k, v = joined.split([n * self.dim for n in (self.heads, self.kv, self.kv)], -1)
        return turn(self._split(q, self.q_norm)), (turn(self._split(k, self.k_norm)), self._split(v))

    def query(self, x: Tensor, turn: Turn) -> Tensor:
        return turn(self._split(self.q(x), self.q_norm))

    def entry(self, src: Tensor, turn: Turn) -> Entry:
        return turn(self._split(self.k(src), self.k_norm)), self._split(self.v(src))

    def rows(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (n, D) that are no tokens as queries (1, h, n, d) and as keys (1, kv, n, d)."""
        if self.qkv is not None:
            q, (k, _) = self.project(table.unsqueeze(0), lambda t: t)
            return q, k
        q, k = (product(table).unsqueeze(0) for product in (self.q, self.k))
        return self._split(q, self.q_norm), self._split(k, self.k_norm)

    def _split(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """(B, T, n·d) → (B, n, T, d), normalised per head or over all heads on the way."""
        if norm is not None and self.norm_over == "all":
            x = norm(x)
        x = x.unflatten(-1, (-1, self.dim)).transpose(1, 2)
        return norm(x) if norm is not None and self.norm_over == "head" else x

    def expand(self, q: Tensor, entry: Entry) -> tuple[Tensor, Tensor, Tensor]:
        k, v = entry
        return q, k, v

    def output(self, o: Tensor) -> Tensor:
        back = self.o
        assert back is not None, "global heads share the output of the others"
        return back(o.transpose(1, 2).flatten(2))

    def fuse(self) -> None:
        """Queries, keys and values by one product, for inference."""
        self.qkv = fuse_linears([self.q, self.k, self.v])
        self.q = self.k = self.v = None  # type: ignore[assignment]  # from here on all read the one product alone


def side_by_side(parts: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    """(weight, bias or None) of the Linear whose output is that of the parts side by side."""
    weight = torch.cat([p.weight for p in parts])
    if all(p.bias is None for p in parts):
        return weight, None
    return weight, torch.cat([p.bias if p.bias is not None else p.weight.new_zeros(p.out_features) for p in parts])


def join_linears(x: Tensor, parts: Sequence[nn.Linear]) -> Tensor:
    """The parts' outputs side by side, by one product; differentiable, the parts keep their weights."""
    return F.linear(x, *side_by_side(parts))


def fuse_linears(parts: Sequence[nn.Linear]) -> nn.Linear:
    """One Linear in the parts' stead. Inference only: it takes no gradient."""
    weight, bias = side_by_side(parts)
    with torch.device("meta"):
        fused = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    fused.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        fused.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return fused
