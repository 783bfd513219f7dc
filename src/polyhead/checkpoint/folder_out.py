"""A Hugging Face folder, written: config.json, model.safetensors or shards with their index, and what else belongs to it.

Everything is written into a hidden folder inside the target first. Only then are the old model's files moved aside and
the new ones moved into place, config.json (of polyhead's own folders spec.json) first out and last in: whatever is killed
and whenever, the folder holds the old model, the new one, or none that loads. An error while they are moved puts the old
ones back.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyhead.checkpoint.files import (
    TEMPORARY,
    Output,
    check_json,
    disk_errors,
    make_folder,
    need_space,
    shown,
    sync_folder,
    temporary_sibling,
    write_json,
)
from polyhead.checkpoint.folder import Folder, in_hub_cache, name_fault
from polyhead.checkpoint.layout import Later, Layout, stored_dtype
from polyhead.checkpoint.source import CONFIG, INDEX, WEIGHTS
from polyhead.errors import CheckpointError
from polyhead.text.old import OLD_FILES

MAX_SHARD = 5_000_000_000  # bytes, as others write them
_SLACK = 1_000_000  # bytes for headers and JSON
_ABANDONED_AFTER = 3600.0  # seconds
_STAGE, _SPOOL = f"{TEMPORARY}hf", f"{TEMPORARY}spool"
_MARKERS = (CONFIG, "spec.json")  # without one of them a folder is no model
# What describes or holds the old model, and would be wrong beside the new one.
_STALE = re.compile(
    r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?|(generation_)?config\.json|(spec|meta|modules)\.json|sentence_bert_config\.json|config_sentence_transformers\.json"
    r"|tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|chat_template\.(json|jinja)|(pre)?processor_config\.json|" + "|".join(map(re.escape, sorted(OLD_FILES)))
)  # fmt: skip
_RUN = ("checkpoints", "metrics.jsonl")
_HARMLESS = re.compile(
    rf"\..*|{_STALE.pattern}|(README|LICENSE|NOTICE).*|(tokenizer|vocab|merges|special_tokens|added_tokens|chat_template"
    r"|preprocessor|processor|spiece|source\.spm|target\.spm).*|modules\.json|.*sentence.*\.json|\d_[A-Za-z]+"
)


class _Made:
    """A tensor that `make` makes out of `parts` when it is written."""

    __slots__ = ("_make", "_parts", "dtype", "shape")

    def __init__(self, make: Callable[..., Tensor], parts: tuple[Tensor | Later, ...]) -> None:
        self._make, self._parts = make, parts
        like = make(*(torch.empty(part.shape, dtype=part.dtype, device="meta") for part in parts))
        self.shape, self.dtype = like.shape, like.dtype

    def get(self) -> Tensor:
        return self._make(*(part if isinstance(part, Tensor) else part.get() for part in self._parts))


def later(make: Callable[..., Tensor], *parts: Tensor | Later) -> Later:
    """make(*parts), done when it is written and forgotten then. Shape and dtype are found on the meta device now."""
    return _Made(make, parts)


def write_hf(
    folder: str | Path,
    config: dict[str, Any],
    tensors: Mapping[str, Tensor | Later] | Iterable[tuple[str, Tensor]],
    *,
    extra_json: Mapping[str, Any] | None = None,
    also: Callable[[Path], None] | None = None,
    max_shard_bytes: int = MAX_SHARD,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write a model's folder and return its weight files.

    config, extra_json: contents of config.json and of further files ("generation_config.json", "1_Pooling/config.json").
    tensors: a mapping whose values are tensors or are made when they are written (`later`, `Lazy`): at most one copy is
        held at a time. Pairs that come out of an iterator may be forgotten as well; they take their space on the disk
        twice while they are written. Tensors that share memory are written under each name.
    also: called with the hidden folder before its files are moved into place, to put more of them there.
    dtype: what floating-point tensors are stored in; None: as they are.

    Writing over the folder that `tensors` are mapped from is safe (on Windows the system refuses it: DiskError). Raises
    CheckpointError for a folder that holds anything but a model and for what cannot be stored; DiskError for the disk.
    """
    folder = Path(folder)
    check_target(folder)
    texts = {**(extra_json or {}), CONFIG: config}
    for name, value in texts.items():
        _check_name(name)
        check_json(value, name)
    with disk_errors(folder), _stage(folder) as stage:
        if not isinstance(tensors, Mapping):
            tensors = _spooled(stage, tensors, dtype)
        layouts, index = _plan(tensors, dtype, max_shard_bytes, metadata or {})
        size = sum(layout.size for layout in layouts.values())
        need_space(folder, size + _SLACK)
        with disk_errors(folder, size):
            for name, layout in layouts.items():
                _write(stage / name, layout)
        files = [folder / name for name in layouts]
        del tensors, layouts, layout  # and the mapping of the spool with them
        for name, value in (texts | index).items():
            write_json(stage / name, value)
        if also is not None:
            also(stage)
        (stage / _SPOOL).unlink(missing_ok=True)
        _commit(stage, folder)
    return files


def write_staged(folder: Path, size: int, fill: Callable[[Path], None]) -> None:
    """Replace the model at `folder`, if there is one, by what `fill` puts into the hidden folder it is called with: whole
    or not at all. size: bytes it will take."""
    with disk_errors(folder), _stage(folder) as stage:
        need_space(folder, size + _SLACK)
        with disk_errors(folder, size):
            fill(stage)
        _commit(stage, folder)


