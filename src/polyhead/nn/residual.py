"""AXIS residual: where the norms sit, how a sublayer's output joins the stream, what is dropped.

One formula per join:   y = after(skip·x + gain·Σ out(f(in(x))))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .norm import Norm
from .spec import Spec


class NoGain(Spec):
    """gain = skip = 1."""

    kind: Literal["none"] = "none"

    def params(self, width: int) -> int:
        return 0


class LayerScale(Spec):
    """A learned gain per channel, starting small (Touvron et al. 2021, CaiT, arXiv 2103.17239, eq. 4)."""

    kind: Literal["layer_scale"] = "layer_scale"
    start: float = 1e-5

    def params(self, width: int) -> int:
        return width


class ReZero(Spec):
    """One learned gain per sublayer, starting at 0: the block starts as the identity (arXiv 2003.04887, eq. 1)."""

    kind: Literal["rezero"] = "rezero"

    def params(self, width: int) -> int:
        return 1


class DeepNorm(Spec):
    """skip = α with post-norm; sublayer weights start scaled by β (Wang et al. 2022, arXiv 2203.00555, table 1).

    One stack of N layers: α = (2N)^¼, β = (8N)^−¼.
    """

    kind: Literal["deepnorm"] = "deepnorm"
    alpha: float = Field(gt=0)
    beta: float = Field(gt=0)

    def params(self, width: int) -> int:
        return 0


Gain = Annotated[NoGain | LayerScale | ReZero | DeepNorm, Field(discriminator="kind")]


class ResidualSpec(Spec):
    """placement: pre (GPT-2, LLaMA; Xiong et al. 2020, arXiv 2002.04745), post (2017, BERT), sandwich (Gemma 2),
    inner (OLMo 2: on the output, before the addition), none. skip_first_norm: attention reads x as it is, because the
    embedding's norm has just been there (layer 0 of ModernBERT, arXiv 2412.13663 §2.1.2).

    parallel runs attention and feed-forward from the same x: "one_norm" shares it (GPT-J, Falcon-7b), "two_norms" does
    not (GPT-NeoX). values adds λ·v₀ of the first layer to each layer's values (arXiv 2410.17897); x0 makes each block
    start from a·x + b·x₀ (modded-nanoGPT). stochastic_depth drops sublayers per sample with a probability that grows
    linearly with depth to this value (Huang et al. 2016, arXiv 1603.09382).
    """

    placement: Literal["pre", "post", "sandwich", "inner", "none"] = "pre"
    parallel: Literal["no", "one_norm", "two_norms"] = "no"
    skip_first_norm: bool = False
    gain: Gain = NoGain()
    values: bool = False
    x0: bool = False
    stochastic_depth: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _possible(self) -> ResidualSpec:
        if self.parallel != "no" and self.placement != "pre":
            raise ValueError(f"parallel sublayers need placement pre: got {self.placement}")
        if self.skip_first_norm and (self.placement != "pre" or self.parallel != "no"):
            got = f"{self.placement}, parallel {self.parallel}"
            raise ValueError(f"skip_first_norm needs placement pre and parallel no: got {got}")
        if isinstance(self.gain, DeepNorm) and self.placement != "post":
            raise ValueError(f"deepnorm needs placement post: got {self.placement}")
        return self

    @property
    def norms_per_join(self) -> int:
        return {"pre": 1, "post": 1, "inner": 1, "sandwich": 2, "none": 0}[self.placement]

    def params(self, width: int, norm: Norm, joins: int, layer: int) -> int:
        """Norms, gains and mixes of one block with `joins` sublayers that stands at depth `layer`."""
        norms = self.norms_per_join * joins - (self.parallel == "one_norm") - self.skip_first_norm
        mixes = (2 * self.x0 + self.values) * (layer > 0)
        return norms * norm.params(width) + joins * self.gain.params(width) + mixes


class Join(nn.Module):
    """One residual addition of one sublayer (or, parallel, of several). bare: no input norm, whatever the placement."""

    def __init__(
        self, spec: ResidualSpec, norm: Norm, width: int, dropout: float, sublayers: int = 1, bare: bool = False
    ) -> None:
        super().__init__()
        inside = 0 if bare else 1 if spec.parallel == "one_norm" else sublayers
        place = spec.placement
        self.ins = nn.ModuleList(norm.build(width) for _ in range(inside if place in ("pre", "sandwich") else 0))
        self.outs = nn.ModuleList(norm.build(width) for _ in range(sublayers if place in ("inner", "sandwich") else 0))
        self.after = norm.build(width) if place == "post" else None
        self.skip = spec.gain.alpha if isinstance(spec.gain, DeepNorm) else None
        self.gains: nn.ParameterList | None = None
        if isinstance(spec.gain, LayerScale):
            self.gains = nn.ParameterList(torch.full((width,), spec.gain.start) for _ in range(sublayers))
        elif isinstance(spec.gain, ReZero):
            self.gains = nn.ParameterList(torch.zeros(1) for _ in range(sublayers))
        self.dropout = dropout

    def forward(
        self, x: Tensor, *branches: Callable[[Tensor], Tensor], valid: Tensor | None = None, drop: float = 0.0
    ) -> Tensor:
        """x (B, T, D). drop: the probability, now and at this depth, that a sample skips the sublayers."""
        y, h = x if self.skip is None else self.skip * x, x
        for i, branch in enumerate(branches):
            if i < len(self.ins):  # one_norm: the last one serves the remaining branches, computed once
                h = self.ins[i](x, valid)
            out = branch(h)
            if self.outs:
                out = self.outs[i](out, valid)
            if self.gains is not None:
                out = self.gains[i] * out
            if self.dropout and self.training:
                out = F.dropout(out, self.dropout)
            y = y + (keep_samples(out, drop) if self.training and drop else out)
        return y if self.after is None else self.after(y, valid)


def keep_samples(out: Tensor, drop: float) -> Tensor:
    """Zero whole rows with probability drop and scale the others by 1/(1 − drop), so that E[out] is unchanged."""
    keep = torch.rand(out.shape[0], *[1] * (out.dim() - 1), device=out.device) >= drop
    return out * keep.to(out.dtype) / (1 - drop)
