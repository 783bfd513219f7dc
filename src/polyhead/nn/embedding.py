"""AXIS embedding: ids (B, T) → x (B, T, D): token [· scale] [+ type] [+ position] [norm] [project]."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .at import At
from .norm import Norm
from .position import Absolute, NoPosition
from .spec import Spec, linear_params
from .tokens import Tokens


class EmbeddingSpec(Spec):
    """width below the stack's factorises the table (ALBERT §3.1): project "sum" maps the normed sum up with a bias
    (ALBERT, ELECTRA), "token" only the token's vector, without one (OPT-350m). scale multiplies the token vector
    (√d in Vaswani et al. 2017 §3.4). types > 0 adds a token-type table (BERT).
    """

    vocab: int = Field(gt=0)
    width: int | None = Field(None, gt=0, description="None = the stack's width")
    project: Literal["none", "sum", "token"] = "none"
    scale: float = Field(1.0, gt=0)
    types: int = Field(0, ge=0)
    position: Absolute = NoPosition()
    norm: Norm | None = None

    @model_validator(mode="after")
    def _projected(self) -> EmbeddingSpec:
        if self.width is not None and self.project == "none":
            raise ValueError(f"a table of width {self.width} must be projected: set project to sum or token")
        return self

    def table_width(self, width: int) -> int:
        return self.width or width

    def sum_width(self, width: int) -> int:
        return width if self.project == "token" else self.table_width(width)

    def params(self, width: int) -> int:
        e, s = self.table_width(width), self.sum_width(width)
        tables = self.vocab * e + self.types * s + self.position.params(s, 1, s)
        projection = 0 if self.project == "none" else linear_params(e, width, self.project == "sum")
        return tables + projection + (self.norm.params(s) if self.norm else 0)

    def flops(self, width: int, tokens: int) -> int:
        return 0 if self.project == "none" else 2 * tokens * self.table_width(width) * width

    def build(self, width: int, dropout: float = 0.0) -> Embedding:
        return Embedding(self, width, dropout)


class Embedding(nn.Module):
    def __init__(self, spec: EmbeddingSpec, width: int, dropout: float) -> None:
        super().__init__()
        e, s = spec.table_width(width), spec.sum_width(width)
        self.scale, self.dropout, self.projected = spec.scale, dropout, spec.project
        self.token = nn.Parameter(torch.empty(spec.vocab, e))
        self.types = nn.Parameter(torch.empty(spec.types, s)) if spec.types else None  # `type` is nn.Module's
        self.position = spec.position.build(s, 1, s)
        self.norm = spec.norm.build(s) if spec.norm is not None else None
        self.project = nn.Linear(e, width, bias=spec.project == "sum") if spec.project != "none" else None

    def forward(self, tokens: Tokens, at: At, valid: Tensor | None = None) -> Tensor:
        x = F.embedding(tokens.ids, self.token)
        x = x if self.scale == 1.0 else x * self.scale
        if self.projected == "token":
            x = self.project(x)
        if self.types is not None:
            x = x + (self.types[0] if tokens.types is None else F.embedding(tokens.types, self.types))
        x = self.position.embed(x, at.pos)
        if self.norm is not None:
            x = self.norm(x, valid)
        x = F.dropout(x, self.dropout, self.training)
        return self.project(x) if self.projected == "sum" else x