def check_target(folder: Path) -> None:
    """Refuse to write where a model does not belong, or where something else would be harmed."""
    received = None
    if in_hub_cache(folder):
        received = "a folder of the Hub's cache"
    elif os.path.lexists(folder) and not folder.is_dir():
        received = "a file"
    elif folder.is_dir():
        with disk_errors(folder):
            names = sorted(os.listdir(folder))  # a stage: a model was being written when the process was killed
        foreign = [name for name in names if not _HARMLESS.fullmatch(name)]
        if any(name in _RUN for name in names):
            received = "the folder of a run"
        elif foreign and not _is_model(folder) and not any(name.startswith(_STAGE) for name in names):
            received = f"a folder with {', '.join(map(shown, foreign[:5]))}"
    if received is not None:
        raise CheckpointError(
            f"{folder} is no place for a model.",
            expected="a new or empty folder, or that of a model, which is replaced",
            received=received,
            change="name another folder",
        )


def _is_model(folder: Path) -> bool:
    with suppress(CheckpointError):
        place = Folder(folder)
        config = place.object(CONFIG) or {}
        return "model_type" in config or "architectures" in config or place.find("spec.json") is not None
    return False


def _check_name(name: str) -> None:
    faults = [fault for part in name.split("/") if (fault := name_fault(part))]
    if faults or not name.endswith(".json") or name.count("/") > 1:
        received = faults[0] if faults else shown(name)
        raise CheckpointError(f"A file cannot be called {shown(name)}.", expected="NAME.json or SUB/NAME.json", received=received)


# Weights

def _spooled(stage: Path, pairs: Iterable[tuple[str, Tensor]], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors, out of memory: written one after another, then mapped from where they lie."""
    places: dict[str, tuple[int, Tensor]] = {}
    out = Output(stage / _SPOOL, hashed=False)
    try:
        for name, tensor in pairs:
            if name in places:
                raise CheckpointError(f"{shown(name)} came twice.", expected="each tensor once", received="two of that name")
            Layout({name: tensor}, dtype=dtype)  # refuses what cannot be stored
            tensor = tensor.detach().to("cpu", stored_dtype(tensor, dtype)).contiguous()
            out.write(bytes(-out.size % 8))
            places[name] = out.size, tensor.to("meta")
            out.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
        out.write(bytes(8))  # nothing cannot be mapped
        out.finish()
    except BaseException:
        out.abandon()
        raise
    raw = torch.from_file(str(out.path), shared=False, size=out.size, dtype=torch.uint8)
    return {
        name: raw[begin : begin + like.nbytes].view(like.dtype).reshape(like.shape) for name, (begin, like) in places.items()
    }


def _plan(
    tensors: Mapping[str, Tensor | Later], dtype: torch.dtype | None, limit: int, metadata: Mapping[str, str]
) -> tuple[dict[str, Layout], dict[str, Any]]:
    """(layout by file name, the index under its own name if there is more than one file)."""
    Layout(tensors, dtype=dtype, apart=False)  # refuses what cannot be stored before sizes are asked for
    groups: list[dict[str, Tensor | Later]] = [{}]
    filled = total = 0
    for name, tensor in tensors.items():
        size = math.prod(tensor.shape) * stored_dtype(tensor, dtype).itemsize
        if groups[-1] and filled + size > limit:
            groups.append({})
            filled = 0
        groups[-1][name] = tensor
        filled, total = filled + size, total + size
    names = [WEIGHTS]
    if len(groups) > 1:
        names = [f"model-{n:05}-of-{len(groups):05}.safetensors" for n in range(1, len(groups) + 1)]
    layouts = {file: Layout(group, metadata, dtype, apart=False) for file, group in zip(names, groups, strict=True)}
    places = {name: file for file, group in zip(names, groups, strict=True) for name in group}
    index = {INDEX: {"metadata": {"total_size": total}, "weight_map": places}} if len(groups) > 1 else {}
    return layouts, index


def _write(path: Path, layout: Layout) -> None:
    out = Output(path, hashed=False)
    try:
        layout.stream(out.write)
        out.finish()
    except BaseException:
        out.abandon()
        raise


# Into place


@contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """A hidden folder inside `folder`, which it leaves no trace of; those of killed processes are cleared away."""
    there = folder.is_dir()
    make_folder(folder)
    for entry in list(os.scandir(folder)):
        if entry.name.startswith(_STAGE) and time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_AFTER:
            shutil.rmtree(entry.path, ignore_errors=True)
    stage = temporary_sibling(folder / _STAGE.removeprefix(TEMPORARY))
    os.mkdir(stage)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if not there:
            with suppress(OSError):  # what was written is in it
                os.rmdir(folder)


def _commit(stage: Path, folder: Path) -> None:
    """Move the old model's files aside and the staged ones into place; all or, when one cannot be moved, none."""
    new = [path.relative_to(stage) for path in sorted(stage.rglob("*")) if path.is_file()]
    old = [Path(name) for name in os.listdir(folder) if _STALE.fullmatch(name)]
    old += [path for path in new if path not in old and os.path.lexists(folder / path)]
    aside = stage / f"{TEMPORARY}old"
    moves = [(folder / path, aside / path) for path in sorted(old, key=lambda path: str(path) not in _MARKERS)]
    moves += [(stage / path, folder / path) for path in sorted(new, key=lambda path: str(path) in _MARKERS)]
    ends = {folder / name for name in _MARKERS} | {stage / name for name in _MARKERS}
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            make_folder(target.parent)
            if source in ends and target.parent == folder:
                sync_folder(folder)
            os.rename(source, target)
            done.append((source, target))
            if source in ends and source.parent == folder:
                sync_folder(folder)
    except BaseException:
        for source, target in reversed(done):
            with suppress(OSError):
                os.rename(target, source)
        raise
    sync_folder(folder)
