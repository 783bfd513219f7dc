"""A Hugging Face folder ↔ a network: config.json through families/exchange.py, weights through renaming.py.

    net, config = read_network(source)          mapped weights on modules built without memory: no second copy
    config, tensors = as_huggingface(net, …)    what write_hf takes
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..families import exchange, recipes
from ..nn import HeadSpec, ModelSpec, PairSpec, Transformer
from ..nn.lora import merged
from ..nn.position import Sinusoidal
from .folder import Folder
from .layout import Later
from .renaming import assemble, contradicting, disassemble, expand, find_prefix, later_names, same_bits, spelled
from .sentences import DENSE, HEAD, Sentences, read_sentences, transformer_folder
from .source import CONFIG, Lazy, Source, open_source

SIZES = ("vocab_size", "hidden_size", "n_embd", "d_model", "dim", "num_hidden_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "intermediate_size")


def read_network(
    source: Source, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, modules: Path | None = None, mixed: bool = False
) -> tuple[Transformer, exchange.Reading, Sentences | None]:
    """The network of an opened folder, in evaluation mode, how its config was read, and what else its modules say.

    dtype None: the one most weights have. mixed: each tensor in the dtype it is stored in, whatever dtype says: to be
    written or compared, not run. modules: where modules.json may lie, whose head becomes the first. On the CPU
    and in the stored dtype the weights stay mapped from the file: nothing is read until it is touched, and writing to
    them, as training does, never reaches the file. Raises ConfigError, CheckpointError.
    """
    where = f"{source.path / 'config.json'}"
    reading = exchange.read_config(source.config, where, names=source.tensors)
    reading = _as_stored(source, reading, where)
    sentences = None if modules is None else read_sentences(modules, reading.spec.top.width)
    if sentences is not None:
        reading = reading._replace(spec=_with_head(reading.spec, sentences))
    check_size(reading.spec, source, where)
    with torch.device("meta"):
        net = reading.spec.build(seed=None)
    rows, drop = _tables(reading)
    tensors: dict[str, Lazy] = later_names(source.tensors)
    names = list(tensors)
    places = shared_once(net)
    steps = expand(rows, reading.spec, places, find_prefix(recipes()[reading.recipe]["hf"].get("prefixes", []), rows, names))
    for (name, ours), layer in zip(DENSE, () if sentences is None else sentences.dense, strict=False):
        steps += expand([[f"{name}/linear.*", ours]], reading.spec, places, "")
        tensors |= {f"{name}/{key}": lazy for key, lazy in layer.items()}
    ignored = [*drop, *_redundant(reading, source), *_computed_there(reading, net, source)]
    dtype = None if mixed else dtype or main_dtype(source)
    found = assemble(steps, places, reading.spec, list(tensors), lambda n: tensors[n].get(), ignored, str(source.path))
    assign(net, found, device, dtype)
    return net.eval(), reading, sentences


def read_architecture(path: str | Path) -> ModelSpec:
    """The architecture that a folder's config.json describes. Weights are not needed; where there are some in safetensors,
    their names decide what a config leaves open. Raises ConfigError, CheckpointError."""
    inner = transformer_folder(Path(path))
    folder, where = Folder(inner), f"{inner / CONFIG}"
    if any(name.endswith(".safetensors") for name in folder.names()):
        source = open_source(inner)
        spec = _as_stored(source, exchange.read_config(source.config, where, names=source.tensors), where).spec
    else:
        config = folder.object(CONFIG)
        if config is None:
            raise CheckpointError(f"{path} holds no {CONFIG}", expected=f"a model's folder with {CONFIG}", change="name the folder that holds it")
        spec = exchange.read_config(config, where).spec
    sentences = read_sentences(Path(path), spec.top.width, weights=False)
    return spec if sentences is None else _with_head(spec, sentences)


def _with_head(spec: ModelSpec, sentences: Sentences) -> ModelSpec:
    kept = {name: head for name, head in spec.heads.items() if name not in exchange.STATES}
    return spec.model_copy(update={"heads": {HEAD: sentences.head} | kept})


def _tables(reading: exchange.Reading) -> tuple[list[Any], list[str]]:
    hf = recipes()[reading.recipe]["hf"]
    layers = str(reading.spec.top.layers)  # what lies beyond the last layer predicts further tokens
    return hf["weights"], [pattern.replace("{layers}", layers) for pattern in hf.get("drop", [])]


def _as_stored(source: Source, reading: exchange.Reading, where: str) -> exchange.Reading:
    """The reading, told what only the weights know: an output matrix of its own, a pooler that was left out."""
    spec, kept = reading.spec, list(reading.spec.heads)
    for name, head in spec.heads.items():
        own = [t for t in _in_file(reading, f"heads.{name}.weight", source) if head.tied and not _equals_table(source, reading, t)]
        if own:
            reading = exchange.read_config(source.config, where, untie=True)
            if reading.spec.heads[name].tied:
                raise contradicting(str(source.path), own[0], "the token table")
            return reading
        if head.task == "pool" and head.dense is not None and not _in_file(reading, f"heads.{name}.dense.weight", source):
            kept.remove(name)
    return reading if kept == list(spec.heads) else exchange.read_config(source.config, where, heads=kept)


def _in_file(reading: exchange.Reading, ours: str, source: Source) -> list[str]:
    """Their names for one of ours that are in the file."""
    theirs = [t for t, mine, _ in spelled(_tables(reading)[0]) if ours in mine]
    prefixes = ("", *recipes()[reading.recipe]["hf"].get("prefixes", []))
    return [t.replace("~", p) for t in theirs for p in prefixes if t.replace("~", p) in source.tensors]


def _equals_table(source: Source, reading: exchange.Reading, theirs: str) -> bool:
    stacks = ("decoder", "encoder") if reading.spec.decoder is not None else ("encoder",)
    tables = [t for stack in stacks for t in _in_file(reading, f"{stack}.embed.token", source)]
    a, b = source.tensors[theirs], source.tensors[tables[0]] if tables else None
    return b is not None and a.shape == b.shape and a.dtype == b.dtype and same_bits(a.get(), b.get())


def _redundant(reading: exchange.Reading, source: Source) -> list[str]:
    """Copies of the table under the output matrix's name: the tie says it, and _as_stored has compared them."""
    tied = [name for name, head in reading.spec.heads.items() if head.tied]
    return [t for name in tied for t in _in_file(reading, f"heads.{name}.weight", source)]


