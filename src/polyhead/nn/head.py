"""AXIS head: hidden states (B, T, D) → logits, through one pipeline whatever the task.

    pool → input norm → dense → activation (→ back, added) → norm → output (vocabulary, n classes, or none) → ×scale → soft
    cap → unit length
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .at import At
from .ffn import ACTIVATIONS, Activation
from .norm import Norm
from .spec import Spec, linear_params
from .tokens import Tokens

Task = Literal["lm", "mlm", "rtd", "classify", "pair", "image", "tag", "span", "embed", "pool"]
PER_TOKEN = ("lm", "mlm", "rtd", "tag", "span")
PER_ROW = ("classify", "pair", "image", "pool")
Pool = Literal[
    "first", "last", "mean", "max", "mean_sqrt", "weighted_mean", "mean_patches", "first_mean", "eos", "last_eos",
    "largest_id",
]  # fmt: skip
FROM_IDS = ("eos", "last_eos", "largest_id")


class HeadSpec(Spec):
    """task says what the logits mean; the other fields say how they are made.

    task: lm, mlm (logits over the vocabulary), rtd (one logit: was this token replaced? ELECTRA, arXiv 2003.10555 §2), tag
    and span answer per token; classify, pair (2 logits: do two texts follow on each other? BERT §3.1, ALBERT §3.1),
    image and pool once per row; embed either way.
    pool: none (per token); of the real tokens the first, the last, their mean, maximum, sum / √count (mean_sqrt) or mean
    weighted by 1, 2, 3 … (weighted_mean, SGPT, arXiv 2202.08904 eq. 2); mean_patches leaves the first one out,
    first_mean is [first; mean_patches], 2 D wide (DINOv2); eos and last_eos: where the id `eos` stands first (CLIP) or
    last (BART, T5) in what was read, of an encoder–decoder the source; largest_id: where the highest id stands first
    (CLIP's older form). Several, as a list, are concatenated (sentence-transformers). dense: width of a hidden layer (BERT's
    pooler and MLM transform). back: a second matrix leads from that layer back to the width it came from, and the sum of both
    goes on, as in a block (BigBird's span head, arXiv 2007.14062, as in Hugging Face). output: number of logits (2 for a span's start and end); None = the hidden states
    themselves. tied: the output matrix is the token embedding (Press & Wolf 2017, arXiv 1608.05859). softcap c bounds
    logits by c·tanh(l/c). normalise: unit length (embeddings).
    """

    task: Task = "lm"
    pool: Literal["none"] | Pool | tuple[Pool, ...] = "none"
    eos: int | None = Field(None, ge=0, description="the id that pool eos or last_eos looks for")
    input_norm: Norm | None = None
    dense: int | None = Field(None, gt=0)
    dense_bias: bool = True
    act: Activation | None = None
    back: bool = False
    norm: Norm | None = None
    output: int | None = Field(None, gt=0)
    bias: bool = False
    tied: bool = False
    scale: float = Field(1.0, gt=0)
    softcap: float | None = Field(None, gt=0)
    normalise: bool = False

    @model_validator(mode="after")
    def _possible(self) -> HeadSpec:
        if self.task in PER_TOKEN and self.pools:
            raise ValueError(f"a {self.task} head answers for every token: expected pool none, got {self.pool}")
        if self.task in PER_ROW and not self.pools:
            raise ValueError(f"a {self.task} head answers once per row: set pool to first, last or mean")
        if ("eos" in self.pools or "last_eos" in self.pools) != (self.eos is not None):
            raise ValueError(f"pool eos and an id go together: got pool {self.pool} and eos {self.eos}; set both or neither")
        if self.task not in ("embed", "pool") and self.output is None:
            raise ValueError(f"a {self.task} head needs output, the number of logits")
        if self.back and self.dense is None:
            raise ValueError("a head goes back from its hidden layer: set dense, the width of that layer, or back false")
        if self.task == "span" and self.output != 2:
            raise ValueError(f"a span head has 2 logits, start and end: got output {self.output}")
        if self.output is not None and self.output != {"rtd": 1, "pair": 2}.get(self.task, self.output):
            raise ValueError(f"a {self.task} head has {'1 logit' if self.task == 'rtd' else '2 logits'}: got output {self.output}")
        return self

    @property
    def pools(self) -> tuple[str, ...]:
        """The poolings that are concatenated; empty when the head answers per token."""
        return self.pool if isinstance(self.pool, tuple) else () if self.pool == "none" else (self.pool,)

    def pooled_width(self, width: int) -> int:
        """Width of what the pipeline starts from."""
        return width * (sum(1 + (kind == "first_mean") for kind in self.pools) or 1)

    def last_width(self, width: int) -> int:
        """Width of what the output matrix is multiplied with."""
        return self.dense if self.dense and not self.back else self.pooled_width(width)

    def params(self, width: int) -> int:
        wide, width = self.pooled_width(width), self.last_width(width)
        n = self.input_norm.params(wide) if self.input_norm else 0
        if self.dense:
            n += linear_params(wide, self.dense, self.dense_bias)
            n += linear_params(self.dense, wide, self.dense_bias) if self.back else 0
        n += self.norm.params(width) if self.norm else 0
        matrix = 0 if self.tied or self.output is None else width * self.output
        return n + matrix + (self.output or 0) * self.bias

    def flops(self, width: int, tokens: int) -> int:
        n = 2 * tokens * self.pooled_width(width) * (self.dense or 0) * (1 + self.back)
        return n + 2 * tokens * self.last_width(width) * (self.output or 0)

    def build(self, width: int, dropout: float = 0.0) -> Head:
        return Head(self, width, dropout)


class Head(nn.Module):
    def __init__(self, spec: HeadSpec, width: int, dropout: float) -> None:
        super().__init__()
        self.spec, self.dropout = spec, dropout
        wide, width = spec.pooled_width(width), spec.last_width(width)
        self.input_norm = spec.input_norm.build(wide) if spec.input_norm else None
        self.dense = nn.Linear(wide, spec.dense, bias=spec.dense_bias) if spec.dense else None
        self.back = nn.Linear(spec.dense, wide, bias=spec.dense_bias) if spec.back and spec.dense else None
        self.norm = spec.norm.build(width) if spec.norm else None
        self.weight = nn.Parameter(torch.empty(spec.output, width)) if spec.output is not None and not spec.tied else None
        self.bias = nn.Parameter(torch.zeros(spec.output)) if spec.bias and spec.output else None
        self.product: nn.Module | None = None  # a packed output matrix, set for inference

    def forward(
        self, x: Tensor, at: At | None = None, table: Tensor | None = None, read: Tokens | None = None
    ) -> Tensor:
        """x (B, T, D) → logits (B, T, output) or (B, output) in at least fp32. table: the tied embedding (vocab, D).
        read: the tokens whose ids tell where eos stands."""
        spec = self.spec
        valid = at.valid() if at is not None else None
        if spec.pools:
            parts = [pool(x, kind, valid, read, spec.eos) for kind in spec.pools]
            x, valid = parts[0] if len(parts) == 1 else torch.cat(parts, -1), None
        if self.input_norm is not None:
            x = self.input_norm(x, valid)
        before = x
        if self.dense is not None:
            x = self.dense(x)
        x = x if spec.act is None else ACTIVATIONS[spec.act](x)
        x = x if self.back is None else before + self.back(x)
        x = x if self.norm is None else self.norm(x, valid)
        x = F.dropout(x, self.dropout, self.training)
        if spec.output is not None:
            x = self._logits(x, table if spec.tied else self.weight)
        x = x if x.dtype == torch.float64 else x.float()
        x = x if spec.scale == 1.0 else x * spec.scale
        x = x if spec.softcap is None else spec.softcap * torch.tanh(x / spec.softcap)
        return F.normalize(x, dim=-1) if spec.normalise else x

    def _logits(self, x: Tensor, weight: Tensor | None) -> Tensor:
        if self.product is not None:
            return self.product(x)
        assert weight is not None, "a tied head is called with its table"
        return F.linear(x, weight, self.bias)


UNPADDED = {"first": lambda x: x[:, 0], "last": lambda x: x[:, -1], "mean": lambda x: x.mean(1), "max": lambda x: x.amax(1)}


def pool(x: Tensor, kind: str, valid: Tensor | None, read: Tokens | None = None, eos: int | None = None) -> Tensor:
    """(B, T, D) → (B, D), or 2 D wide, over real tokens; valid (B|1, T) or None = all. Where nothing is to be averaged,
    zeros. ValueError when the ids that eos needs are missing or hold none."""
    if kind == "first_mean":
        return torch.cat([pool(x, "first", valid), pool(x, "mean_patches", valid)], -1)
    if kind in FROM_IDS:
        return _at(x, _place(x, kind, read, eos))
    if valid is None and kind in UNPADDED:
        return UNPADDED[kind](x)
    real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if valid is None else valid.expand(x.shape[:2])
    if kind in ("first", "last"):
        order = torch.arange(x.shape[1], device=x.device)
        return _at(x, (real * (x.shape[1] - order if kind == "first" else order + 1)).argmax(1))
    if kind == "max":
        lowest = x.masked_fill(~real.unsqueeze(-1), float("-inf")).amax(1)
        return lowest.masked_fill(~real.any(1, keepdim=True), 0.0)
    count = real.cumsum(1)
    weights = {"weighted_mean": real * count, "mean_patches": real & (count > 1)}.get(kind, real).unsqueeze(-1)
    wide = x if x.dtype == torch.float64 else x.float()
    total = weights.to(wide.dtype).sum(1).clamp(min=1)
    return ((wide * weights).sum(1) / (total.sqrt() if kind == "mean_sqrt" else total)).to(x.dtype)


def _at(x: Tensor, index: Tensor) -> Tensor:
    return x[torch.arange(x.shape[0], device=x.device), index]


def _place(x: Tensor, kind: str, read: Tokens | None, eos: int | None) -> Tensor:
    """(B,) the place in each row that the ids point to."""
    ids = None if read is None else read.ids
    if read is None or ids is None or ids.shape != x.shape[:2]:
        got = "none" if ids is None else f"{tuple(ids.shape)}"
        raise ValueError(f"pool {kind} looks at the ids of the tokens: expected {tuple(x.shape[:2])}, got {got}")
    if read.padded and read.pos is not None:
        ids = ids.masked_fill(read.pos < 0, -1)
    if kind == "largest_id":
        return ids.argmax(1)
    assert eos is not None, "the spec has one for such a pool"
    hits = ids == eos
    if not torch.compiler.is_compiling():
        lost = (~hits.any(1) & (ids >= 0).any(1)).nonzero().flatten().tolist()
        if lost:
            raise ValueError(f"pool {kind} needs id {eos} in every row: got none in row {lost[0]}; end each text with it")
    order = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    return (hits * (order if kind == "last_eos" else order.flip(0))).argmax(1)
