"""A Hugging Face folder as files: what is there is found, mapped, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from polyhead.checkpoint import open_source
from polyhead.errors import CheckpointError

from .folders import CONFIG, holds, link, put, put_shards, refused, same, tensors


@pytest.mark.parametrize("make", [put, put_shards])
def test_config_and_tensors_are_what_was_written(tmp_path: Path, make) -> None:
    source = open_source(make(tmp_path / "m"))
    assert source.config == CONFIG
    assert {lazy.name for lazy in source.tensors.values()} == set(source.tensors) == set(tensors())
    for name, tensor in tensors().items():
        lazy = source.tensors[name]
        assert (lazy.shape, lazy.dtype, lazy.nbytes) == (tensor.shape, tensor.dtype, tensor.nbytes)
        assert same(lazy.get(), tensor) and lazy.file in source.files
    assert len(source.files) == (1 if make is put else 4)
    assert source.tensors.nbytes == sum(tensor.nbytes for tensor in tensors().values())


def test_one_file_goes_before_an_index(tmp_path: Path) -> None:
    put(put_shards(tmp_path), weights={"x": torch.ones(1)})
    assert set(open_source(tmp_path).tensors) == {"x"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures resident memory through /proc")
def test_opening_reads_no_data_and_a_tensor_is_mapped_once(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    put(tmp_path, weights={"x": torch.ones(10_000_000), "y": torch.ones(3)})
    source = open_source(tmp_path)
    before = resident()
    x = source.tensors["x"].get()
    assert resident() - before < 10_000_000
    assert source.tensors["x"].get().data_ptr() == x.data_ptr(), "mapped twice"
    x[0] = 7
    assert open_source(tmp_path).tensors["x"].get()[0] == 1, "writing to a mapped tensor reached the file"


def test_side_files_are_read_by_plain_names(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (tmp_path / "modules.json").write_text('[{"path": ""}]')
    (tmp_path / "merges.txt").write_text("ü b")
    folder = open_source(tmp_path).folder
    assert folder.object("1_Pooling/config.json") == {"pooling_mode_mean_tokens": True}
    assert folder.json("modules.json") == [{"path": ""}]
    assert folder.text("merges.txt") == "ü b"
    assert folder.json("generation_config.json") is None
    assert folder.find("tokenizer.json") is None
    refused(tmp_path, "modules.json", "object", call=lambda _: folder.object("modules.json"))
    for name in ("../x.json", "1_Pooling/../../x.json", "/etc/passwd", "a\\b", "", "a//b", "x\0y", "a" * 300):
        refused(tmp_path, "name", call=lambda _, name=name: folder.json(name))


def test_the_tensors_of_a_sub_folder(tmp_path: Path) -> None:
    put(tmp_path)
    put(tmp_path / "2_Dense", weights={"linear.weight": torch.ones(2, 3)})
    source = open_source(tmp_path)
    assert torch.equal(source.inner("2_Dense")["linear.weight"].get(), torch.ones(2, 3))
    refused(tmp_path, "3_Dense", "lacks", call=lambda _: source.inner("3_Dense"))
    refused(tmp_path, "plain names", call=lambda _: source.inner(".."))


def test_what_is_no_folder_of_a_model_says_so(tmp_path: Path) -> None:
    refused(tmp_path / "none", "does not exist")
    refused(tmp_path, "config.json")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    refused(tmp_path / "config.json", "a file", "name the folder")
    refused(tmp_path, "model.safetensors.index.json", "neither")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    refused(tmp_path, "pytorch_model.bin", "never opened", "safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    refused(tmp_path, "adapter", "merge it")


def test_the_hubs_cache_is_one_root_links_to_blobs_are_its_own_files(tmp_path: Path) -> None:
    real = put(tmp_path / "plain")
    repo = tmp_path / "models--owner--name"
    snapshot = repo / "snapshots" / "abc"
    (snapshot / "1_Pooling").mkdir(parents=True)
    (repo / "blobs").mkdir()
    for name in ("config.json", "model.safetensors"):
        (real / name).rename(repo / "blobs" / f"sha-{name}")
        link(snapshot / name, Path("..", "..", "blobs", f"sha-{name}"))
    (repo / "blobs" / "pool").write_text('{"a": 1}')
    link(snapshot / "1_Pooling" / "config.json", Path("..", "..", "..", "blobs", "pool"))
    assert holds(snapshot, tensors())
    assert open_source(snapshot).folder.object("1_Pooling/config.json") == {"a": 1}
    assert {path.name for path in open_source(snapshot).files} == {"model.safetensors"}, "a blob's hash helps nobody"
    other = tmp_path / "models--other--name" / "blobs"
    other.mkdir(parents=True)
    (other / "secret").write_text("{}")
    for target in (other / "secret", repo / "refs", tmp_path / "plain" / ".." / "x"):
        (snapshot / "generation_config.json").unlink(missing_ok=True)
        link(snapshot / "generation_config.json", target)
        refused(snapshot, "a link", call=lambda path: open_source(path).folder.json("generation_config.json"))


def test_links_within_the_folder_and_to_the_folder_are_followed(tmp_path: Path) -> None:
    folder = put(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    link(folder / "model.safetensors", "other.safetensors")
    link(tmp_path / "alias", folder)
    assert holds(tmp_path / "alias", tensors())


def test_data_that_starts_at_an_odd_byte_is_copied_to_an_even_one(tmp_path: Path) -> None:
    path = put(tmp_path) / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    pad = 9 - length % 8
    path.write_bytes((length + pad).to_bytes(8, "little") + data[8 : 8 + length] + b" " * pad + data[8 + length :])
    found = open_source(tmp_path).tensors
    assert all(same(lazy.get(), tensors()[name]) for name, lazy in found.items())
    assert all(lazy.get().data_ptr() % lazy.dtype.itemsize == 0 for lazy in found.values())


def test_a_file_that_is_gone_stays_readable_where_it_is_mapped(tmp_path: Path) -> None:
    put(tmp_path)
    source = open_source(tmp_path)
    kept = source.tensors["wte.weight"].get()
    (tmp_path / "model.safetensors").unlink()
    assert same(kept, tensors()["wte.weight"])
    with pytest.raises(CheckpointError, match="cannot be read"):
        source.tensors["ln.weight"].get()
