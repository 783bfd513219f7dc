"""Pickled weights: on request alone, in a child, and never as a program (H21-H32)."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from polyhead.checkpoint import legacy, open_source, read_tensors
from polyhead.errors import CheckpointError

from .folders import CONFIG, put, refused, same, tensors


class Program:
    """What unpickles to a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


def pickled(folder: Path, state: Any, name: str = "pytorch_model.bin", **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    torch.save(state, folder / name, **options)
    return folder


def fault(folder: Path, name: str = "pytorch_model.bin") -> str:
    """Why the child would refuse the file; nothing is written."""
    with pytest.raises(Exception) as caught:
        legacy.convert(folder / name, folder / "out.safetensors")
    reason = legacy._reason(caught.value)
    assert not (folder / "out.safetensors").exists()
    assert "False" not in reason and "trust" not in reason and len(reason) < 400, "advice to load it unsafely"
    return reason


def rewritten(path: Path, change: Any) -> None:
    """Write the archive again, each record as `change(name, data)` says: (name, data, compression)."""
    with zipfile.ZipFile(path) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records:
            name, data, compression = change(name, data)
            archive.writestr(zipfile.ZipInfo(name), data, compression)


def test_without_the_request_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    refused(pickled(tmp_path, {"x": torch.ones(1)}), "pytorch_model.bin", "never opened", "--unsafe-pickle")


def test_a_child_turns_shards_into_safetensors_that_live_as_long_as_their_tensors(tmp_path: Path) -> None:
    weight = torch.randn(3, 4)
    first, second = {"a": weight, "b": weight, "t": weight.t()}, {"c": torch.nn.Parameter(weight.bfloat16())}
    pickled(tmp_path, first, "pytorch_model-00001-of-00002.bin")
    pickled(tmp_path, second, "pytorch_model-00002-of-00002.bin", _use_new_zipfile_serialization=False)
    places = {name: f"pytorch_model-0000{1 if name in first else 2}-of-00002.bin" for name in first | second}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    source = open_source(tmp_path, unsafe_pickle=True)
    assert set(source.tensors) == set(first | second)
    assert all(same(lazy.get(), (first | second)[name].detach()) for name, lazy in source.tensors.items())
    temporary = source.files[0].parent
    lazy, kept = source.tensors["c"], source.tensors["a"].get()
    assert temporary != tmp_path
    del source
    assert same(lazy.get(), weight.bfloat16()), "the files went before the last tensor"
    del lazy
    assert not temporary.exists()
    assert same(kept, weight)


def test_safetensors_go_first_even_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    pickled(put(tmp_path), {"x": Program(os.system, "true")})
    assert set(open_source(tmp_path, unsafe_pickle=True).tensors) == set(tensors())


def test_h21_a_program_in_a_bin_does_not_run_and_the_child_says_which(tmp_path: Path) -> None:
    pickled(tmp_path, {"x": Program(os.system, f"touch {tmp_path}/harm")})
    with pytest.raises(CheckpointError) as caught:
        open_source(tmp_path, unsafe_pickle=True)
    assert "posix.system" in str(caught.value) or "nt.system" in str(caught.value)
    assert "pytorch_model.bin" in str(caught.value) and "weights_only" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited through Linux")
def test_h24_a_child_takes_no_more_memory_than_its_file_explains(tmp_path: Path) -> None:
    pickled(tmp_path, {"x": Program(bytearray, 20 * 10**9)})
    with pytest.raises(CheckpointError, match="more memory than its size explains"):
        open_source(tmp_path, unsafe_pickle=True)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_h21_h23_calls_however_they_are_spelt(tmp_path: Path) -> None:
    for call in ((os.system, "true"), (eval, "1"), (getattr, 1, "real"), (subprocess.run, "true"), (open, "x", "w")):
        assert fault(pickled(tmp_path, {"x": Program(*call)}))
    # STACK_GLOBAL takes its names from the stack, where they may have been put together from parts.
    data = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."
    pickled(tmp_path, {})
    rewritten(tmp_path / "pytorch_model.bin", lambda name, old: (name, data if name.endswith("data.pkl") else old, 0))
    assert fault(tmp_path)


def test_h22_a_pickle_that_calls_itself_safetensors(tmp_path: Path) -> None:
    pickled(tmp_path, {"x": torch.ones(2)}, "model.safetensors")
    refused(tmp_path, "model.safetensors", "header length")
    pickled(tmp_path, {"x": torch.ones(2)}, "model.safetensors", _use_new_zipfile_serialization=False)
    refused(tmp_path, "model.safetensors")


def test_h24_compressed_records_are_not_expanded(tmp_path: Path) -> None:
    pickled(tmp_path, {"x": torch.zeros(250_000)})
    rewritten(tmp_path / "pytorch_model.bin", lambda name, data: (name, data, zipfile.ZIP_DEFLATED))
    assert os.path.getsize(tmp_path / "pytorch_model.bin") < 10_000
    assert "compressed" in fault(tmp_path)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "archive/..\\x"])
def test_h25_records_that_are_paths_out_of_the_archive(tmp_path: Path, name: str) -> None:
    pickled(tmp_path, {"x": torch.zeros(2)})
    rewritten(tmp_path / "pytorch_model.bin", lambda old, data: (name if old.endswith("/0") else old, data, 0))
    assert "path" in fault(tmp_path)


