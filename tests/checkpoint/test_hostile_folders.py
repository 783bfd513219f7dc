"""Folders from a stranger (H1-H52): refused at once, by file and field; nothing run, nothing read outside, nothing allocated.

What one safetensors file may do is in test_tensors.py, what a pickle may do in test_legacy.py; here are folders.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import polyhead as ph
from polyhead.checkpoint import open_source, source, write_hf
from polyhead.errors import DiskError

from .folders import CONFIG, LLAMA, holds, link, llama_weights, put, put_index, put_shards, refused, same, tensors

INDEX = "model.safetensors.index.json"
SHARD = "model-00001-of-00004.safetensors"


def raw(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


ENTRY = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "header length"),
        (b"1234567", "header length"),
        (raw(b"", length=2**64 - 1), "header length"),
        (raw(b"", length=2**63), "header length"),
        (raw(b"{}", length=0), "header length"),
        (raw(b"{}", length=3), "header length"),
        (raw(b"{}", length=101_000_000), "header length"),
        (raw(b'{"\xff": 1}'), "header"),
        (raw(b" {}"), "header"),
        (raw(b"[" * 100_000), "header"),
        (raw(b'{"x":' + ENTRY + b',"x":' + ENTRY + b"}", bytes(4)), "'x'"),
        (raw(b'{"__metadata__":{"a":1}}'), "__metadata__"),
        (raw(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}'), "data_offsets"),
        (raw(b'{"x":' + ENTRY + b',"y":' + ENTRY + b"}", bytes(4)), "data_offsets"),
        (raw(b'{"x":' + ENTRY + b"}", b"1234PK\x03\x04"), "file length"),
        (raw(b'{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}', bytes(4)), "shape"),
        (raw(b'{"x":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}'), "shape"),
        (raw(b'{"x":{"dtype":"F4","shape":[3],"data_offsets":[0,4]}}', bytes(4)), "dtype"),
        (raw(b'{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "data_offsets"),
        (raw(b'{"../x":' + ENTRY + b"}", bytes(4)), "tensor"),
        (raw(b'{"x\\u001b[31m":' + ENTRY + b"}", bytes(4)), "tensor"),
    ],
    ids=[f"h{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)] + ["h20-path", "h20-ansi"],
)
def test_h1_to_h20_a_damaged_file_is_named_alone_and_among_shards(tmp_path: Path, data: bytes, field: str) -> None:
    for folder, name in ((put(tmp_path / "one"), "model.safetensors"), (put_shards(tmp_path / "many"), SHARD)):
        (folder / name).write_bytes(data)
        refused(folder, name, field)


def test_h20_numbers_that_are_none_are_data(tmp_path: Path) -> None:
    weights = {"x": torch.tensor([torch.nan, torch.inf, -torch.inf])}
    assert holds(put(tmp_path, weights=weights), weights)


# config.json


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"model_type": "gpt2", "eps": NaN}', "eps"),
        ('{"model_type": "gpt2", "eps": -Infinity}', "eps"),
        ('{"model_type": "gpt2", "rope": {"factor": 1e400}}', "factor"),
        ('{"n_layer": ' + "9" * 5000 + "}", "n_layer"),
    ],
)
def test_h38_numbers_that_json_does_not_have(tmp_path: Path, text: str, word: str) -> None:
    (put(tmp_path) / "config.json").write_text(text)
    refused(tmp_path, "config.json", word)


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null", "", "{", "{}{}", "\ufeff{}", "[" * 10**6, '{"a":' * 10**6])
def test_h40_h43_a_config_that_is_no_object(tmp_path: Path, text: str) -> None:
    (put(tmp_path) / "config.json").write_text(text)
    refused(tmp_path, "config.json")


def test_h43_a_config_too_large_too_deep_or_of_too_many_parts(tmp_path: Path) -> None:
    path = put(tmp_path) / "config.json"
    with open(path, "wb") as file:
        file.truncate(100_000_000)
    refused(tmp_path, "config.json", "4,000,000 bytes")
    path.write_text('{"a":' * 70 + "1" + "}" * 70)
    refused(tmp_path, "config.json", "64 deep")
    path.write_text('{"a": [' + "[]," * 250_000 + "[]]}")
    refused(tmp_path, "config.json", "brackets")
    path.write_bytes(b'{"a": "\xff"}')
    refused(tmp_path, "config.json", "utf-8")


def test_h44_duplicate_keys(tmp_path: Path) -> None:
    (put(tmp_path / "a") / "config.json").write_text('{"n_layer": 1, "n_layer": 2}')
    refused(tmp_path / "a", "config.json", "'n_layer'", "twice")
    (put_shards(tmp_path / "b") / INDEX).write_text('{"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}}')
    refused(tmp_path / "b", INDEX, "'x'", "twice")


# The index and its shards


@pytest.mark.parametrize(
    "file",
    ["../../etc/passwd", "/etc/passwd", "C:\\x", "..\\x.safetensors", "https://x/y.safetensors", "file:///etc/x.safetensors",
     "sub/x.safetensors", "..", ".", "", "x.bin", "a\0.safetensors", "a\n.safetensors", "\x1b[31m.safetensors", "a" * 300,
     3, None, ["x.safetensors"], {"a": 1}, True, "C:x.safetensors", "x.safetensors ", "a\u202e.safetensors"],
    ids=repr,
)  # fmt: skip
def test_h45_shards_are_plain_names(tmp_path: Path, file: Any) -> None:
    (tmp_path / "x.safetensors").write_bytes((put(tmp_path / "other") / "model.safetensors").read_bytes())
    folder = put_shards(tmp_path / "m")
    places = json.loads((folder / INDEX).read_text())
    places["weight_map"]["wte.weight"] = file
    (folder / INDEX).write_text(json.dumps(places))
    refused(folder, INDEX, "weight_map", "'wte.weight'")


@pytest.mark.parametrize("places", [None, [], {}, "x", 3])
def test_h45_a_weight_map_that_is_none(tmp_path: Path, places: Any) -> None:
    refused(put_index(put_shards(tmp_path), places), INDEX, "weight_map")


@pytest.mark.parametrize("name", ["config.json", INDEX, SHARD, "model.safetensors"])
@pytest.mark.parametrize("kind", ["outside", "absolute", "dangling", "loop", "pipe", "device", "folder", "socket"])
def test_h46_files_that_are_no_files_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    folder = put_shards(tmp_path / "m")
    path = folder / name
    if path.exists():
        path.rename(tmp_path / "secret")
    else:
        put(tmp_path / "other")
        (tmp_path / "other" / name).rename(tmp_path / "secret")
    if kind in ("outside", "absolute", "dangling", "loop", "device"):
        targets = {"outside": Path("..", "secret"), "absolute": tmp_path / "secret", "dangling": "nothing", "loop": name, "device": "/dev/zero"}
        link(path, targets[kind])
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        import socket

        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(folder)  # names of sockets are short
            server.bind(name)
    refused(folder, name)


def test_h46_a_folder_reached_through_a_link_out_of_it(tmp_path: Path) -> None:
    put(tmp_path / "other")
    link(put(tmp_path / "m") / "2_Dense", tmp_path / "other")
    refused(tmp_path / "m", "2_Dense", "link", call=lambda path: open_source(path).inner("2_Dense"))
    refused(tmp_path / "m", "2_Dense", "link", call=lambda path: open_source(path).folder.json("2_Dense/config.json"))


@pytest.mark.parametrize("name", ["spec.json", "meta.json", "model.safetensors"])
def test_h46_a_native_folder_is_a_stranger_as_well(tmp_path: Path, name: str) -> None:
    folder = ph.load(put(tmp_path / "hf", LLAMA, llama_weights())).save(tmp_path / "m", to="native")
    assert ph.load(folder)
    (folder / name).rename(tmp_path / "secret")
    link(folder / name, tmp_path / "secret")
    refused(folder, name, "link", call=ph.load)


def test_h47_index_and_shards_must_agree(tmp_path: Path) -> None:
    twice = put_shards(tmp_path / "twice")
    (twice / SHARD).write_bytes((twice / SHARD.replace("00001", "00002")).read_bytes())
    refused(twice, SHARD.replace("00001", "00002"), "'h.0.bias'", "as well")
    missing = put_shards(tmp_path / "missing", places={"more": SHARD})
    refused(missing, INDEX, "'more'", "no file")
    extra = put_shards(tmp_path / "extra", {"x": torch.ones(1), "y": torch.ones(2)})
    shards = sorted(path.name for path in extra.glob("*.safetensors"))
    (extra / shards[0]).write_bytes((put(tmp_path / "z", weights={"x": torch.ones(1), "z": torch.ones(1)}) / "model.safetensors").read_bytes())
    refused(extra, INDEX, "'z'", shards[0])
    swapped = put_shards(tmp_path / "swapped", places={"wte.weight": SHARD.replace("1-", "2-"), "h.0.bias": SHARD})
    refused(swapped, INDEX, "weight_map")
    absent = put_shards(tmp_path / "absent")
    (absent / SHARD).unlink()
    refused(absent, INDEX, SHARD, "download")


def test_h48_an_index_of_too_many_shards(tmp_path: Path) -> None:
    put_index(put_shards(tmp_path), {f"t{n}": f"{n}.safetensors" for n in range(source.MAX_SHARDS + 1)})
    refused(tmp_path, INDEX, "5,001")
    with open(tmp_path / INDEX, "wb") as file:  # a million of them
        file.truncate(40_000_000)
    refused(tmp_path, INDEX, "25,000,000 bytes")


# The disk


def test_h51_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put_shards(tmp_path)
    genuine = os.open
    for name in ("config.json", INDEX, SHARD):

        def denied(path: Any, *arguments: Any, name: str = name, **options: Any) -> int:
            if str(path).endswith(name):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return genuine(path, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", denied)
            refused(folder, name, "Permission denied")


def test_h51_a_folder_that_may_only_be_read_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "m")

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", read_only)
    monkeypatch.setattr(os, "replace", read_only)
    assert holds(tmp_path / "m", tensors())
    with pytest.raises(DiskError, match="could not be written") as caught:
        write_hf(tmp_path / "m", CONFIG, tensors())
    assert "Read-only" in str(caught.value)


def test_h51_a_full_disk_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path)
    monkeypatch.setattr("polyhead.checkpoint.files.free_bytes", lambda _: 1000)
    with pytest.raises(DiskError, match="disk is full") as caught:
        write_hf(tmp_path, CONFIG, {"x": torch.ones(1)})
    assert "1,000 bytes free" in str(caught.value)
    assert holds(tmp_path, tensors())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_h51_a_folder_removed_while_it_is_loaded(tmp_path: Path) -> None:
    folder = put_shards(tmp_path)
    opened = open_source(folder)
    kept = opened.tensors["wte.weight"].get()
    for path in folder.iterdir():
        path.unlink()
    assert same(kept, tensors()["wte.weight"])
    refused(folder, SHARD.replace("1-", "2-"), "cannot be read", call=lambda _: opened.tensors["h.0.bias"].get())


def test_h52_a_file_swapped_between_check_and_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = put(tmp_path / "m"), put(tmp_path / "o", weights={name: t + 1 for name, t in tensors().items()})
    opened = open_source(folder)
    os.replace(other / "model.safetensors", folder / "model.safetensors")
    refused(folder, "model.safetensors", "replaced", call=lambda _: opened.tensors["wte.weight"].get())
    opened = open_source(folder)
    opened.tensors["wte.weight"].get()
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate(100)
    refused(folder, "model.safetensors", "written", call=lambda _: opened.tensors["wte.weight"].get())
    genuine = source.safe_open
    again = put(tmp_path / "n")
    put(tmp_path / "p", weights={"wte.weight": torch.ones(2)})

    def swap(*arguments: Any, **options: Any) -> Any:
        os.replace(tmp_path / "p" / "model.safetensors", again / "model.safetensors")
        return genuine(*arguments, **options)

    opened = open_source(again)
    monkeypatch.setattr(source, "safe_open", swap)
    refused(again, "model.safetensors", "replaced", call=lambda _: opened.tensors["wte.weight"].get())


# What loading does, seen by the interpreter's own audit

WATCHED = """
import json, os, sys, resource
import polyhead as ph, polyhead.checkpoint as c
from polyhead.errors import UserError

