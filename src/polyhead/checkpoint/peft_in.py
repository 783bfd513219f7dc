"""PEFT's adapter files, read: what peft.py writes, and what PEFT itself does, onto the network they were made for.

Nothing is put onto the network before everything is checked: the kind of adapter, names, shapes, scales.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..nn import LoraSpec, Transformer
from ..nn.lora import LoRALinear, adapt, find
from .folder import Folder
from .peft import CONFIG, PREFIX, ROWS, WEIGHTS, A, B, Theirs, module_of, their_names
from .renaming import Step, find_prefix, read_step, separated
from .tensors import read_tensors

# whoever made these moved part of the base's weights into the factors: on the base itself they are wrong
MOVED = ("pissa", "olora", "corda", "loftq", "lora_ga", "eva_residual")


class Update(NamedTuple):
    """One pair of factors as PEFT has it: a (rank, in), b (out, rank), s its scale."""

    a: Tensor
    b: Tensor
    scale: float


def read_adapter(folder: str | Path, net: Transformer, source_config: dict[str, Any] | None = None) -> None:
    """Put an adapter that PEFT (or write_adapter) wrote onto the network it was made for, in place.

    source_config: the config.json the network was read from. CheckpointError names what is not of this model, what kind of
    adapter is not read, and what is damaged; the network is then as it was.
    """
    folder = Path(folder)
    there = Folder(folder)
    config = there.object(CONFIG)
    if config is None or there.find(WEIGHTS) is None:
        raise _wrong(folder, f"{CONFIG} and {WEIGHTS}", "neither" if config is None else f"{CONFIG} alone", "name the folder that save_pretrained wrote, with safetensors")
    _check_kind(folder / CONFIG, config)
    if net.spec.lora is not None:
        raise _wrong(folder, "a model without low-rank updates", "one that has some", "merge them first (save it with to=\"hf\"), or load the base again")
    theirs = their_names(net, source_config)
    tensors = _unwrapped(folder, read_tensors(there.find(WEIGHTS) or folder / WEIGHTS))
    names = [re.sub(r"\.lora_[AB]\.weight$", ".weight", name) for name in tensors]
    steps = theirs.steps(find_prefix(theirs.prefixes, theirs.rows, names))  # of the class with a head, or of the bare one
    updates, used = _updates(folder / CONFIG, config, tensors), set[str]()
    factors: dict[str, Update] = {}
    linears = {name for name, m in net.named_modules() if isinstance(m, nn.Linear)}
    for module, update in updates.items():
        step = next((s for s in steps if s.theirs == (f"{module}.weight",)), None)
        if step is None:
            raise _wrong(folder, "maps of this model", module, "put it onto the model it was made for")
        factors |= _apart(folder, step, update, theirs)
        lost = next((s.removesuffix(".weight") for s in step.ours if s.removesuffix(".weight") not in linears), None)
        if lost is not None:
            raise _wrong(folder, "updates of linear maps inside the model", f"one of {module}, the output of {lost}", "train that in full (modules_to_save), or merge the adapter with PEFT")
        used |= {module + A, module + B}
    full = _whole_tensors(folder, steps, {n: t for n, t in tensors.items() if n not in used}, theirs)
    lora = _lora_spec(net, config, factors, full)
    adapt(net, lora, None)
    _fill(net, lora, factors, full)


def _wrong(where: Path, expected: str, received: str, change: str) -> CheckpointError:
    return CheckpointError(f"{where} is not an adapter for this model", expected=expected, received=received, change=change)


def _check_kind(path: Path, config: dict[str, Any]) -> None:
    start = config.get("init_lora_weights", True)
    faults = {
        "peft_type": config.get("peft_type") != "LORA", "use_dora": bool(config.get("use_dora")),
        "bias": config.get("bias", "none") != "none", "lora_bias": bool(config.get("lora_bias")),
        "layer_replication": config.get("layer_replication") is not None, "target_parameters": bool(config.get("target_parameters")),
        "trainable_token_indices": config.get("trainable_token_indices") is not None,
        "init_lora_weights": isinstance(start, str) and start.lower().startswith(MOVED),
    }  # fmt: skip
    for key, fault in faults.items():
        if fault:
            raise _wrong(path, "plain LoRA, bias none", f"{key} {str(config.get(key))[:60]}", "merge it with PEFT (merge_and_unload) and load the merged model")
    number = (int, float)
    if not all(type(config.get(key)) in number and config[key] > 0 for key in ("r", "lora_alpha")):
        raise _wrong(path, "r and lora_alpha, numbers above 0", f"{config.get('r')!r:.40}, {config.get('lora_alpha')!r:.40}", "restore the file")
    dropout = config.get("lora_dropout", 0.0)
    if type(dropout) not in number or not 0 <= dropout < 1:
        raise _wrong(path, "lora_dropout from 0 to 1", f"{dropout!r:.40}", "restore the file")


def _unwrapped(folder: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in tensors.items():
        known = name.endswith((A, B)) or ".lora_" not in name
        if not name.startswith(PREFIX) or not known or not tensor.is_floating_point():
            raise _wrong(folder / WEIGHTS, f"{PREFIX}MODULE{A} and {B}, real numbers", f"{name[:100]} {tensor.dtype}", "save it again with PEFT as plain LoRA")
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}


def _updates(path: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Update]:
    """Module → its factors and scale."""
    found = {}
    for module in dict.fromkeys(name.removesuffix(A).removesuffix(B) for name in tensors if name.endswith((A, B))):
        a, b = tensors.get(module + A), tensors.get(module + B)
        if a is None or b is None or a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1] or not len(a):
            shapes = ", ".join("none" if t is None else str(tuple(t.shape)) for t in (a, b))
            raise _wrong(path.parent / WEIGHTS, f"A (rank, in) and B (out, rank) of {module}", shapes, "restore the file")
        alpha = _pattern(path, config, module)
        found[module] = Update(a, b, alpha / (len(a) ** 0.5 if config.get("use_rslora") else len(a)))
    if not found:
        raise _wrong(path.parent / WEIGHTS, "low-rank updates", "none", "restore the file")
    return found


def _pattern(path: Path, config: dict[str, Any], module: str) -> float:
    """A module's alpha. PEFT takes keys for regular expressions; plain names and ends of names are read."""
    table: Any = config.get("alpha_pattern") or {}
    for key, value in table.items() if isinstance(table, dict) else [("", 0.0)]:
        if not re.fullmatch(r"[\w.]+", key) or type(value) not in (int, float) or not value > 0:
            raise _wrong(path, "alpha_pattern of names and numbers", f"{key!r:.60}: {value!r:.40}", "write the modules' names out")
        if module == key or module.endswith(f".{key}"):
            return float(value)
    return float(config["lora_alpha"])


