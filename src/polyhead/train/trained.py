"""What is trained of a model: everything, parts of it, or low-rank updates beside it.

    names = apply(trained, net)    sets requires_grad on a built network and says what learns
    spec_for(trained, spec)        the spec of what is trained: with the updates that `trained` puts on
    count(trained, spec)           how many numbers learn, without building weights
Frozen means: no gradient, no update, no optimizer state, no decay. Dropout stays at work in frozen layers; a frozen batch norm
normalises with its running statistics, which stay as they are (`still`). A tied parameter is one: it learns if one of
its names is chosen, and is frozen if one of its names is.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from polyhead.errors import ConfigError
from polyhead.nn import LoraSpec, ModelSpec, Transformer, adapt
from polyhead.nn.lora import also, begins, find
from polyhead.nn.norm import BatchNorm

UPDATES = (".lora_a", ".lora_b")


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class All(_Spec):
    """Every parameter."""

    kind: Literal["all"] = "all"


class Heads(_Spec):
    """The heads alone, over a model that stays as it is: a linear probe where they are linear."""

    kind: Literal["heads"] = "heads"


class Parts(_Spec):
    """The parameters that `train` names, and the last `last` layers of the stack the heads read with all that is above them
    (final norm, heads); where neither is given, all. Of these, not what `freeze` names.

    A pattern is a whole name, the beginning of one ("decoder.embed", "heads"), or has * and ? in it ("*.attention.*").
    train=["heads"] is what kind `heads` says.
    """

    kind: Literal["parts"] = "parts"
    train: tuple[str, ...] = ()
    last: int | None = Field(None, gt=0)
    freeze: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _something(self) -> Parts:
        if not self.train and self.last is None and not self.freeze:
            raise ValueError("parts of what? give train or freeze (patterns of names), or last (a number of layers)")
        return self


def names(net: nn.Module) -> dict[str, list[str]]:
    """Each parameter's first name with all its names."""
    first: dict[int, str] = {}
    out: dict[str, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        out.setdefault(first.setdefault(id(parameter), name), []).append(name)
    return out


def apply(trained: TrainedSpec, net: Transformer, seed: int | None = 0) -> list[str]:
    """Set requires_grad on every parameter; for LoRA, put the updates on first where the network has none (their values
    from `seed`). Returns the names of what learns. ConfigError names what there is where a pattern fits nothing, or
    nothing is left to learn."""
    if isinstance(trained, LoraSpec):
        _adapt(trained, net, seed)
    known = names(net)
    chosen = set(chosen_names(trained, net, known))
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in chosen)
    return [name for name in known if name in chosen]


def chosen_names(trained: TrainedSpec, net: Transformer, known: dict[str, list[str]]) -> list[str]:
    if isinstance(trained, All):
        return list(known)
    if isinstance(trained, Heads):
        return _fitting(("heads",), known, "train")
    if isinstance(trained, LoraSpec):
        return [*(n for n in known if n.endswith(UPDATES)), *_fitting(also(trained, net), known, "also")]
    chosen = set(known) if not trained.train and trained.last is None else set(_fitting(trained.train, known, "train"))
    if trained.last is not None:
        chosen |= set(_last(trained.last, net, known))
    chosen -= set(_fitting(trained.freeze, known, "freeze"))
    if not chosen:
        raise ConfigError(
            "nothing to train: training.trained leaves no parameter", expected=f"parts of the model: {_parts(known)}",
            received=f"train {list(trained.train)}, freeze {list(trained.freeze)}", change="freeze less",
        )  # fmt: skip
    return [name for name in known if name in chosen]


