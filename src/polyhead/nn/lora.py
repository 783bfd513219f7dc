"""Low-rank updates of linear maps (LoRA): y = x·Wᵀ + s·(drop(x)·Aᵀ)·Bᵀ + b, where A and B alone learn.

    adapt(net, spec, seed)     put them onto the maps that spec names; net.spec says so from then on
    merge(net), unmerge(net)   compute with W + s·B·A, one product; and with both again
    merged(net)                another network without LoRA, its weights the sums; shares everything else
    effective(linear)          the weight that any Linear amounts to: whoever reads a weight past forward asks here

The map is a subclass of Linear in the Linear's place, with the same parameters under the same names (W is `….weight`), so
that checkpoints, weight tables and the optimizer's roles hold; `….lora_a` and `….lora_b` come beside them. A
parametrization of the weight (torch.nn.utils.parametrize) would rename it, and could not drop out the update's input alone.
Merged sums stand beside the weight, never in its place: what is saved is the same either way, and unmerging is exact.
"""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .spec import Spec

if TYPE_CHECKING:
    from .model import Transformer

Module = TypeVar("Module", bound=nn.Module)
HALF = (torch.bfloat16, torch.float16)
NEW_HEADS = ("classify", "tag", "span", "image", "pair")  # what fine-tuning puts onto a model
OWN_SEED = 0x4C6F5241  # the factors draw from a stream of their own: the base's initial values are as without them


class LoraSpec(Spec):
    """Low-rank updates (Hu et al. 2021, arXiv 2106.09685, §4.1): W + (alpha/rank)·B·A, with A uniform in ±1/√in (Kaiming's
    with a = √5, as PEFT and Linear have it), B zero, so that training starts from the base model itself.

    targets: names of linear maps, whole ("decoder.layers.0.attention.heads.q"), by their end ("q", "ffn.up"), or with * and ?;
    "all": every linear map of the layers. dropout: on the update's input, in training. rslora: s = alpha/√rank
    (Kalajdzievski 2023, arXiv 2312.03732, eq. 6). also: parameters trained in full beside them, named as a prefix ("heads",
    "decoder.embed") or with *; None: the heads that answer about a text or an image, which are new in fine-tuning.
    """

    kind: Literal["lora"] = "lora"
    rank: int = Field(8, gt=0)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: Literal["all"] | tuple[str, ...] = Field(("q", "v"), min_length=1)
    rslora: bool = False
    also: tuple[str, ...] | None = None

    @property
    def scale(self) -> float:
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)