def _apart(folder: Path, step: Step, update: Update, theirs: Theirs) -> dict[str, Update]:
    """Our maps with their factors, from those of the one matrix that holds them."""
    module_of(step)
    ours = theirs.ours
    rows, width = sum(ours[name].shape[0] for name in step.ours), ours[step.ours[0]].shape[1]
    if (update.b.shape[0], update.a.shape[1]) != (rows, width):
        raise _wrong(folder / WEIGHTS, f"an update of {step.theirs[0]} ({rows}, {width})", f"({update.b.shape[0]}, {update.a.shape[1]})", "put it onto the model it was made for")
    parts = separated([op for op in step.ops if op in ROWS], update.b, step, ours, theirs.spec)
    return {name.removesuffix(".weight"): update._replace(b=b) for name, b in zip(step.ours, parts, strict=True)}


def _whole_tensors(folder: Path, steps: list[Step], tensors: dict[str, Tensor], theirs: Theirs) -> dict[str, Tensor]:
    """Our tensors that came in full."""
    done: dict[str, Tensor] = {}
    ours = theirs.ours
    for step in steps:
        if all(t in tensors for t in step.theirs):
            done |= dict(read_step(step, ours, theirs.spec, set(tensors), tensors.__getitem__, str(folder)))
            tensors = {n: t for n, t in tensors.items() if n not in step.theirs}
    bad = next((n for n, t in done.items() if t.shape != ours[n].shape), None)
    if tensors or bad:
        received = min(tensors) if bad is None else f"{bad} {tuple(done[bad].shape)}"
        raise _wrong(folder / WEIGHTS, "modules of this model" if bad is None else f"{bad} {tuple(ours[bad].shape)}", received, "put it onto the model it was made for")
    return done


def _lora_spec(net: Transformer, config: dict[str, Any], factors: dict[str, Update], full: dict[str, Tensor]) -> LoraSpec:
    """One rank and scale for all: the largest rank; other scales go into B."""
    rank, rslora = max(len(u.a) for u in factors.values()), bool(config.get("use_rslora"))
    scale = next(u.scale for u in factors.values() if len(u.a) == rank)
    chosen = [name for name, _ in net.named_modules() if name in factors]
    ends = tuple(dict.fromkeys(name.rpartition(".")[2] for name in chosen))
    short = ends if _found(net, ends) == set(factors) else tuple(chosen)
    heads = {".".join(n.split(".")[:2]) for n in full if n.startswith("heads.")}
    heads = {h for h in heads if all(n in full for n, _ in net.named_parameters() if n.startswith(f"{h}."))}
    also = (*sorted(heads), *(n for n in full if not n.startswith(tuple(f"{h}." for h in heads))))
    return LoraSpec(rank=rank, alpha=scale * (rank**0.5 if rslora else rank), dropout=config.get("lora_dropout", 0.0), targets=short, rslora=rslora, also=also)


def _found(net: Transformer, ends: tuple[str, ...]) -> set[str]:
    with suppress(ValueError):  # an end that experts have too
        return set(find(net, ends))
    return set()


@torch.no_grad()
def _fill(net: Transformer, lora: LoraSpec, factors: dict[str, Update], full: dict[str, Tensor]) -> None:
    for name, update in factors.items():
        linear = net.get_submodule(name)
        assert isinstance(linear, LoRALinear), "adapt has made it one"
        linear.lora_a.zero_()[: len(update.a)] = update.a.to(linear.lora_a)
        ratio = update.scale / lora.scale
        linear.lora_b.zero_()[:, : len(update.a)] = update.b.to(linear.lora_b) * (1.0 if abs(ratio - 1) < 1e-12 else ratio)
    mine = dict(net.named_parameters())
    for name, tensor in full.items():
        mine[name].copy_(tensor)
