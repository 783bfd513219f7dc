"""AXIS embedding: what a stack reads → x (B, T, D).

    ids      token [· scale] [+ type] [+ position] [norm] [project]
    pixels   patches, class vector first [+ position] [norm]
    frames   two convolutions [+ position] [norm]
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .at import At
from .block import DropoutSpec
from .inputs import Frames, Input, Patches, TokenInput
from .norm import Norm
from .position import Absolute, LearnedSpec, NoPosition
from .spec import Spec, linear_params
from .tokens import Tokens


class EmbeddingSpec(Spec):
    """input: token ids (with a table of `vocab` rows), patches of images, or frames of audio.

    width below the stack's factorises the token table (ALBERT §3.1): project "sum" maps the normed sum up with a bias
    (ALBERT, ELECTRA), "sum_first" the sum without one, and norms after it (DeBERTa-v2), "token" only the token's vector,
    without one (OPT-350m). scale multiplies the token vector (√d in Vaswani et al. 2017 §3.4); round_scale rounds the
    factor itself to the weights' dtype first (Gemma). types > 0 adds a token-type table (BERT).
    """

    input: Input = TokenInput()
    vocab: int | None = Field(None, gt=0, description="rows of the token table; none without token ids")
    width: int | None = Field(None, gt=0, description="None = the stack's width")
    project: Literal["none", "sum", "sum_first", "token"] = "none"
    scale: float = Field(1.0, gt=0)
    round_scale: bool = False
    types: int = Field(0, ge=0)
    position: Absolute = NoPosition()
    norm: Norm | None = None

    @model_validator(mode="after")
    def _projected(self) -> EmbeddingSpec:
        if self.width is not None and self.project == "none":
            raise ValueError(f"a table of width {self.width} must be projected: set project to sum or token")
        return self

    @model_validator(mode="after")
    def _read(self) -> EmbeddingSpec:
        if isinstance(self.input, TokenInput):
            if self.vocab is None:
                raise ValueError("token ids need a table: expected vocab, got none; set vocab")
        else:
            own = {"vocab": None, "width": None, "project": "none", "scale": 1.0, "round_scale": False, "types": 0}
            set_ = [name for name, usual in own.items() if getattr(self, name) != usual]
            if set_:
                raise ValueError(f"{self.input.kind} have no token table: expected no {set_[0]}, got one; remove it")
        if not isinstance(self.position, LearnedSpec):
            return self
        rows = self.position.length + self.position.offset
        if isinstance(self.input, Patches):
            if rows != self.input.positions:
                raise ValueError(f"learned positions of patches must be {self.input.positions} rows: got {rows}")
        elif self.position.resize != "no":
            raise ValueError(f"only positions of patches form a grid to resize: got resize {self.position.resize}")
        return self

    def table_width(self, width: int) -> int:
        return self.width or width

    def sum_width(self, width: int) -> int:
        return width if self.project == "token" else self.table_width(width)

    def norm_width(self, width: int) -> int:
        return width if self.project == "sum_first" else self.sum_width(width)

    def params(self, width: int) -> int:
        e, s = self.table_width(width), self.sum_width(width)
        n = self.position.params(s, 1, s) + (self.norm.params(self.norm_width(width)) if self.norm else 0)
        if not isinstance(self.input, TokenInput):
            return n + self.input.params(width)
        projection = 0 if self.project == "none" else linear_params(e, width, self.project == "sum")
        return n + (self.vocab or 0) * e + self.types * s + projection

    def flops(self, width: int, tokens: int, rows: int = 1) -> int:
        """Of `rows` rows that become `tokens` vectors each."""
        if not isinstance(self.input, TokenInput):
            return self.input.flops(width, tokens, rows)
        return 0 if self.project == "none" else 2 * rows * tokens * self.table_width(width) * width

    def build(self, width: int, dropout: DropoutSpec) -> Embedding:
        kinds = {"tokens": TokenEmbedding, "patches": PatchEmbedding, "frames": FrameEmbedding}
        return kinds[self.input.kind](self, width, dropout)


class Embedding(nn.Module):
    """What all inputs share: positions, norm, dropout. `length(tokens)` refuses what does not fit before anything is
    computed, with ValueError, and gives the number T of vectors a row becomes. `token`: the table heads may be tied to."""

    def __init__(self, spec: EmbeddingSpec, width: int, dropout: DropoutSpec) -> None:
        super().__init__()
        self.dropout, self.unread = dropout.embedding, dropout.token
        self.token: nn.Parameter | None = None
        s = spec.sum_width(width)
        self.position = spec.position.build(s, 1, s)
        self.norm = spec.norm.build(spec.norm_width(width)) if spec.norm is not None else None

    def length(self, tokens: Tokens) -> int:
        raise NotImplementedError

    def finish(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        if self.norm is not None:
            x = self.norm(x, valid)
        if self.unread:  # one draw for a whole vector
            x = x * F.dropout(x.new_ones(*x.shape[:2], 1), self.unread, self.training)
        return F.dropout(x, self.dropout, self.training)


class TokenEmbedding(Embedding):
    token: nn.Parameter

    def __init__(self, spec: EmbeddingSpec, width: int, dropout: DropoutSpec) -> None:
        super().__init__(spec, width, dropout)
        assert spec.vocab is not None
        e, s = spec.table_width(width), spec.sum_width(width)
        self.scale, self.round_scale, self.projected = spec.scale, spec.round_scale, spec.project
        self.token = nn.Parameter(torch.empty(spec.vocab, e))
        self.types = nn.Parameter(torch.empty(spec.types, s)) if spec.types else None  # `type` is nn.Module's
        self.project = nn.Linear(e, width, bias=spec.project == "sum") if spec.project != "none" else None

    def length(self, tokens: Tokens) -> int:
        if tokens.ids is None or tokens.signal is not None:
            raise ValueError("this stack reads token ids: expected ids (B, T) alone, got a signal")
        if tokens.masked is not None:
            raise ValueError("only patches are masked: expected no masked, got some; write the mask token into ids")
        if tokens.types is not None and self.types is None:
            raise ValueError("this model has no token types: expected no types, got some; leave them out")
        return tokens.ids.shape[1]

    def forward(self, tokens: Tokens, at: At, valid: Tensor | None = None) -> Tensor:
        assert tokens.ids is not None, "length() has seen them"
        x, project = F.embedding(tokens.ids, self.token), self.project
        if self.scale != 1.0:
            x = x * (torch.tensor(self.scale, dtype=x.dtype) if self.round_scale else self.scale)
        if project is not None and self.projected == "token":
            x = project(x)
        if self.types is not None:
            x = x + (self.types[0] if tokens.types is None else F.embedding(tokens.types, self.types))
        x = self.position.embed(x, at.pos)
        if project is not None and self.projected == "sum_first":
            x = project(x)
        x = self.finish(x, valid)
        return project(x) if project is not None and self.projected == "sum" else x


class SignalEmbedding(Embedding):
    def signal(self, tokens: Tokens, shape: str, dims: int, channels: int) -> Tensor:
        """The signal of a batch, of `dims` dimensions with `channels` in the second."""
        signal = tokens.signal
        others = [n for n in ("ids", "pos", "segment", "mark", "types") if getattr(tokens, n) is not None]
        if signal is None or others:
            got = f"got {', '.join(others) or 'none'}" + (" beside a signal" if signal is not None else "")
            raise ValueError(f"this stack reads a signal: expected signal {shape} alone, {got}")
        if signal.dim() != dims or signal.shape[1] != channels:
            raise ValueError(f"the signal's shape does not fit: expected {shape}, got {tuple(signal.shape)}")
        return signal


class PatchEmbedding(SignalEmbedding):
    def __init__(self, spec: EmbeddingSpec, width: int, dropout: DropoutSpec) -> None:
        super().__init__(spec, width, dropout)
        patches = spec.input
        assert isinstance(patches, Patches)
        self.side, self.channels = patches.patch, patches.channels
        pairs = zip((patches.channels, *patches.stem), patches.stem, strict=False)
        self.stem = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        side, channels = patches.window
        self.patch = nn.Conv2d(channels, width, side, stride=side, bias=patches.bias)
        self.cls = nn.Parameter(torch.empty(width)) if patches.class_token else None
        self.mask = nn.Parameter(torch.empty(width)) if patches.mask_token else None

    def grid(self, tokens: Tokens) -> tuple[int, int]:
        """Rows and columns of patches."""
        pixels = self.signal(tokens, f"(B, {self.channels}, H, W)", 4, self.channels)
        rows, columns = pixels.shape[2] // self.side, pixels.shape[3] // self.side
        if not rows or not columns:
            got = f"{pixels.shape[2]} × {pixels.shape[3]}"
            raise ValueError(f"an image holds at least one patch: expected {self.side} × {self.side} pixels, got {got}")
        return rows, columns

    def length(self, tokens: Tokens) -> int:
        rows, columns = self.grid(tokens)
        hidden, signal = tokens.masked, tokens.signal
        if hidden is not None and self.mask is None:
            raise ValueError("this model has no mask vector: expected no masked patches, got some; set mask_token")
        if hidden is not None and signal is not None and hidden.shape != (len(signal), rows * columns):
            expected = (len(signal), rows * columns)
            raise ValueError(f"masked says one thing per patch: expected {expected}, got {tuple(hidden.shape)}")
        return rows * columns + (self.cls is not None)

    def forward(self, tokens: Tokens, at: At, valid: Tensor | None = None) -> Tensor:
        assert tokens.signal is not None, "length() has seen it"
        x, (rows, columns) = tokens.signal.to(self.patch.weight.dtype), self.grid(tokens)
        x = x[..., : rows * self.side, : columns * self.side]
        for conv in self.stem:
            x = F.gelu(conv(x))
        x = self.patch(x).flatten(2).transpose(1, 2)
        if tokens.masked is not None and self.mask is not None:
            x = torch.where(tokens.masked.unsqueeze(-1), self.mask, x)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), 1, -1), x], 1)
        return self.finish(self.position.embed(x, at.pos, (rows, columns)), valid)


class FrameEmbedding(SignalEmbedding):
    def __init__(self, spec: EmbeddingSpec, width: int, dropout: DropoutSpec) -> None:
        super().__init__(spec, width, dropout)
        assert isinstance(spec.input, Frames)
        self.channels = spec.input.channels
        self.rows = spec.position.length if isinstance(spec.position, LearnedSpec) else None
        self.conv1 = nn.Conv1d(self.channels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)

    def length(self, tokens: Tokens) -> int:
        frames = self.signal(tokens, f"(B, {self.channels}, frames)", 3, self.channels).shape[2]
        length = (frames + 1) // 2
        if self.rows is not None and frames != 2 * self.rows:
            raise ValueError(f"frames must fill all positions: expected {2 * self.rows} frames, got {frames}; pad them")
        if not length:
            raise ValueError("a signal holds at least one frame: expected some, got 0")
        return length

    def forward(self, tokens: Tokens, at: At, valid: Tensor | None = None) -> Tensor:
        assert tokens.signal is not None, "length() has seen it"
        x = F.gelu(self.conv1(tokens.signal.to(self.conv1.weight.dtype)))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        return self.finish(self.position.embed(x, at.pos), valid)
