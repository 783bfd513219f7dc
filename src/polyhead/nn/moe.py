"""AXIS mixture of experts: stands wherever a feed-forward does; each token visits its top_k of E experts.

    scores = softmax or sigmoid(x W_r)   →  choose top_k (by score + correction, inside the best groups)
    y = Σ_chosen weight · expert(x)  [+ shared expert(x)]

Eager runs each expert on the tokens that chose it (cost ∝ top_k). Under torch.compile every expert sees every token with
weight 0 where it was not chosen, because a graph needs fixed shapes: same result, cost ∝ E.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .ffn import Activation, Gated, GatedSpec, PlainSpec, gate_function
from .spec import Spec


class ExpertsSpec(Spec):
    """Gated experts with a learned router (Shazeer et al. 2017, arXiv 1701.06538; Mixtral, arXiv 2401.04088, eq. 1–3).

    router "sigmoid" with correction selects by score + bias and weighs by the bare score (DeepSeek-V3, arXiv 2412.19437,
    eq. 12–16). router_fp32 multiplies in fp32 whatever the model's dtype (DeepSeek); scores are fp32 always. groups/top_groups limit a token to the best groups, ranked by their max or by the sum of their two best.
    balance is the coefficient of the load-balancing loss E·Σ_e f_e·P_e (Switch, arXiv 2101.03961, eq. 4).
    """

    kind: Literal["experts"] = "experts"
    experts: int = Field(gt=0)
    top_k: int = Field(gt=0)
    inner: int = Field(gt=0, description="hidden width of one expert")
    act: Activation | Literal["clamped_swiglu"] = "silu"
    bias: bool = False
    router: Literal["softmax", "sigmoid"] = "softmax"
    router_fp32: bool = False
    correction: bool = False
    normalise: bool = True
    scale: float = 1.0
    groups: int = Field(1, gt=0)
    top_groups: int = Field(1, gt=0)
    group_score: Literal["max", "top2"] = "max"
    shared: int = Field(0, ge=0, description="hidden width of the shared expert every token visits; 0 = none")
    balance: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _possible(self) -> ExpertsSpec:
        if self.experts % self.groups:
            raise ValueError(f"experts must divide into groups: got {self.experts} experts in {self.groups} groups")
        if self.top_groups > self.groups:
            raise ValueError(f"top_groups must be at most groups: got {self.top_groups} of {self.groups}")
        if self.group_score == "top2" and self.groups > 1 and self.experts < 2 * self.groups:
            raise ValueError(f"group_score top2 needs two experts in a group: got {self.experts} in {self.groups} groups")
        reach = self.experts // self.groups * self.top_groups
        if self.top_k > reach:
            raise ValueError(f"top_k must be at most the {reach} experts a token may reach: got {self.top_k}")
        return self

    def shared_spec(self) -> GatedSpec:
        return GatedSpec(inner=self.shared, act=self.act, bias=self.bias)

    def params(self, width: int) -> int:
        expert = 3 * width * self.inner + (2 * self.inner + width) * self.bias
        router = width * self.experts + self.experts * self.bias
        return self.experts * expert + router + (self.shared_spec().params(width) if self.shared else 0)

    def flops(self, width: int, tokens: int) -> int:
        routed = 6 * tokens * self.top_k * width * self.inner
        shared = self.shared_spec().flops(width, tokens) if self.shared else 0
        return routed + 2 * tokens * width * self.experts + shared

    def build(self, width: int, dropout: float = 0.0) -> Experts:
        return Experts(self, width, dropout)


class Router(nn.Module):
    """x (N, D) → (chosen (N, K) expert numbers, weights (N, K) in x's dtype, probabilities (N, E) fp32)."""

    correction: Tensor  # only where the spec asks for it

    def __init__(self, spec: ExpertsSpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.empty(spec.experts, width))
        self.bias = nn.Parameter(torch.zeros(spec.experts)) if spec.bias else None
        if spec.correction:
            self.register_buffer("correction", torch.zeros(spec.experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        spec = self.spec
        logits = self._logits(x)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        scores = logits.softmax(-1) if spec.router == "softmax" else logits.sigmoid()
        ranking = scores + self.correction if spec.correction else scores
        if spec.groups > 1:
            grouped = ranking.view(-1, spec.groups, spec.experts // spec.groups)
            rank = grouped.amax(-1) if spec.group_score == "max" else grouped.topk(2, -1).values.sum(-1)
            closed = torch.ones_like(rank, dtype=torch.bool).scatter(1, rank.topk(spec.top_groups, -1).indices, False)
            ranking = grouped.masked_fill(closed.unsqueeze(-1), float("-inf")).flatten(1)
        chosen = ranking.topk(spec.top_k, -1).indices
        weights = scores.gather(1, chosen)
        if spec.normalise:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return chosen, (weights * spec.scale).to(x.dtype), scores


    def _logits(self, x: Tensor) -> Tensor:
        if not self.spec.router_fp32 or x.dtype == torch.float64:
            return nn.functional.linear(x, self.weight, self.bias)
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):  # the meta device, where one counts, has none
            bias = None if self.bias is None else self.bias.float()
            return nn.functional.linear(x.float(), self.weight.float(), bias)

    def _apply(self, fn: Any, recurse: bool = True) -> Router:
        """The correction stays in fp32 when the model goes to half precision: its steps are smaller than bf16's."""
        kept = getattr(self, "correction", None)
        super()._apply(fn, recurse)
        if kept is not None and self.correction.dtype in (torch.bfloat16, torch.float16):
            moved = self.correction
            self.correction = moved.float() if kept.is_meta else kept.float().to(moved.device)
        return self


class Experts(nn.Module):
    """Called as `experts(x, valid)`; leaves its load-balancing loss in `balance_loss` (None when not asked for)."""

    def __init__(self, spec: ExpertsSpec, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.spec, self.join, self.dropout = spec, gate_function(spec.act), dropout
        self.router = Router(spec, width)
        shapes = {"gate": (spec.inner, width), "up": (spec.inner, width), "down": (width, spec.inner)}
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.empty(spec.experts, *shape)))
            bias = nn.Parameter(torch.zeros(spec.experts, shape[0])) if spec.bias else None
            self.register_parameter(f"{name}_bias", bias)
        self.shared = Gated(spec.shared_spec(), width, dropout) if spec.shared else None

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) → (y (B, T, D), balance loss of this layer or None)."""
        flat = x.reshape(-1, x.shape[-1])
        chosen, weights, scores = self.router(flat)
        if torch.compiler.is_compiling():
            y = self._fixed(flat, chosen, weights if valid is None else weights * valid.reshape(-1, 1))
        else:  # padding visits no expert: it would change the size, and so the last bit, of the others' products
            y = self._sparse(flat, chosen if valid is None else chosen.masked_fill(~valid.reshape(-1, 1), -1), weights)
        if self.shared is not None:
            y = y + self.shared(flat)
        balance = self._balance(chosen, scores, valid) if self.spec.balance and self.training else None
        return y.view_as(x), balance

    def _expert(self, e: int | slice, x: Tensor) -> Tensor:
        """One expert (e an int, x (n, D)) or all of them (e a slice, x (E, N, D))."""

        def product(x: Tensor, name: str) -> Tensor:
            weight, bias = getattr(self, name)[e], getattr(self, f"{name}_bias")
            y = x @ weight.transpose(-1, -2)
            return y if bias is None else y + bias[e].unsqueeze(-2)

        h = self.join(product(x, "gate"), product(x, "up"))
        return product(nn.functional.dropout(h, self.dropout, self.training), "down")

    def _sparse(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        for e in range(self.spec.experts):
            token, slot = (chosen == e).nonzero(as_tuple=True)
            y = y.index_add(0, token, self._expert(e, x[token]) * weights[token, slot].unsqueeze(-1))
        return y

    def _fixed(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        dense = torch.zeros(x.shape[0], self.spec.experts, dtype=x.dtype, device=x.device).scatter(1, chosen, weights)
        every = self._expert(slice(None), x.expand(self.spec.experts, *x.shape))
        return torch.einsum("end,ne->nd", every, dense)

    def _balance(self, chosen: Tensor, scores: Tensor, valid: Tensor | None) -> Tensor:
        real = torch.ones_like(scores[:, :1]) if valid is None else valid.reshape(-1, 1).to(scores.dtype)
        n = real.sum().clamp(min=1)
        picked = torch.zeros_like(scores).scatter(1, chosen, 1.0) * real
        share = (scores / scores.sum(-1, keepdim=True)) * real
        load = picked.sum(0) / (n * self.spec.top_k)
        return self.spec.balance * self.spec.experts * (load * (share.sum(0) / n)).sum()


FeedForward = Annotated[PlainSpec | GatedSpec | ExpertsSpec, Field(discriminator="kind")]
