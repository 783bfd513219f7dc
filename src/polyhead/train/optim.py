"""Optimizers: which parameter gets which update, and AdamW; Muon's own part is muon.py.

`param_groups` is the one place that decides; `Optimizer` applies it. Parameters are fp32 (mixed precision is
autocast's business): in bf16 an update below 1/256 of a weight rounds to nothing, so half-precision parameters are refused.
The closed union of the specs is on the last line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.optim.adamw import adamw

from polyhead.errors import CheckpointError, ConfigError

from .muon import Muon, by_shape


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamWSpec(_Spec):
    """Adam with decoupled weight decay (arXiv:1711.05101): w ← (1 − lr·wd)·w − lr·m̂ / (sqrt(v̂) + eps).

    The scales multiply `lr` for token and position tables, for heads, and for vectors (norms, biases, scalars).
    layer_decay δ: the rate of layer i of n is multiplied by δ^(n + 1 − i), see `distance` (Howard & Ruder 2018, arXiv
    1801.06146, §3.2; ELECTRA, arXiv 2003.10555, §A.2: 0.8 and 0.9; BEiT, arXiv 2106.08254, §A: 0.65 to 0.85).
    """

    kind: Literal["adamw"] = "adamw"
    lr: float = Field(default=1e-3, ge=0)
    betas: tuple[_Beta, _Beta] = (0.9, 0.95)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    embedding_scale: float = Field(default=1.0, ge=0)
    head_scale: float = Field(default=1.0, ge=0)
    scalar_scale: float = Field(default=1.0, ge=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)


class MuonSpec(_Spec):
    """Muon (Jordan et al., kellerjordan.github.io/posts/muon) for hidden matrices, `adamw` for all other parameters.

    momentum: rises linearly from `momentum_start` over the first `momentum_warmup` updates (0: full from the first).
    steps: Newton–Schulz steps, see `orthogonalise`. precision: of these products; "auto" is bf16 on CUDA, else fp32.
    scale: the size of an update of an (out, in) matrix: "spectral" sqrt(max(1, out/in)) (Muon's own); "rms"
    0.2·sqrt(max(out, in)), an RMS like AdamW's, whose learning rates then fit (arXiv:2502.16982, §2.2).
    The factors of low-rank updates are `adamw`'s too: an orthogonal factor does not make an orthogonal update.
    """

    kind: Literal["muon"] = "muon"
    lr: float = Field(default=0.02, ge=0)
    momentum: _Beta = 0.95
    momentum_start: _Beta = 0.85
    momentum_warmup: int = Field(default=50, ge=0)
    nesterov: bool = True
    weight_decay: float = Field(default=0.0, ge=0)
    steps: int = Field(default=4, ge=2, le=5)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    scale: Literal["spectral", "rms"] = "spectral"
    adamw: AdamWSpec = AdamWSpec()

    @model_validator(mode="after")
    def _one_rate(self) -> MuonSpec:
        if self.adamw.layer_decay != 1.0:
            raise ValueError(
                "layer_decay is AdamW's: Muon updates the matrices of all layers together, at one rate; "
                f"got adamw.layer_decay {self.adamw.layer_decay}; set optimizer.kind=adamw"
            )
        return self

    def momentum_at(self, step: int) -> float:
        """The momentum of update `step`, counted from 0."""
        share = min(1.0, step / self.momentum_warmup) if self.momentum_warmup else 1.0
        return self.momentum_start + (self.momentum - self.momentum_start) * share

    def gain(self, rows: int, columns: int) -> float:
        """What the orthogonal update of a (rows, columns) = (out, in) matrix is multiplied by, beside the rate."""
        if self.scale == "spectral":
            return math.sqrt(max(1.0, rows / columns))
        return 0.2 * math.sqrt(max(rows, columns))


@dataclass(frozen=True)
class Group:
    """Parameters that are updated by one rule at one rate. `lr` is the rate at a schedule factor of 1."""

    method: Literal["adamw", "muon"]
    role: str
    lr: float
    weight_decay: float
    names: tuple[str, ...]
    params: tuple[nn.Parameter, ...]


def role(name: str, parameter: Tensor) -> str:
    """What a parameter is for: "embedding", "head", "router", "lora" (a factor of a low-rank update), "scalar" or "matrix" (a
    hidden one; also stacks of experts).

    Tables of tokens and positions live under `embed` and `relative`, heads under `heads`, routers under `router`. Norm gains and
    biases are scalars whatever their shape (a gain per head or a bias per expert has two dimensions).
    """
    path = name.removeprefix("beside.").split(".")
    if path[-1] in ("lora_a", "lora_b"):
        return "lora"
    shape = parameter.shape[-2:] if parameter.ndim < 4 else (len(parameter), parameter[0].numel())  # a convolution's rows are windows
    vector = parameter.ndim < 2 or 1 in shape
    if vector or path[-1] == "bias" or any("norm" in part for part in path):
        return "scalar"
    if path[0] == "heads":
        return "head"
    if "embed" in path or "relative" in path:
        return "embedding"
    return "router" if "router" in path else "matrix"


def distance(name: str, layers: dict[str, int]) -> int:
    """Layers between a parameter and the output of its stack: n + 1 for embeddings and what all layers of a stack share
    (relative positions), n, …, 1 for layers 1 to n, 0 for the final norm and the heads.

    layers: n by stack, as `depths` counts them. Each stack of an encoder–decoder counts its own: the encoder's last layer
    is as near to the output as the decoder's, which all read it. Layers that share weights count as one.
    """
    stack, part, *rest = [*name.split("."), ""]
    if stack not in layers or part == "final_norm":
        return 0
    return layers[stack] - int(rest[0]) if part == "layers" else layers[stack] + 1


def depths(names: Iterable[str]) -> dict[str, int]:
    """Sets of layer weights by stack, told from the parameters' names."""
    found: dict[str, int] = {}
    for name in names:
        stack, part, *rest = [*name.split("."), ""]
        if stack in ("encoder", "decoder"):
            found[stack] = max(found.get(stack, 0), int(rest[0]) + 1 if part == "layers" else 0)
    return found


def param_groups(model: nn.Module, spec: AdamWSpec | MuonSpec) -> list[Group]:
    """The trainable parameters of `model` by role, each with its update rule, rate and decay; no empty groups.

    Decayed are all matrices, token and position tables included, as in GPT-2's and nanoGPT's training; norms, biases
    and other vectors are not. Muon takes the hidden matrices. A tied parameter counts once, under its first name. With a
    layer_decay, a role's parameters are grouped by their distance from the output too.
    """
    rest = spec.adamw if isinstance(spec, MuonSpec) else spec
    scales = {"embedding": rest.embedding_scale, "head": rest.head_scale, "scalar": rest.scalar_scale}
    members: dict[tuple[str, int], list[tuple[str, nn.Parameter]]] = {}
    layers = depths(name for name, _ in model.named_parameters()) if rest.layer_decay != 1.0 else {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = role(name, _checked(name, parameter)), distance(name, layers)
            members.setdefault(key, []).append((name, parameter))
    if not members:
        raise ConfigError(
            "nothing to train: the model has no trainable parameter",
            expected="at least one parameter with requires_grad",
            received="none",
            change="unfreeze a part of the model",
        )
    groups = []
    for (kind, away), pairs in members.items():
        names, params = zip(*pairs, strict=True)
        if kind == "matrix" and isinstance(spec, MuonSpec):
            groups.append(Group("muon", kind, spec.lr, spec.weight_decay, names, params))
        else:
            decay = 0.0 if kind == "scalar" else rest.weight_decay
            lr = rest.lr * scales.get(kind, 1.0) * rest.layer_decay**away
            groups.append(Group("adamw", kind, lr, decay, names, params))
    return groups


def _checked(name: str, parameter: nn.Parameter) -> nn.Parameter:
    if parameter.dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"the trainable parameter {name} is {parameter.dtype}: small updates would round to nothing",
            expected="trainable parameters in float32",
            received=f"{parameter.dtype}",
            change="keep the model in float32 and train in bf16 by autocast (training precision bf16)",
        )
    return parameter


_FUSED = ("cpu", "cuda", "mps", "xpu")


def _linear(tensor: Tensor, like: Tensor) -> bool:
    """Whether both lie in memory element for element alike, which the fused kernel takes for granted."""
    return tensor.stride() == like.stride() and tensor.dtype == like.dtype


class _AdamW:
    """AdamW for one group: one fused call where the device has the kernel, else torch's loop over lists."""

    def __init__(self, spec: AdamWSpec, group: Group) -> None:
        self.spec, self.lr, self.decay = spec, group.lr, group.weight_decay
        self.names, self.params = group.names, group.params
        self.means = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.params]
        self.squares = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.params]
        self.fused = all(
            parameter.device.type in _FUSED and _linear(mean, parameter)
            for parameter, mean in zip(self.params, self.means, strict=True)
        )
        self.steps = [
            torch.zeros((), dtype=torch.float32, device=p.device if self.fused else "cpu") for p in self.params
        ]

    def step(self, factor: float, step: int) -> None:
        rows = [
            (p, self._grad(p), mean, square, count)
            for p, mean, square, count in zip(self.params, self.means, self.squares, self.steps, strict=True)
            if p.grad is not None
        ]
        if not rows:
            return
        params, grads, means, squares, counts = (list(column) for column in zip(*rows, strict=True))
        beta1, beta2 = self.spec.betas
        adamw(
            params, grads, means, squares, [], counts,
            fused=self.fused, foreach=None if self.fused else True, amsgrad=False, maximize=False,
            lr=self.lr * factor, beta1=beta1, beta2=beta2, eps=self.spec.eps, weight_decay=self.decay,
        )  # fmt: skip

    def _grad(self, parameter: nn.Parameter) -> Tensor:
        grad = parameter.grad
        assert grad is not None
        return grad if not self.fused or _linear(grad, parameter) else torch.empty_like(parameter).copy_(grad)

    def state(self) -> dict[str, Tensor]:
        columns = {"exp_avg": self.means, "exp_avg_sq": self.squares, "step": self.steps}
        return {f"{n}/{key}": t for key, column in columns.items() for n, t in zip(self.names, column, strict=True)}


