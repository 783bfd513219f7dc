"""A model's folder, in and out. Ours: spec.json, model.safetensors, tokenizer.json, meta.json; or the newest checkpoint of
a run's folder, which holds the same but for the weights. Hugging Face's: config.json and the rest (checkpoint/huggingface).

Nothing of a folder is believed before it is checked: sizes before allocation, names and shapes before copying.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ..checkpoint import (
    Folder,
    Source,
    latest,
    near_folders,
    open_source,
    read_tensors,
    write_hf,
    write_json,
    write_tensors,
    write_text,
)
from ..checkpoint.folder_out import MAX_SHARD, write_staged
from ..checkpoint.huggingface import as_huggingface, read_network
from ..checkpoint.huggingface import read_architecture as read_config
from ..checkpoint.pair import pair_as_huggingface, read_pair
from ..checkpoint.sentences import HEAD, MODULES, dense_tensors, sentence_files, split_head, transformer_folder
from ..errors import CheckpointError, ConfigError, TokenizerError
from ..families import is_pair
from ..families import read_pair as read_pair_config
from ..nn import ModelSpec, Pair, PairSpec, Transformer, merged
from ..tasks.reading import PROBLEMS
from ..text import Tokenizer
from ..text.old import OLD_FILES

SPEC, WEIGHTS, TOKENIZER, META = "spec.json", "model.safetensors", "tokenizer.json", "meta.json"
CONFIG, GENERATION = "config.json", "generation_config.json"
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"  # the second: where version 5 of transformers puts it
CHECKPOINTS = "checkpoints"
META_VERSION = 1  # of meta.json: what its keys mean
_MAX_JSON = 10_000_000  # bytes
_MAX_LAYERS = 10_000  # per stack: validation itself walks over the layers
_VERSION: int = ModelSpec.model_fields["version"].default


class Parts(NamedTuple):
    net: Transformer | Pair
    tokenizer: Tokenizer | None
    meta: dict[str, Any]


def weights(net: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; a shared tensor once, under its first name."""
    state = net.state_dict(keep_vars=True)
    first = {id(tensor): name for name, tensor in reversed(state.items())}
    return {name: state[name].detach() for name in state if first[id(state[name])] == name}


def write_huggingface(
    folder: Path, net: Transformer | Pair, tokenizer: Tokenizer | None, meta: dict[str, Any],
    dtype: torch.dtype | None = None, max_shard: int = MAX_SHARD,
) -> None:  # fmt: skip
    """Write a folder that transformers opens: config.json, weights under its family's names, generation_config.json,
    the tokenizer's files, and meta.json, which only polyhead reads. dtype: what real numbers are stored in; None: as they
    are. max_shard: bytes per file. Low-rank updates are merged. Raises ConfigError naming what the family's format cannot express, CheckpointError,
    DiskError."""
    net = net if isinstance(net, Pair) else merged(net)
    kept, embeds = meta.get("huggingface"), None if isinstance(net, Pair) else split_head(net.spec)
    kept = {key: value for key, value in kept.items() if isinstance(value, dict)} if isinstance(kept, dict) else {}
    if isinstance(net, Pair):
        config, tensors = pair_as_huggingface(net, kept.get("config"))
    else:
        config, tensors = as_huggingface(net, _named(kept.get("config"), meta), leave=None if embeds is None else HEAD)
        config |= {key: value for key, value in _token_ids(tokenizer, meta, net.spec).items() if config.get(key) is None}
    config |= {} if dtype is None else {"torch_dtype": str(dtype).removeprefix("torch.")}
    generation, preprocessor = _ended(kept.get("generation"), config, meta), meta.get("preprocessor")
    extra = {META: {**{k: v for k, v in meta.items() if k not in ("huggingface", "preprocessor")}, "format": META_VERSION}}
    extra |= {} if generation is None else {GENERATION: generation}
    extra |= {} if preprocessor is None else {PREPROCESSOR: preprocessor}
    facts = meta.get("sentences", {})
    extra |= {} if embeds is None or isinstance(net, Pair) else sentence_files(net.spec, facts)

    def also(stage: Path) -> None:
        if tokenizer is not None:
            tokenizer.save(stage, max_length=facts.get("max_length") if embeds is not None else None)
        for inner, tensors in (dense_tensors(weights(net)) if embeds is not None else {}).items():
            write_tensors(stage / inner / WEIGHTS, tensors, dtype=dtype)

    write_hf(folder, config, tensors, extra_json=extra, also=also, dtype=dtype, max_shard_bytes=max_shard)