def _fitting(patterns: tuple[str, ...], known: dict[str, list[str]], field: str) -> list[str]:
    chosen: list[str] = []
    for pattern in patterns:
        hits = [first for first, all_names in known.items() if any(begins(name, pattern) for name in all_names)]
        if not hits and pattern == "heads":
            raise ConfigError(
                "the heads have no parameters of their own: the output matrix is the token embedding",
                expected=f"{field} of {_parts(known)}", received=pattern,
                change="train the table with it (decoder.embed or encoder.embed), or set model.heads.NAME.tied=false",
            )  # fmt: skip
        if not hits:
            raise ConfigError(
                f"training.trained.{field}: {pattern!r} fits no parameter", expected=f"a name or pattern among {_parts(known)}",
                received=pattern, change="`polyhead show` draws the parts; names are written as in spec.json",
            )  # fmt: skip
        chosen += hits
    return chosen


def _parts(known: dict[str, list[str]], most: int = 12) -> str:
    """The beginnings of the names, layers counted together."""
    heads = ["".join(f"{p}." for p in name.split(".")[:2]).rstrip(".") for name in known]
    layers = sorted({name.split(".")[0] + f".layers.{name.split('.')[2]}" for name in known if name.split(".")[1] == "layers"})
    found = [h for h in dict.fromkeys(heads) if not h.endswith(".layers")]
    found += [f"{layers[0]} … {layers[-1]}"] if len(layers) > 1 else layers
    return ", ".join(found[:most])


def _last(n: int, net: Transformer, known: dict[str, list[str]]) -> list[str]:
    """The n last weight sets of the top stack, its final norm, the heads (not what they share with the embedding)."""
    stack = "decoder" if net.decoder is not None else "encoder"
    total = len(net.top.layers)
    if n > total:
        raise ConfigError(
            "training.trained.last is more than there is", expected=f"at most {total} layers with weights of their own",
            received=f"{n}", change=f"training.trained.last={total}, or trained=all",
        )  # fmt: skip
    above = [f"{stack}.layers.{i}" for i in range(total - n, total)] + [f"{stack}.final_norm", "heads"]
    return [first for first in known if any(begins(first, pattern) for pattern in above)]


def _adapt(lora: LoraSpec, net: Transformer, seed: int | None) -> None:
    if net.spec.lora is not None:
        if net.spec.lora != lora:
            raise ConfigError(
                "this model has low-rank updates already, of another kind", expected=f"{net.spec.lora!r}", received=f"{lora!r}",
                change="train them on with the same settings, or merge them first (save it with to=\"hf\")",
            )  # fmt: skip
        return
    check_targets(lora, net)
    adapt(net, lora, seed)


def check_targets(lora: LoraSpec, net: nn.Module) -> None:
    try:
        find(net, lora.targets)
    except ValueError as error:
        said = lora.targets if isinstance(lora.targets, str) else ", ".join(lora.targets)
        raise ConfigError(
            f"training.trained.targets: {error}", expected="names of linear maps, or all", received=said,
            change="training.trained.targets=[q,v], as the model's parts are called",
        ) from None  # fmt: skip


def spec_for(trained: TrainedSpec, spec: ModelSpec) -> ModelSpec:
    """`spec` with the updates that `trained` puts on, after a check that it fits: ConfigError before anything is built."""
    if isinstance(trained, All):
        return spec
    net = _hollow(spec)
    apply(trained, net, None)
    return net.spec


def count(trained: TrainedSpec, spec: ModelSpec) -> int:
    """How many numbers of such a model learn."""
    if isinstance(trained, All):
        return spec.params().total
    net = _hollow(spec)
    apply(trained, net, None)
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def _hollow(spec: ModelSpec) -> Transformer:
    with torch.device("meta"):
        return spec.build(seed=None)


def still(net: nn.Module) -> list[nn.Module]:
    """Batch norms that are frozen: they stay in evaluation mode while the rest trains."""
    return [m for m in net.modules() if isinstance(m, BatchNorm) and not m.weight.requires_grad and not m.bias.requires_grad]


TrainedSpec = Annotated[All | Heads | Parts | LoraSpec, Field(discriminator="kind")]