def test_h26_wrong_flags_and_checksums(tmp_path: Path) -> None:
    path = pickled(tmp_path, {"x": torch.arange(8)}) / "pytorch_model.bin"
    sound = path.read_bytes()
    entry = sound.rindex(b"PK\x01\x02")
    path.write_bytes(sound[: entry + 8] + b"\x01" + sound[entry + 9 :])
    assert "encrypted" in fault(tmp_path)
    begin = sound.index(struct.pack("<8q", *range(8)))
    path.write_bytes(sound[:begin] + b"\xff" + sound[begin + 1 :])
    try:  # a checksum that is wrong may be found or not: the bytes are data and nothing else
        legacy.convert(path, tmp_path / "out.safetensors")
    except Exception as error:
        assert legacy._reason(error)
    else:
        assert read_tensors(tmp_path / "out.safetensors")["x"][1:].tolist() == list(range(1, 8))


def test_h27_the_tar_format_and_other_archives(tmp_path: Path) -> None:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    for data in (buffer.getvalue(), b"", b"PK\x03\x04", b"\x80", b"\x80\x02}q\x00.", b"\x1f\x8b\x08"):
        (tmp_path / "pytorch_model.bin").write_bytes(data)
        assert fault(tmp_path)


def test_h28_storages_larger_than_their_records(tmp_path: Path) -> None:
    pickled(tmp_path, {"x": torch.zeros(1).expand(10**12)})
    assert "'x' declares 4,000,000,000,000 bytes" in fault(tmp_path)
    pickled(tmp_path, {f"x{n}": tensor for n, tensor in enumerate([torch.zeros(10_000)] * 9)})
    assert "declare 360,000 bytes" in fault(tmp_path)
    pickled(tmp_path, {"x": torch.zeros(1000)})
    rewritten(tmp_path / "pytorch_model.bin", lambda name, data: (name, data[:8] if name.endswith("data/0") else data, 0))
    assert fault(tmp_path)


@pytest.mark.parametrize(
    "state",
    [[torch.ones(1)], torch.ones(1), {"model": {"x": torch.ones(1)}}, {"x": 3}, {3: torch.ones(1)}, {"../x": torch.ones(1)},
     {"x": torch.eye(2).to_sparse()}, {"x": torch.ones(2, dtype=torch.complex128)}],
    ids=["list", "tensor", "nested", "number", "numbered", "path", "h29 sparse", "complex"],
)  # fmt: skip
def test_h29_what_is_no_plain_set_of_dense_tensors(tmp_path: Path, state: Any) -> None:
    assert fault(pickled(tmp_path, state))


@pytest.mark.parametrize("name", ["weights.npy", "weights.npz", ".metadata", "model.pt", "model.ckpt", "model.gguf", "tf_model.h5"])
def test_h30_h31_h32_other_formats_are_named_and_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    os.mkfifo(tmp_path / name)  # whoever opens it waits for ever
    refused(tmp_path, name, "never opened")


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "SECONDS", 0.05)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match="took more than 0 s"):
        open_source(pickled(tmp_path, {"x": torch.ones(1)}), unsafe_pickle=True)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("result", [(-9, ""), (1, "{}"), (0, ""), (0, "[]"), (0, "nonsense")])
def test_a_child_that_dies_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: tuple[int, str]) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], *result))
    with pytest.raises(CheckpointError, match="ended with"):
        open_source(pickled(tmp_path, {"x": torch.ones(1)}), unsafe_pickle=True)


def test_the_child_gets_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    seen: dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "run", lambda *_, **options: seen.update(options) or subprocess.CompletedProcess([], 1, ""))
    with pytest.raises(CheckpointError):
        open_source(pickled(tmp_path, {"x": torch.ones(1)}), unsafe_pickle=True)
    assert "HF_TOKEN" not in seen["env"]


def test_the_childs_guard(tmp_path: Path) -> None:
    hook = legacy._guard(os.path.realpath(tmp_path))
    for event in ("os.system", "subprocess.Popen", "socket.connect", "os.exec", "os.fork", "ctypes.dlopen", "shutil.rmtree"):
        with pytest.raises(PermissionError):
            hook(event, ())
    write = os.O_WRONLY | os.O_CREAT
    for path in ("/tmp/x", str(tmp_path.parent / "x"), str(tmp_path / "sub" / "x"), f"{tmp_path}/../x", 3):
        with pytest.raises(PermissionError):
            hook("open", (path, None, write))
    hook("open", (str(tmp_path / "x"), None, write))
    hook("open", ("/etc/passwd", "r", os.O_RDONLY))
    hook("import", ("torch", None, None, None, None))


def test_the_childs_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    bounds: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: bounds.update({kind: pair}))
    legacy._limit(1000, 5)
    assert bounds[resource.RLIMIT_CPU] == (6, 6) and bounds[resource.RLIMIT_CORE] == (0, 0)
    assert 10**9 < bounds[resource.RLIMIT_AS][0] < 10**11
    assert bounds[resource.RLIMIT_FSIZE][0] < 10**8
