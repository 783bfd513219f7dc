"""AXIS head: hidden states (B, T, D) → logits, through one pipeline whatever the task.

    pool → input norm → dense → activation → norm → output (vocabulary, n classes, or none) → ×scale → soft cap → unit length
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

Task = Literal["lm", "mlm", "classify", "tag", "span", "embed", "pool"]


class HeadSpec(Spec):
    """task says what the logits mean; the other fields say how they are made.

    pool: none (per token), first, last (real) token, mean over real tokens. dense: width of a hidden layer (BERT's
    pooler and MLM transform). output: number of logits (2 for a span's start and end); None = the hidden states
    themselves. tied: the output matrix is the token embedding (Press & Wolf 2017, arXiv 1608.05859). softcap c bounds
    logits by c·tanh(l/c). normalise: unit length (embeddings).
    """

    task: Task = "lm"
    pool: Literal["none", "first", "last", "mean"] = "none"
    input_norm: Norm | None = None
    dense: int | None = Field(None, gt=0)
    dense_bias: bool = True
    act: Activation | None = None
    norm: Norm | None = None
    output: int | None = Field(None, gt=0)
    bias: bool = False
    tied: bool = False
    scale: float = Field(1.0, gt=0)
    softcap: float | None = Field(None, gt=0)
    normalise: bool = False

    @model_validator(mode="after")
    def _possible(self) -> HeadSpec:
        if self.task in ("lm", "mlm", "tag", "span") and self.pool != "none":
            raise ValueError(f"a {self.task} head answers for every token: expected pool none, got {self.pool}")
        if self.task in ("classify", "pool") and self.pool == "none":
            raise ValueError(f"a {self.task} head answers once per row: set pool to first, last or mean")
        if self.task not in ("embed", "pool") and self.output is None:
            raise ValueError(f"a {self.task} head needs output, the number of logits")
        if self.task == "span" and self.output != 2:
            raise ValueError(f"a span head has 2 logits, start and end: got output {self.output}")
        return self

    def params(self, width: int) -> int:
        n = self.input_norm.params(width) if self.input_norm else 0
        if self.dense:
            n, width = n + linear_params(width, self.dense, self.dense_bias), self.dense
        n += self.norm.params(width) if self.norm else 0
        matrix = 0 if self.tied or self.output is None else width * self.output
        return n + matrix + (self.output or 0) * self.bias

    def flops(self, width: int, tokens: int) -> int:
        n = 2 * tokens * width * self.dense if self.dense else 0
        return n + 2 * tokens * (self.dense or width) * (self.output or 0)

    def build(self, width: int, dropout: float = 0.0) -> Head:
        return Head(self, width, dropout)


class Head(nn.Module):
    def __init__(self, spec: HeadSpec, width: int, dropout: float) -> None:
        super().__init__()
        self.spec, self.dropout = spec, dropout
        self.input_norm = spec.input_norm.build(width) if spec.input_norm else None
        self.dense = nn.Linear(width, spec.dense, bias=spec.dense_bias) if spec.dense else None
        width = spec.dense or width
        self.norm = spec.norm.build(width) if spec.norm else None
        matrix = spec.output is not None and not spec.tied
        self.weight = nn.Parameter(torch.empty(spec.output, width)) if matrix else None
        self.bias = nn.Parameter(torch.zeros(spec.output)) if spec.bias and spec.output else None
        self.product: nn.Module | None = None  # a packed output matrix, set for inference

    def forward(self, x: Tensor, at: At | None = None, table: Tensor | None = None) -> Tensor:
        """x (B, T, D) → logits (B, T, output) or (B, output) in at least fp32. table: the tied embedding (vocab, D)."""
        spec = self.spec
        valid = at.valid() if at is not None else None
        if spec.pool != "none":
            x, valid = pool(x, spec.pool, valid), None
        if self.input_norm is not None:
            x = self.input_norm(x, valid)
        if self.dense is not None:
            x = self.dense(x)
        x = x if spec.act is None else ACTIVATIONS[spec.act](x)
        x = x if self.norm is None else self.norm(x, valid)
        x = F.dropout(x, self.dropout, self.training)
        if spec.output is not None:
            product = self.product
            x = F.linear(x, table if spec.tied else self.weight, self.bias) if product is None else product(x)
        x = x if x.dtype == torch.float64 else x.float()
        x = x if spec.scale == 1.0 else x * spec.scale
        x = x if spec.softcap is None else spec.softcap * torch.tanh(x / spec.softcap)
        return F.normalize(x, dim=-1) if spec.normalise else x


def pool(x: Tensor, kind: str, valid: Tensor | None) -> Tensor:
    """(B, T, D) → (B, D) over real tokens; valid (B|1, T) or None = all. A row of padding only gives zeros under mean."""
    if valid is None:
        return {"first": x[:, 0], "last": x[:, -1]}[kind] if kind != "mean" else x.mean(1)
    real = valid.expand(x.shape[:2])
    if kind == "mean":
        weights = real.unsqueeze(-1).to(x.dtype)
        return (x * weights).sum(1) / weights.sum(1).clamp(min=1)
    order = torch.arange(x.shape[1], device=x.device)
    index = (real * (x.shape[1] - order)).argmax(1) if kind == "first" else (real * (order + 1)).argmax(1)
    return x[torch.arange(x.shape[0], device=x.device), index]