def _named(config: dict[str, Any] | None, meta: dict[str, Any]) -> dict[str, Any] | None:
    """The config a model came with, with the classes that it was trained for since, and what its logits are."""
    labels, problem = meta.get("labels"), meta.get("problem")
    names = {"id2label": {str(i): name for i, name in enumerate(labels)}} if isinstance(labels, list) else {}
    if problem is None and not names:
        return config
    kept = {key: value for key, value in (config or {}).items() if key != "problem_type"}  # that was of other classes
    told = next((name for name, ours in PROBLEMS.items() if ours == problem), None)
    return kept | names | ({} if told is None else {"problem_type": told})


def _ended(generation: dict[str, Any] | None, config: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any] | None:
    """What generation_config.json says, with the ends of a text that were learnt since; None: config.json says it all."""
    known = next((told["eos_token_id"] for told in (generation or {}, config) if "eos_token_id" in told), None)
    eos, known = (told if isinstance(told, list) else [told] for told in (meta.get("eos"), known))
    if all(number is None or number in known for number in eos):
        return generation
    beside = ("bos_token_id", "pad_token_id") if generation is None else ()  # of the two files, only this one is then asked
    return {**(generation or {}), **{key: config[key] for key in beside if config.get(key) is not None}, "eos_token_id": meta["eos"]}


def _token_ids(tokenizer: Tokenizer | None, meta: dict[str, Any], spec: ModelSpec) -> dict[str, int]:
    """The ids a config.json names: of the tokenizer, else of meta; what a decoder starts from only beside an encoder."""
    ids = {f"{role}_token_id": getattr(tokenizer, role, None) for role in ("bos", "eos", "pad")}
    ids["eos_token_id"] = ids["eos_token_id"] if ids["eos_token_id"] is not None else meta.get("eos")
    ids["decoder_start_token_id"] = meta.get("start") if spec.encoder is not None else None
    return {key: number for key, number in ids.items() if number is not None}


