"""A sentence-transformers folder: modules.json and a sub-folder per module ↔ the `embed` head, and facts about texts.

    modules.json                        Transformer, Pooling, then at most two Dense, then at most one Normalize
    1_Pooling/config.json               which pools, in the spelling of any version
    2_Dense/{config.json,model.safetensors}       the head's dense layer and its activation; 3_Dense: its output
    sentence_bert_config.json           max_seq_length, do_lower_case
    config_sentence_transformers.json   prompts that go before texts
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import ConfigError
from ..families import recipes
from ..nn import HeadSpec, ModelSpec
from .files import shown
from .folder import Folder, bad, name_fault
from .source import Tensors, find_tensors

MODULES, LIMITS, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
HEAD = "embed"
DENSE = (("2_Dense", f"heads.{HEAD}.dense.*"), ("3_Dense", f"heads.{HEAD}.*"))  # where sentence_files puts them, and our names
KINDS = ("Transformer", "Pooling", "Dense", "Normalize")
_TYPE = "sentence_transformers.models."
# in the order in which several are concatenated: (since version 6, before, ours)
_POOLS = (
    ("cls", "pooling_mode_cls_token", "first"), ("max", "pooling_mode_max_tokens", "max"), ("mean", "pooling_mode_mean_tokens", "mean"),
    ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", "mean_sqrt"),
    ("weightedmean", "pooling_mode_weightedmean_tokens", "weighted_mean"), ("lasttoken", "pooling_mode_lasttoken", "last"),
)  # fmt: skip
_ACTIVATIONS = {"Identity": None, "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu"}
_PATHS = {None: "torch.nn.modules.linear.Identity"} | {a: f"torch.nn.modules.activation.{n}" for n, a in _ACTIVATIONS.items() if a}


class Sentences(NamedTuple):
    """What a folder's modules say. dense: the files with linear.weight and linear.bias. facts: max_length in tokens, lower
    (texts are lowercased first), prompts by name, prompt (the name of the usual one), similarity, columns (how many of a vector's are kept)."""

    head: HeadSpec
    facts: dict[str, Any]
    dense: tuple[Tensors, ...] = ()


def transformer_folder(path: Path) -> Path:
    """Where the transformer itself lies: the folder, or, in old ones, the sub-folder that modules.json names."""
    folder = Folder(path)
    if folder.find("config.json") is not None or folder.find(MODULES) is None:
        return path
    inner = read_modules(folder)[0][1]
    if not inner or folder.find(f"{inner}/config.json") is None:
        raise bad(folder.path / MODULES, "the first path", "the folder of the transformer", shown(inner))
    return path / inner


def read_modules(folder: Folder) -> list[tuple[str, str]]:
    """(kind, sub-folder or "") of every module in order; empty without modules.json. Unknown ones are refused by name."""
    rows, where = folder.json(MODULES), folder.path / MODULES
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or len(rows) > 20:
        raise bad(where, "its content", "a list of modules", shown(rows))
    found = []
    for row in rows:
        kind, inner = str(row.get("type")).rpartition(".")[2], row.get("path", "")
        fault = name_fault(inner) if inner else None
        if fault or not isinstance(inner, str):
            raise bad(where, "path", "the plain name of a sub-folder", fault or shown(inner))
        if kind not in KINDS:
            raise _cannot(f"{where}: a module {shown(kind)}", f"only {', '.join(KINDS)}", shown(row.get("type")))
        found.append((kind, inner))
    kinds = [kind for kind, _ in found]
    most = {"Transformer": 1, "Pooling": 1, "Dense": 2, "Normalize": 1}
    if kinds[:2] != ["Transformer", "Pooling"] or kinds != sorted(kinds, key=KINDS.index) or any(kinds.count(k) > n for k, n in most.items()):
        raise _cannot(f"{where}: these modules", "Transformer, Pooling, at most two Dense, at most one Normalize", ", ".join(kinds))
    return found


def read_sentences(path: Path, width: int, weights: bool = True) -> Sentences | None:
    """What the modules of a folder make of states of this width; None for a folder without modules.json.

    ConfigError names what polyhead cannot do, CheckpointError a file that is not sound.
    """
    folder = Folder(path)
    rows = read_modules(folder)
    modules = dict(rows)
    if not modules:
        return None
    head: dict[str, Any] = {"task": "embed", "pool": _read_pool(folder, modules["Pooling"], width)}
    dense = [inner for kind, inner in rows if kind == "Dense"]
    for inner in dense:
        width = head.get("dense") or width * (len(head["pool"]) if isinstance(head["pool"], list) else 1)
        head |= _read_dense(folder, inner, width, last="dense" in head)
    if "Normalize" in modules:
        _on_sentences(folder, modules["Normalize"])
        head["normalise"] = True
    facts = _read_facts(folder, modules["Transformer"])
    return Sentences(HeadSpec.model_validate(head), facts, tuple(find_tensors(folder, inner) for inner in dense if weights))


def _cannot(what: str, expected: str, received: str) -> ConfigError:
    change = "load it with sentence-transformers, or leave the modules away"
    return ConfigError(f"{what} cannot be read", expected=expected, received=received, change=change)


def _object(folder: Folder, inner: str) -> tuple[dict[str, Any], str]:
    name = f"{inner}/config.json" if inner else "config.json"
    return folder.object(name) or {}, str(folder.path / name)


def _on_sentences(folder: Folder, inner: str) -> dict[str, Any]:
    """The module's config; one that works on tokens instead is refused."""
    config, where = _object(folder, inner)
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise _cannot(f"{where}: {key}", "sentence_embedding", shown(config[key]))
    return config


def _read_pool(folder: Folder, inner: str, width: int) -> str | list[str]:
    config, where = _object(folder, inner)
    if config.get("include_prompt") is False:
        raise _cannot(f"{where}: include_prompt", "true: prompts are averaged like other words", "false")
    given = config.get("embedding_dimension", config.get("word_embedding_dimension", width))
    if given != width:
        raise bad(Path(where), "word_embedding_dimension", str(width), shown(given))
    ours = {new: pool for new, _, pool in _POOLS}
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [new for new, old, _ in _POOLS if config.get(old)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or not all(isinstance(mode, str) and mode in ours for mode in modes):
        raise _cannot(f"{where}: pooling_mode", " | ".join(ours), shown(modes))
    return ours[modes[0]] if len(modes) == 1 else [ours[mode] for mode in modes]


def _read_dense(folder: Folder, inner: str, width: int, last: bool) -> dict[str, Any]:
    """The head's dense layer, or, as the last of two, its output."""
    config, where = _on_sentences(folder, inner), f"{folder.path / inner}/config.json"
    act = str(config.get("activation_function", _PATHS["tanh"])).rpartition(".")[2]
    if act not in _ACTIVATIONS:
        raise _cannot(f"{where}: activation_function", " | ".join(_ACTIVATIONS), shown(config["activation_function"]))
    if last and act != "Identity":
        raise _cannot(f"{where}: activation_function after a second Dense", "Identity", shown(act))
    if config.get("use_residual"):
        raise _cannot(f"{where}: use_residual", "false", "true")
    if config.get("in_features") != width:
        raise bad(Path(where), "in_features", str(width), shown(config.get("in_features")))
    size, bias = config.get("out_features"), config.get("bias", True)
    if type(size) is not int or not 0 < size < 2**31:
        raise bad(Path(where), "out_features", "a whole number from 1 to 2**31 - 1", shown(size))
    if not isinstance(bias, bool):
        raise bad(Path(where), "bias", "true or false", shown(bias))
    return {"output": size, "bias": bias} if last else {"dense": size, "dense_bias": bias, "act": _ACTIVATIONS[act]}


def _read_facts(folder: Folder, inner: str) -> dict[str, Any]:
    name = f"{inner}/{LIMITS}" if inner else LIMITS
    limits, prompts = folder.object(name) or {}, folder.object(PROMPTS) or {}
    length, task = limits.get("max_seq_length"), limits.get("transformer_task", "feature-extraction")
    if length is not None and (type(length) is not int or length < 1):
        raise bad(folder.path / name, "max_seq_length", "a whole number above 0", shown(length))
    if task != "feature-extraction":
        raise _cannot(f"{folder.path / name}: transformer_task", "feature-extraction", shown(task))
    texts, usual = prompts.get("prompts") or {}, prompts.get("default_prompt_name")
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise bad(folder.path / PROMPTS, "prompts", "texts by name", shown(texts))
    if usual is not None and (not isinstance(usual, str) or usual not in texts):
        raise bad(folder.path / PROMPTS, "default_prompt_name", "the name of a prompt", shown(usual))
    columns = prompts.get("truncate_dim")
    if columns is not None and (type(columns) is not int or columns < 1):
        raise bad(folder.path / PROMPTS, "truncate_dim", "a whole number above 0", shown(columns))
    facts = {"max_length": length, "lower": bool(limits.get("do_lower_case")), "prompts": texts, "prompt": usual}
    return {**facts, "similarity": prompts.get("similarity_fn_name"), "columns": columns}


# ---------------------------------------------------------------- out


def split_head(spec: ModelSpec) -> HeadSpec | None:
    """The head that sentence-transformers keeps in modules of its own; None where the family's own files hold it."""
    head = spec.heads.get(HEAD)
    own = recipes().get(spec.family, {}).get("hf", {}).get("heads", {})
    return None if head is None or not head.pools or HEAD in own else head


def sentence_files(spec: ModelSpec, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Contents of modules.json and of the files it stands for, by name. ConfigError names what they cannot express."""
    head = split_head(spec)
    assert head is not None
    _check_head(head)
    width = spec.top.width
    out: dict[str, Any] = {}
    dense = [size for size in (head.dense, head.output) if size]
    modules = ["Transformer", "Pooling", *("Dense" for _ in dense), *(["Normalize"] if head.normalise else [])]
    paths = ["" if kind == "Transformer" else f"{i}_{kind}" for i, kind in enumerate(modules)]
    out[MODULES] = [{"idx": i, "name": str(i), "path": path, "type": _TYPE + kind} for i, (kind, path) in enumerate(zip(modules, paths, strict=True))]
    out["1_Pooling/config.json"] = _write_pool(head, width)
    if head.dense:
        size: dict[str, Any] = {"in_features": head.pooled_width(width), "out_features": head.dense, "bias": head.dense_bias}
        out["2_Dense/config.json"] = size | {"activation_function": _PATHS[head.act]}
    if head.output:
        size = {"in_features": head.dense, "out_features": head.output, "bias": head.bias}
        out["3_Dense/config.json"] = size | {"activation_function": _PATHS[None]}
    if head.normalise:  # also so that its folder is there
        out[f"{paths[-1]}/config.json"] = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    out[LIMITS] = {"max_seq_length": facts.get("max_length"), "do_lower_case": bool(facts.get("lower"))}  # null: as the tokenizer says
    prompts = {"prompts": facts.get("prompts") or {}, "default_prompt_name": facts.get("prompt")}
    out[PROMPTS] = {"__version__": {"sentence_transformers": "3.0.0"}, **prompts, "similarity_fn_name": facts.get("similarity")}
    out[PROMPTS] |= {} if facts.get("columns") is None else {"truncate_dim": facts["columns"]}
    return out


def dense_tensors(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The weights of every Dense, by its folder."""
    out: dict[str, dict[str, Tensor]] = {}
    for theirs, ours in DENSE:
        start = ours.removesuffix("*")
        found = {f"linear.{name.removeprefix(start)}": t.contiguous() for name, t in weights.items() if name in (start + "weight", start + "bias")}
        out |= {theirs: found} if found else {}
    return out


def _check_head(head: HeadSpec) -> None:
    usual = HeadSpec(task="embed")
    pools = {ours for *_, ours in _POOLS}
    faults = [name for name in ("input_norm", "norm", "tied", "scale", "softcap") if getattr(head, name) != getattr(usual, name)]
    faults += ["pool"] if set(head.pools) - pools else []
    faults += ["act"] if head.act not in _PATHS or head.act is not None and not head.dense else []
    faults += ["output"] if head.output and not head.dense else []
    if faults:
        raise ConfigError(
            f"a sentence-transformers folder cannot express heads.{HEAD}.{faults[0]}",
            expected="pool, dense with act, normalise", received=f"{faults[0]} {getattr(head, faults[0])}",
            change="leave it out, or save in polyhead's own format (--to native)",
        )  # fmt: skip


def _write_pool(head: HeadSpec, width: int) -> dict[str, Any]:
    """Every version reads the switches; another order than theirs is told as only newer ones read it."""
    names = {ours: new for new, _, ours in _POOLS}
    theirs = [ours for *_, ours in _POOLS if ours in head.pools]
    config: dict[str, Any] = {"word_embedding_dimension": width}
    if list(head.pools) != theirs:
        return config | {"pooling_mode": [names[pool] for pool in head.pools]}
    return config | {old: ours in head.pools for _, old, ours in _POOLS}