good, *folders = sys.argv[1:]

def load(folder):
    source = c.open_source(folder)
    sums = [lazy.get().sum() for lazy in source.tensors.values()]
    return sums, ph.load(folder) if source.config.get("model_type") == "llama" else None

load(good)  # what is imported late is imported now
events, root = [], ""
INNOCENT = ("builtins.id", "object.__", "sys._getframe", "os.scandir", "os.listdir", "code.__new__", "gc.", "cpython.", "import")
def hook(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        inside = isinstance(path, int) or (os.path.realpath(path) + "/").startswith(root + "/")  # int: already opened
        if not inside or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            events.append([event, str(path)])
    elif not event.startswith(INNOCENT) and root:
        events.append([event, str(arguments)[:200]])
    elif event == "import" and arguments[0].split(".")[0] not in ("torch", "polyhead", "safetensors"):
        events.append([event, arguments[0]])
sys.addaudithook(hook)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answers = []
for folder in (good, *folders):
    root = os.path.realpath(folder)
    try:
        load(folder)
        answers.append("")
    except UserError as error:
        answers.append(str(error))
root = "/"
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"events": events, "answers": answers, "grown": grown}))
"""


def test_loading_runs_nothing_opens_nothing_else_and_grows_by_nothing_declared(tmp_path: Path) -> None:
    """Law of all the above, in a process that watches itself: no exec, import, socket or write; no file elsewhere."""
    good = put(tmp_path / "good", LLAMA, llama_weights())
    names = {"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    evil = put(tmp_path / "evil", LLAMA | {"auto_map": names, "trust_remote_code": True, "_attn_implementation_internal": "a/b"}, llama_weights())
    (evil / "modeling_evil.py").write_text("raise SystemExit('ran')")
    wide, deep, many = (
        put(tmp_path / key, LLAMA | {key: size}, llama_weights())
        for key, size in (("hidden_size", 10**6), ("num_hidden_layers", 10**4), ("vocab_size", 2**31 - 1))
    )
    (tmp_path / "secret").write_text("{}")
    escape = put_shards(tmp_path / "escape", places={"wte.weight": "../secret"})
    outside = put(tmp_path / "outside")
    (outside / "config.json").unlink()
    link(outside / "config.json", tmp_path / "secret")
    huge = put(tmp_path / "huge")
    with open(huge / "config.json", "wb") as file:
        file.truncate(3_000_000_000)
    header = put(tmp_path / "header") / "model.safetensors"
    header.write_bytes(raw(b"{", length=24_000_000))
    os.truncate(header, 2_000_000_000)
    shape = put(tmp_path / "shape") / "model.safetensors"
    shape.write_bytes(raw(b'{"x":{"dtype":"F32","shape":[250000000000],"data_offsets":[0,1000000000000]}}', bytes(4)))
    folders = [good, evil, wide, deep, many, escape, outside, huge, header.parent, shape.parent]
    done = subprocess.run([sys.executable, "-c", WATCHED, *map(str, folders)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["events"] == []
    assert found["answers"][:2] == ["", ""] and all(found["answers"][2:])
    assert sys.platform != "linux" or found["grown"] < 60_000, "kilobytes"
