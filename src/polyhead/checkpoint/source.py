"""A Hugging Face folder as files: its config, its tensors across shards, its side files. What they mean is not known here.

    source = open_source(folder)
    source.config["model_type"]                   config.json
    source.tensors["wte.weight"].shape            from the headers; no data has been read
    source.tensors["wte.weight"].get()            the tensor, mapped from its file
    source.folder.object("generation_config.json")   a side file, or None
    source.inner("2_Dense")                       the tensors of a sub-folder

Weights are `model.safetensors`, or the shards that `model.safetensors.index.json` names. Every header is checked, and
every shard must hold exactly the tensors that the index says. Pickled weights are read on request alone, by legacy.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from polyhead.checkpoint.files import shown
from polyhead.checkpoint.folder import Folder, bad, name_fault, open_regular, unreadable
from polyhead.checkpoint.tensors import Entry, check_header
from polyhead.errors import CheckpointError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
MAX_INDEX = 25_000_000  # bytes; 91,000 tensors, the most of any published model so far, take 9 MB
MAX_SHARDS = 5_000
_SUFFIX = ".safetensors"
_OTHERS = re.compile(r".*\.(bin|pt|pth|ckpt|h5|msgpack|gguf|onnx|np[yz]|pkl|tar|safetensors)|\.metadata|adapter_config\.json")


class Shard:
    """One safetensors file: its checked header now, one mapping of it when the first tensor is asked for."""

    def __init__(self, path: Path, real: Path, keep: Any = None) -> None:
        self.path, self._real, self._keep = path, real, keep
        self._opened: Any = None
        try:
            with open_regular(real) as file:
                self.header = check_header(path, file)
                self._status = os.fstat(file.fileno())
        except OSError as error:
            raise unreadable(path, error) from error

    def get(self, name: str) -> Tensor:
        """A tensor of the file; valid for as long as it is kept, whatever becomes of the file's name."""
        entry = self.header.tensors[name]
        try:
            if self._opened is None:
                self._opened = safe_open(self._real, framework="pt", device="cpu")
            self._require_unchanged()  # what is mapped is what was checked
            tensor = self._opened.get_tensor(name)
        except OSError as error:
            raise unreadable(self.path, error) from error
        except (SafetensorError, RuntimeError, ValueError) as error:
            raise bad(self.path, f"tensor {shown(name)}", "data that can be mapped", str(error)[:200]) from error
        if (tensor.dtype, tuple(tensor.shape)) != (entry.dtype, entry.shape):
            raise bad(self.path, f"tensor {shown(name)}", f"{entry.dtype} {entry.shape}", "another one since the check")
        # Files of other writers may start their data at any byte; kernels want whole elements.
        return tensor.clone() if tensor.data_ptr() % tensor.element_size() else tensor

    def _require_unchanged(self) -> None:
        now, then = os.stat(self._real, follow_symlinks=False), self._status
        if not os.path.samestat(now, then) or (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            raise bad(self.path, "the file", "one file while it is read", "it was replaced or written", "load it again")


class Lazy:
    """A tensor that is still in its file. `shape`, `dtype`, `nbytes` and `file` are known; `get` maps it."""

    __slots__ = ("_shard", "dtype", "name", "nbytes", "shape")

    def __init__(self, name: str, entry: Entry, shard: Shard) -> None:
        self.name, self.dtype, self.shape, self._shard = name, entry.dtype, torch.Size(entry.shape), shard
        self.nbytes = entry.end - entry.begin

    @property
    def file(self) -> Path:
        return self._shard.path

    def get(self) -> Tensor:
        """The tensor on the CPU, mapped: nothing is read until it is touched, and writing to it never changes the
        file. CheckpointError when the file has changed since it was checked."""
        return self._shard.get(self.name)

    def __repr__(self) -> str:
        return f"Lazy({shown(self.name)}, {self.dtype}, {tuple(self.shape)})"


class Tensors(Mapping[str, Lazy]):
    """The tensors of one model by name, in the order of files and of places within them; `files` holds them."""

    def __init__(self, shards: list[Shard]) -> None:
        self.files = tuple(shard.path for shard in shards)
        self._found: dict[str, Lazy] = {}
        for shard in shards:
            for name, entry in sorted(shard.header.tensors.items(), key=lambda item: item[1].begin):
                if name in self._found:
                    first = self._found[name].file.name
                    raise bad(shard.path, f"tensor {shown(name)}", "each tensor in one file", f"one in {first} as well")
                self._found[name] = Lazy(name, entry, shard)

    def __getitem__(self, name: str) -> Lazy:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def nbytes(self) -> int:
        return sum(lazy.nbytes for lazy in self._found.values())


class Source:
    """An opened folder: `folder` (safe access to its files), `config` (config.json), `tensors`."""

    def __init__(self, folder: Folder, config: dict[str, Any], tensors: Tensors, unsafe_pickle: bool = False) -> None:
        self.folder, self.config, self.tensors, self._unsafe_pickle = folder, config, tensors, unsafe_pickle

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the weights."""
        return self.tensors.files

    def inner(self, name: str) -> Tensors:
        """The tensors of the sub-folder `name` (a plain name), whose weights lie there as they would at the top."""
        return find_tensors(self.folder, name, self._unsafe_pickle)


def open_source(folder: str | Path, unsafe_pickle: bool = False) -> Source:
    """Open a Hugging Face folder. No tensor's data is read, and nothing outside the folder.

    unsafe_pickle: where there is no safetensors file, let a child process turn `pytorch_model.bin` into one, in a
    temporary folder that lives as long as its tensors. A pickle is a program: say so for authors you trust alone.
    Raises CheckpointError naming the file and the field for everything that is not sound.
    """
    place = Folder(folder)
    config = place.object(CONFIG)
    if config is None:
        raise _no_file(place, "", CONFIG, f"a model's folder with {CONFIG}", "name the folder that holds it")
    return Source(place, config, find_tensors(place, "", unsafe_pickle), unsafe_pickle)


def find_tensors(folder: Folder, inner: str = "", unsafe_pickle: bool = False) -> Tensors:
    """The tensors of a folder, or of its sub-folder `inner`. Every header is read and checked."""
    found = _found(folder, inner)
    if found is None and unsafe_pickle:
        from polyhead.checkpoint.legacy import unpickled

        temporary = unpickled(folder, inner)
        if temporary is not None:
            found = _found(Folder(temporary.name), "", temporary)
    if found is None:
        raise _no_file(
            folder,
            inner,
            "the weights",
            f"{WEIGHTS}, or {INDEX} and the files it names",
            "save the model as safetensors; pickled weights of an author you trust can be converted: "
            "`polyhead convert … --unsafe-pickle`",
        )
    return found


def _found(folder: Folder, inner: str, keep: Any = None) -> Tensors | None:
    """The tensors in safetensors files; each shard keeps `keep` alive."""
    start = f"{inner}/" if inner else ""
    whole = folder.find(start + WEIGHTS)
    if whole is not None:
        return Tensors([Shard(folder.path / start / WEIGHTS, whole, keep)])
    index = folder.object(start + INDEX, MAX_INDEX)
    return None if index is None else _sharded(folder, start, index, keep)


def _sharded(folder: Folder, start: str, index: dict[str, Any], keep: Any) -> Tensors:
    path = folder.path / start / INDEX
    places = shard_names(path, index, _SUFFIX)
    shards = []
    for file in sorted(set(places.values())):
        real = folder.find(start + file)
        if real is None:
            raise bad(path, "weight_map", f"{shown(file)} in the folder", "no such file", "download what is missing")
        shards.append(Shard(folder.path / start / file, real, keep))
    tensors = Tensors(shards)
    for name in places.keys() | tensors.keys():
        there = tensors[name].file.name if name in tensors else "no file"
        if places.get(name) != there:
            raise bad(path, f"weight_map[{shown(name)}]", f"{shown(there)}, which holds it", shown(places.get(name)))
    return tensors


def shard_names(path: Path, index: dict[str, Any], suffix: str) -> dict[str, str]:
    """File name by tensor name, out of the index that was read from `path`; each a plain name that ends in `suffix`."""
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise bad(path, "weight_map", "an object: tensor name to file name", shown(places))
    for name, file in places.items():
        fault = name_fault(file) or (None if file.endswith(suffix) else f"{shown(file)}")
        if fault:
            raise bad(path, f"weight_map[{shown(name)}]", f"the plain name of a {suffix} file", fault)
    count = len(set(places.values()))
    if count > MAX_SHARDS:
        raise bad(path, "weight_map", f"at most {MAX_SHARDS:,} files", f"{count:,}")
    return places


def _no_file(folder: Folder, inner: str, what: str, expected: str, change: str) -> CheckpointError:
    names = folder.names() if not inner else []
    others = [shown(name) for name in names if _OTHERS.fullmatch(name)][:5]
    received = "neither"
    if "adapter_config.json" in names:
        received, change = "an adapter, which is no model by itself", "merge it into its base model first"
    elif others:
        received = f"{', '.join(others)}, which are never opened"
    elif what == CONFIG:
        received = "no such file"
    return CheckpointError(
        f"{folder.path / inner} lacks {what}.", expected=expected, received=received, change=change
    )