class LoRALinear(nn.Linear):
    """A Linear with a low-rank update: x (…, in) → (…, out). The factors are fp32 over weights of half precision."""

    lora_a: nn.Parameter  # (rank, in)
    lora_b: nn.Parameter  # (out, rank)
    merged: Tensor | None

    def __init__(self, base: nn.Linear, spec: LoraSpec) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.scale, self.dropout = spec.scale, spec.dropout
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        like = base.weight.new_empty(0, dtype=torch.float32 if base.weight.dtype in HALF else None)
        self.lora_a = nn.Parameter(like.new_empty(spec.rank, self.in_features))
        self.lora_b = nn.Parameter(like.new_zeros(self.out_features, spec.rank))
        self.register_buffer("merged", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.merged is not None:
            return F.linear(x, self.merged, self.bias)
        y, h = F.linear(x, self.weight, self.bias), F.dropout(x, self.dropout, self.training)
        if h.dtype != self.lora_a.dtype and not torch.is_autocast_enabled(h.device.type):
            h = h.to(self.lora_a.dtype)
        return y + F.linear(self.scale * F.linear(h, self.lora_a), self.lora_b).to(y.dtype)

    def train(self, mode: bool = True) -> LoRALinear:
        """Training takes the sum apart: it would be out of date after a step, and pass no gradient on."""
        self.merged = None if mode else self.merged
        return super().train(mode)

    def total(self) -> Tensor:
        """W + s·B·A, computed in fp64 and rounded once to W's dtype."""
        home = self.weight.device
        w, a, b = (t.detach().to("cpu" if home.type == "mps" else home, torch.float64) for t in (self.weight, self.lora_a, self.lora_b))
        return torch.addmm(w, b, a, alpha=self.scale).to(home, self.weight.dtype)

    def plain(self) -> nn.Linear:
        """The Linear that this one amounts to. Its bias is shared, its weight is new."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight = nn.Parameter(effective(self), requires_grad=self.weight.requires_grad)
        if self.bias is not None:
            linear.bias = self.bias
        return linear.train(self.training)


def effective(linear: nn.Linear) -> Tensor:
    """(out, in) the matrix that a Linear multiplies with outside training, its low-rank update included. Takes no gradient
    to the update."""
    if not isinstance(linear, LoRALinear):
        return linear.weight
    return linear.total() if linear.merged is None else linear.merged


def adapted(*linears: nn.Module | None) -> bool:
    """Whether one of them has a low-rank update: products of weights put together would miss it."""
    return any(isinstance(linear, LoRALinear) for linear in linears)


# ---------------------------------------------------------------- onto a network, and off


def adapt(net: Transformer, spec: LoraSpec, seed: int | None = 0) -> None:
    """Put low-rank updates onto the maps that `spec` names, in place, with initial values from `seed` (None: unset, for
    values about to be loaded). ValueError for a target that names no linear map, and for a network that has updates."""
    if net.spec.lora is not None:
        raise ValueError("this model has low-rank updates already: expected one without; merge them first, or train on as it is")
    found = find(net, spec.targets)
    generator = torch.Generator().manual_seed((seed or 0) ^ OWN_SEED)
    for name, linear in found.items():
        new = LoRALinear(linear, spec).train(linear.training)
        if seed is not None:
            draw = torch.rand(new.lora_a.shape, generator=generator) * 2 - 1
            with torch.no_grad():
                new.lora_a.copy_(draw * new.in_features**-0.5)
        owner, _, key = name.rpartition(".")
        setattr(net.get_submodule(owner), key, new)
    net.spec = net.spec.model_copy(update={"lora": spec})


def find(net: nn.Module, targets: Literal["all"] | tuple[str, ...]) -> dict[str, nn.Linear]:
    """The linear maps that the targets name. ValueError for one that names none, and for stacks of experts, whose matrices
    are slices of one tensor."""
    linears = {name: m for name, m in net.named_modules() if isinstance(m, nn.Linear)}
    stacks = [name for name, p in net.named_parameters() if p.dim() == 3 and ".embed." not in name]
    inner = {name: m for name, m in linears.items() if ".layers." in name}
    if targets == "all":
        if stacks:
            raise ValueError(f"experts take no low-rank update: expected targets without them, got all; {_names(inner)}")
        return inner
    chosen: dict[str, nn.Linear] = {}
    for target in targets:
        hits = [name for name in linears if ends(name, target)]
        if any(ends(name, target) for name in stacks):
            raise ValueError(f"experts take no low-rank update: expected targets without them, got {target!r}; {_names(inner)}")
        if not hits:
            raise ValueError(f"target {target!r} names no linear map: {_names(linears)}")
        chosen |= {name: linears[name] for name in hits}
    return {name: linear for name, linear in linears.items() if name in chosen}


def ends(name: str, pattern: str) -> bool:
    """Whether a name, or whole parts at its end, fit a pattern."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def begins(name: str, pattern: str) -> bool:
    """Whether a parameter's name, or whole parts at its beginning, fit a pattern."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def also(spec: LoraSpec, net: Transformer) -> tuple[str, ...]:
    """Patterns of what learns in full beside the updates."""
    if spec.also is not None:
        return spec.also
    own = {name.split(".")[1] for name, _ in net.named_parameters() if name.startswith("heads.")}
    return tuple(f"heads.{name}" for name, head in net.spec.heads.items() if head.task in NEW_HEADS and name in own)


def beside(net: Transformer) -> list[str]:
    """The parameters that learn in full beside a network's updates."""
    patterns = () if net.spec.lora is None else also(net.spec.lora, net)
    return [name for name, _ in net.named_parameters() if any(begins(name, pattern) for pattern in patterns)]


def _names(linears: dict[str, nn.Linear]) -> str:
    return "there are " + ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in linears))


def lora_params(net: nn.Module, spec: LoraSpec) -> int:
    """Numbers in the updates that `spec` puts onto a network without them."""
    return sum(spec.rank * (m.in_features + m.out_features) for m in find(net, spec.targets).values())


@torch.no_grad()
def merge(net: nn.Module) -> None:
    """From here on compute with W + s·B·A. For inference: `net.train()` takes it back, and so does `unmerge`."""
    for module in net.modules():
        if isinstance(module, LoRALinear):
            module.eval()
            module.merged = module.total()


def unmerge(net: nn.Module) -> None:
    """Compute with W, A and B again. W was never written to: its bits are the original ones."""
    for module in net.modules():
        if isinstance(module, LoRALinear):
            module.merged = None


@torch.no_grad()
def merged(net: Transformer) -> Transformer:
    """A network without LoRA that computes the same: sums in the place of the maps with updates, all else shared with `net`;
    `net` itself where there are none."""
    if net.spec.lora is None:
        return net
    new = clone(net)
    for module in list(new.modules()):
        for name, child in module.named_children():
            if isinstance(child, LoRALinear):
                setattr(module, name, child.plain())
    new.spec = net.spec.model_copy(update={"lora": None})
    return new


def clone(module: Module) -> Module:
    """The same tree of modules with the same tensors in it."""
    new = copy.copy(module)
    new.__dict__ = dict(module.__dict__)
    new._parameters, new._buffers = dict(module._parameters), dict(module._buffers)
    new._modules = {name: None if child is None else clone(child) for name, child in module._modules.items()}
    return new