class Optimizer:
    """All updates of one model. Build it once the model is on its device.

    `groups` says what is done to which parameter; the rate of a group at an update is `group.lr * factor`.
    """

    def __init__(self, model: nn.Module, spec: AdamWSpec | MuonSpec) -> None:
        self.spec, self.groups = spec, param_groups(model, spec)
        self.params = [parameter for group in self.groups for parameter in group.params]
        self._parts: list[Muon | _AdamW] = []
        for group in self.groups:
            if group.method == "muon" and isinstance(spec, MuonSpec):
                self._parts += by_shape(spec, group)
            else:
                self._parts.append(_AdamW(spec.adamw if isinstance(spec, MuonSpec) else spec, group))

    @torch.no_grad()
    def step(self, lr_factor: float, step: int) -> None:
        """One update from the gradients at hand; `step` is its number, counted from 0. Without a gradient, no change."""
        for part in self._parts:
            part.step(lr_factor, step)

    def zero_grad(self) -> None:
        for parameter in self.params:
            parameter.grad = None

    @torch.no_grad()
    def grad_norm(self) -> Tensor:
        """The 2-norm of all gradients together, a scalar tensor. Call it after gradients were summed over ranks."""
        return torch.nn.utils.get_total_norm([p.grad for p in self.params if p.grad is not None])

    @torch.no_grad()
    def clip(self, max_norm: float) -> Tensor:
        """Scale all gradients by one factor so that their norm is at most `max_norm`; returns the norm before.

        A norm that is not finite is returned and leaves the gradients as they are, so that the one to blame can be
        told from the others: look at it before `step`.
        """
        norm = self.grad_norm()
        if norm.device.type == "cpu" and not norm > max_norm:
            return norm
        scale = torch.where(norm.isfinite(), (max_norm / (norm + 1e-6)).clamp_max(1.0), 1.0)
        torch._foreach_mul_([p.grad for p in self.params if p.grad is not None], scale)
        return norm

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything the next update depends on beside the weights and `step`, by parameter name: "NAME/exp_avg", ….

        The tensors are the live ones: save or copy them before the next step.
        """
        return {key: tensor for part in self._parts for key, tensor in part.state().items()}

    @torch.no_grad()
    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state_tensors` returned, bit for bit. Raises CheckpointError, changing nothing, if it does not fit."""
        live = self.state_tensors()
        for what, names in (("lacks", live.keys() - tensors.keys()), ("has unknown", tensors.keys() - live.keys())):
            if names:
                raise CheckpointError(
                    f"the saved optimizer state {what} {len(names)} of its tensors, first {min(names)}",
                    expected=f"{len(live)} tensors of this model and optimizer",
                    received=f"{len(tensors)} tensors",
                    change="resume with the model and optimizer the run was started with, or start a new run",
                )
        for key, tensor in live.items():
            if (tensors[key].shape, tensors[key].dtype) != (tensor.shape, tensor.dtype):
                raise CheckpointError(
                    f"the saved optimizer state {key} does not fit",
                    expected=f"{tuple(tensor.shape)} {tensor.dtype}",
                    received=f"{tuple(tensors[key].shape)} {tensors[key].dtype}",
                    change="resume with the model the run was started with",
                )
        for key, tensor in live.items():
            tensor.copy_(tensors[key])


OptimizerSpec = Annotated[AdamWSpec | MuonSpec, Field(discriminator="kind")]