def check_size(spec: ModelSpec | PairSpec, source: Source, where: str) -> None:
    """Before anything is built: a config may claim any size, a file has one."""
    needed = sum(n for part, n in spec.params().parts.items() if "heads" not in part.split("."))
    there = sum(math.prod(lazy.shape) for lazy in source.tensors.values())
    if needed > there:
        parts = {"": source.config} | {f"{name}.": part for name, part in source.config.items() if isinstance(part, dict)}
        told = {name + key: part[key] for name, part in parts.items() for key in SIZES if key in part}
        raise CheckpointError(
            f"{where} describes more than the weights hold: " + ", ".join(f"{k} {v}" for k, v in told.items()),
            expected=f"at most {there:,} parameters, as in {source.files[0].name}", received=f"{needed:,}",
            change="the weights and config.json are not of one model",
        )  # fmt: skip


def main_dtype(source: Source) -> torch.dtype:
    """The floating-point dtype that most numbers of a folder have."""
    sizes: Counter[torch.dtype] = Counter()
    for lazy in source.tensors.values():
        if lazy.dtype.is_floating_point:
            sizes[lazy.dtype] += math.prod(lazy.shape)
    return sizes.most_common(1)[0][0] if sizes else torch.float32


def shared_once(net: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; one that has two names under its first."""
    state = net.state_dict(keep_vars=True)
    first = {id(tensor): name for name, tensor in reversed(state.items())}
    return {name: state[name].detach() for name in state if first[id(state[name])] == name}


def assign(net: nn.Module, found: Iterator[tuple[str, Tensor]], device: torch.device | str, dtype: torch.dtype | None) -> None:
    """Put each tensor in its place, on every module that shares it. Buffers keep their dtype; dtype None: all keep theirs."""
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in net.modules():
        for key, p in (*module._parameters.items(), *module._buffers.items()):
            if p is not None:
                owners.setdefault(id(p), []).append((module, key))
    named = dict(net.named_parameters()) | dict(net.named_buffers())
    for name, tensor in found:
        old = named[name]
        kept = old.dtype if not isinstance(old, nn.Parameter) or not tensor.is_floating_point() else dtype
        tensor = tensor.to(device=device, dtype=None if dtype is None else kept)
        new = nn.Parameter(tensor) if isinstance(old, nn.Parameter) else tensor
        for module, key in owners[id(old)]:
            table: dict[str, Any] = module._parameters if key in module._parameters else module._buffers
            table[key] = new


# ---------------------------------------------------------------- out


def as_huggingface(net: Transformer, source_config: dict[str, Any] | None = None, leave: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor | Later]]:
    """(config.json, their names with tensors) of a network its family can express: what write_hf takes.

    source_config: the config it was read from, whose other keys are kept. Low-rank updates are merged. Tensors that differ from ours are made when
    they are written, one at a time. leave: a head that is written elsewhere. ConfigError names the option that the format
    cannot hold.
    """
    net = merged(net)
    spec = net.spec
    if leave is not None:
        states = {name: HeadSpec.model_validate(head) for name, head in exchange.STATES.items()}
        spec = spec.model_copy(update={"heads": {name: head for name, head in spec.heads.items() if name != leave} or states})
    config, reading = exchange.write_config(spec, source_config)
    hf = recipes()[reading.recipe]["hf"]
    _, prefix = table_of(reading)
    ours = {name: tensor for name, tensor in shared_once(net).items() if not name.startswith(f"heads.{leave}.")}
    dtypes = Counter(t.dtype for t in ours.values() if t.is_floating_point())
    config["torch_dtype"] = str(dtypes.most_common(1)[0][0]).removeprefix("torch.")
    steps = expand(hf["weights"], spec, ours, prefix)
    tensors = disassemble(steps, ours, spec) | _computed(hf.get("computed", []), net, prefix)
    if config.get("tie_word_embeddings") is False:  # a tie that the config cannot tell is written out
        tied = {f"heads.{name}.weight" for name, head in spec.heads.items() if head.tied}
        tensors |= {t.replace("~", prefix): net.table.detach() for t, mine, _ in spelled(hf["weights"]) if set(mine) & tied}
    return config, tensors


def table_of(reading: exchange.Reading) -> tuple[list[Any], str]:
    """(the weight table of a reading's family, the prefix of its base's names in the class it is written as)."""
    hf = recipes()[reading.recipe]["hf"]
    bare = not hf["classes"][reading.architecture] or "bare" in hf and reading.architecture in hf["bare"]
    own = hf.get("class_prefix", {}).get(reading.architecture)
    return hf["weights"], "" if bare else own or next(iter(hf.get("prefixes", [])), "")


def _computed(rows: list[Any], net: Transformer, prefix: str) -> dict[str, Tensor]:
    """Sinusoidal tables for formats that store them."""
    kept = ((theirs.replace("~", prefix), ours) for theirs, (ours,), ops in spelled(rows) if "also" not in ops)
    return {theirs: _sinusoids(net, ours, net.spec.context).to(net.table.dtype) for theirs, ours in kept}


def _sinusoids(net: Transformer, ours: str, length: int) -> Tensor:
    """The fp32 table of that many positions, those before the first included; the row that padding reads is zero."""
    position = net.get_submodule(ours)
    assert isinstance(position, Sinusoidal), "what a recipe names as computed"
    pos = torch.arange(length + position.spec.offset) - position.spec.offset
    table = position.table(pos, net.spec.stacks[ours.partition(".")[0]].width)
    return table.masked_fill((pos == -1).unsqueeze(-1), 0.0)


def _computed_there(reading: exchange.Reading, net: Transformer, source: Source) -> list[str]:
    """Stored tables of what is computed here, after a look that they hold it, but for their dtype's rounding."""
    hf, found = recipes()[reading.recipe]["hf"], []
    for theirs, (ours,), _ in spelled(hf.get("computed", [])):
        for name in (theirs.replace("~", p) for p in ("", *hf.get("prefixes", []))):
            if name not in source.tensors:
                continue
            table = source.tensors[name].get()
            wanted = _sinusoids(net, ours, table.shape[0] if table.dim() == 2 else 1)[: len(table) if table.dim() else 0]
            limit = max(1e-3, 2 * torch.finfo(table.dtype).eps) if table.is_floating_point() else 0.0
            if table.shape != wanted.shape or not (table.float() - wanted).abs().max() <= limit:
                raise CheckpointError(
                    f"{source.path}: {name} is not the table of sinusoids that its family computes",
                    expected="sines and cosines of the positions", received=f"other numbers, shape {tuple(table.shape)}",
                    change="a model whose positions were trained cannot be loaded; save it again if the table was damaged",
                )  # fmt: skip
            found.append(name)
    return found