def write_folder(
    folder: Path, net: Transformer | Pair, tokenizer: Tokenizer | None, meta: dict[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Write a model's folder, whole or not at all, its real numbers in dtype if that is given. Raises DiskError."""
    tensors = weights(net)

    def fill(stage: Path) -> None:
        write_text(stage / SPEC, net.spec.model_dump_json(indent=1) + "\n")
        write_json(stage / META, {**meta, "format": META_VERSION})
        if tokenizer is not None:
            tokenizer.save(stage / TOKENIZER)
        write_tensors(stage / WEIGHTS, tensors, dtype=dtype)

    write_staged(folder, sum(t.nbytes for t in tensors.values()), fill)


def read_folder(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, unsafe_pickle: bool = False, mixed: bool = False
) -> Parts:
    """Read a run's folder (its newest whole checkpoint) or a model's folder. dtype None: as stored, each tensor for
    itself if mixed, which only writing and comparing can use. unsafe_pickle: see checkpoint.open_source.

    Raises CheckpointError for what is missing, damaged, foreign or newer; warns of damaged checkpoints passed over.
    """
    if not (folder / SPEC).exists() and any((folder / name).exists() for name in (CONFIG, MODULES)):
        return _read_huggingface(folder, device, dtype, unsafe_pickle, mixed)
    _check_kind(folder)
    spec = read_spec(folder / SPEC)
    meta = read_json(folder / META) if (folder / META).exists() else {}
    _refuse_newer(folder / META, meta.get("format"), META_VERSION)
    tensors, made = _tensors(folder)
    net = spec_with(spec, tensors, folder, device, dtype, mixed)
    meta |= made
    return Parts(net, read_tokenizer(folder), meta)


def _read_huggingface(folder: Path, device: torch.device | str, dtype: torch.dtype | None, unsafe_pickle: bool, mixed: bool) -> Parts:
    source = open_source(transformer_folder(folder), unsafe_pickle)
    net: Transformer | Pair
    sentences = None
    if is_pair(source.config):
        net = read_pair(source, device, dtype, mixed)
    else:
        net, _, sentences = read_network(source, device, dtype, folder, mixed)
    meta = source.folder.object(META) or {}
    _refuse_newer(source.path / META, meta.get("format"), META_VERSION)
    generation = source.folder.object(GENERATION)
    meta = _facts(net.spec, source.path, source.config, generation or {}) | meta
    meta["huggingface"] = {"config": source.config} | ({} if generation is None else {"generation": generation})
    if sentences is not None:
        meta["sentences"] = sentences.facts
    if (preprocessor := _preprocessor(source)) is not None:
        meta["preprocessor"] = preprocessor
    tokenizer = _tokenizer(source.folder)
    return Parts(net, tokenizer, {"wrap": True} | meta if tokenizer is not None else meta)


def _preprocessor(source: Source) -> dict[str, Any] | None:
    """How pictures or sounds become what the model reads, in its own words; read when there is one."""
    both = source.folder.object(PROCESSOR) or {}
    found = source.folder.object(PREPROCESSOR) or both.get("image_processor") or both.get("feature_extractor")
    return found if isinstance(found, dict) else None


def _facts(spec: ModelSpec | PairSpec, folder: Path, config: dict[str, Any], generation: dict[str, Any]) -> dict[str, Any]:
    """What generation needs to know, from generation_config.json, else config.json: ends and starts of a text."""
    if isinstance(spec, PairSpec):
        return {"objective": "pair"}
    vocab, files = spec.vocab or 0, [(folder / GENERATION, generation), (folder / CONFIG, config)]
    eos = _told("eos_token_id", vocab, files)
    start = _told("decoder_start_token_id" if spec.encoder is not None else "bos_token_id", vocab, files)
    shape = "seq2seq" if len(spec.stacks) == 2 else "causal" if spec.encoder is None else "masked"
    facts: dict[str, Any] = {"eos": eos, "start": start}
    if shape == "seq2seq":  # where both files are, transformers asks the first alone
        forced = {role: _told(f"forced_{role}_token_id", vocab, files[:1] if generation else files) for role in ("bos", "eos")}
        # of several the smallest, as transformers takes where all are equal
        facts |= {f"forced_{role}": min(ids) if isinstance(ids, list) else ids for role, ids in forced.items()}
    return {"objective": shape} | {key: value for key, value in facts.items() if value is not None}


def _told(key: str, vocab: int, files: list[tuple[Path, dict[str, Any]]]) -> int | list[int] | None:
    """An id, or ids, of the vocabulary, by the first file that has the key; others, which classes' defaults put into configs
    of small models, are warned of. ConfigError for what is no id."""
    where, ids = next(((path, told[key]) for path, told in files if key in told), (files[-1][0], None))
    several = ids if isinstance(ids, list) else [] if ids is None else [ids]
    if any(type(i) is not int for i in several):
        raise ConfigError(f"{where}: {key} is not possible", expected="an id, a list of ids, or null", received=repr(ids)[:100], change="correct it there")
    kept = [i for i in several if 0 <= i < vocab]
    if len(kept) < len(several):
        warnings.warn(f"{where.name}: {key} {str(ids)[:60]} is not in the vocabulary of {vocab}: it is left out", stacklevel=6)
    return None if not kept else kept[0] if len(kept) == 1 else kept


def _tokenizer(folder: Folder) -> Tokenizer | None:
    """The folder's tokenizer; None, with a warning, where old files are of a kind that is not read: ids still work."""
    if folder.find(TOKENIZER) is not None:
        return Tokenizer.load(folder.path)
    if not any(folder.find(name) is not None for name in OLD_FILES):
        return None
    try:
        return Tokenizer.load(folder.path)
    except TokenizerError as error:
        warnings.warn(f"{folder.path}: the model is loaded without its tokenizer: {error.message}", stacklevel=5)
        return None


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a run, a model's folder or a Hugging Face folder, if there is one; its weights are not read."""
    if not (folder / SPEC).exists() and any((folder / name).exists() for name in (CONFIG, MODULES)):
        return _tokenizer(Folder(transformer_folder(folder)))
    _check_kind(folder)
    return Tokenizer.load(folder / TOKENIZER) if (folder / TOKENIZER).exists() else None


def read_architecture(folder: Path) -> ModelSpec | PairSpec:
    """The architecture of a run, a model's folder or a Hugging Face folder; weights need not be there."""
    if not (folder / SPEC).exists() and any((folder / name).exists() for name in (CONFIG, MODULES)):
        config = Folder(folder).object(CONFIG) or {}
        return read_pair_config(config, str(folder / CONFIG)).spec if is_pair(config) else read_config(folder)
    _check_kind(folder)
    return read_spec(folder / SPEC)


def _check_kind(folder: Path) -> None:
    if (folder / SPEC).is_file():
        return
    change = "name the folder that `polyhead train … -o FOLDER` or `model.save(FOLDER)` wrote"
    if not folder.exists():
        near = near_folders(folder)
        received, change = "nothing of that name here", f"did you mean {near[0]}?" if near else change
    elif not folder.is_dir():
        received = "a file"
    else:
        received = f"a folder without {SPEC} or {CONFIG}"
    raise CheckpointError(
        f"{folder} is not a polyhead model",
        expected=f"a polyhead run or model folder ({SPEC} with {CHECKPOINTS}/ or {WEIGHTS}), a Hugging Face folder ({CONFIG}), or owner/name on the Hub",
        received=received,
        change=change,
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a folder. CheckpointError for everything else, links out of the folder among it."""
    value = Folder(path.parent).object(path.name, _MAX_JSON)
    if value is None:
        raise CheckpointError(f"{path} does not exist", expected="a JSON file", received="nothing of that name")
    return value


def read_spec(path: Path) -> ModelSpec | PairSpec:
    """The architecture in a spec file; CheckpointError names the field that is wrong."""
    raw = read_json(path)
    _refuse_newer(path, raw.get("version"), _VERSION)
    towers = {f"{name}.": raw[name] for name in ("image", "text") if isinstance(raw.get(name), dict)}
    for place, model in (towers or {"": raw}).items():
        for name in ("encoder", "decoder"):
            layers = model[name].get("layers") if isinstance(model.get(name), dict) else None
            if type(layers) is int and layers > _MAX_LAYERS:
                raise CheckpointError(f"{path}: {place}{name}.layers", expected=f"at most {_MAX_LAYERS}", received=str(layers))
    try:
        return (PairSpec if towers else ModelSpec).model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            f"{path}: {'.'.join(map(str, first['loc'])) or 'the spec'} is not possible",
            expected=first["msg"],
            received=repr(first["input"])[:100],
        ) from None


def _refuse_newer(path: Path, version: Any, known: int) -> None:
    if type(version) is int and version > known:
        raise CheckpointError(
            f"{path} was written by a newer polyhead",
            expected=f"format version {known} or older",
            received=str(version),
            change="update polyhead",
        )


def _tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(weights by name, of a run also the step they are of, and by which figure they are its best)."""
    saved = latest(folder / CHECKPOINTS) if (folder / CHECKPOINTS).exists() else None
    if saved is not None:
        if saved.skipped:
            warnings.warn(
                f"{folder}: damaged checkpoints were passed over: {'; '.join(saved.skipped)}; "
                f"this is the model of step {saved.step}",
                stacklevel=4,
            )
        tensors = saved.load("model")
        for group in ("ema", "best"):  # what the run evaluated, and what it ends with
            tensors |= saved.load(group) if group in saved.groups else {}
        best = {"best": saved.state["best"]} if "best" in saved.groups else {}
        return tensors, {"step": best["best"]["step"] if best else saved.step} | best
    if not (folder / WEIGHTS).exists():
        raise CheckpointError(
            f"{folder} holds no weights",
            expected=f"a checkpoint in {CHECKPOINTS}/, or {WEIGHTS}",
            received="neither",
            change="train on until the first checkpoint is written, or restore the file",
        )
    return read_tensors(Folder(folder).find(WEIGHTS) or folder / WEIGHTS), {}


def spec_with(
    spec: ModelSpec | PairSpec, tensors: dict[str, Tensor], origin: Path, device: torch.device | str, dtype: torch.dtype | None, mixed: bool = False
) -> Transformer | Pair:
    """The built model with the given weights, in the dtype they have if it is one, each in its own if mixed. Names and
    shapes must agree."""
    needed, there = spec.params().total, sum(t.numel() for t in tensors.values())
    if needed > there:  # before anything is allocated
        raise CheckpointError(
            f"{origin}: the weights do not belong to {SPEC}",
            expected=f"{needed:,} parameters",
            received=f"{there:,}",
        )
    net = spec.build(seed=None)
    stored = {t.dtype for t in tensors.values() if t.is_floating_point()}
    net.to(device=device, dtype=dtype or (stored.pop() if len(stored) == 1 else None))
    places = weights(net)
    for name in sorted(places.keys() | tensors.keys()):
        mine, theirs = (tuple(d[name].shape) if name in d else None for d in (places, tensors))
        if mine != theirs:
            raise CheckpointError(
                f"{origin}: the weights do not belong to {SPEC}: {name}",
                expected="no such tensor" if mine is None else f"shape {mine}",
                received="none" if theirs is None else f"shape {theirs}",
            )
    with torch.no_grad():
        for name, place in net.state_dict(keep_vars=True).items():
            if name in places:
                place.data = place.data.to(tensors[name].dtype) if mixed else place.data
                place.copy_(tensors[name])
    return net.eval()
