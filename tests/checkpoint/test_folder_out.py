"""A Hugging Face folder, written: what is read back, what is refused, and what a crash leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import polyhead as ph
from polyhead.checkpoint import later, open_source, read_header, write_hf
from polyhead.errors import CheckpointError, DiskError

from .folders import CONFIG, LLAMA, holds, llama_weights, put, put_shards, refused, same, tensors


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_read_back_bit_for_bit_also_by_the_library(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    files = write_hf(tmp_path / "m", CONFIG, tensors(), extra_json={"generation_config.json": {"top_k": 3}})
    assert files == [tmp_path / "m" / "model.safetensors"]
    assert entries(tmp_path / "m") == ["config.json", "generation_config.json", "model.safetensors"]
    assert holds(tmp_path / "m", tensors())
    assert open_source(tmp_path / "m").config == CONFIG
    assert read_header(files[0]).metadata == {"format": "pt"}
    assert all(same(tensor, tensors()[name]) for name, tensor in load_file(files[0]).items())


def test_shards_hold_what_the_index_says_and_no_more_than_allowed(tmp_path: Path) -> None:
    files = write_hf(tmp_path, CONFIG, tensors(), max_shard_bytes=60)
    assert [file.name for file in files] == [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {"wte.weight": files[0].name} | dict.fromkeys(list(tensors())[1:], files[1].name)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors().values())
    assert holds(tmp_path, tensors())


@pytest.mark.parametrize("kind", ["later", "pairs", "lazy"])
def test_tensors_may_be_made_one_at_a_time(tmp_path: Path, kind: str) -> None:
    alive = most = 0
    class Counted(torch.Tensor):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def make(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal alive, most
        if tensor.is_meta:
            return tensor.t()
        alive += 1
        most = max(most, alive)
        return tensor.t().contiguous().as_subclass(Counted)

    given = {f"x{n}": torch.randn(3, n, generator=torch.Generator().manual_seed(n)) for n in range(1, 6)}
    if kind == "lazy":
        written = open_source(put(tmp_path / "a", weights=given)).tensors
        expected = given
    else:
        expected = {name: tensor.t() for name, tensor in given.items()}
        written = {name: later(make, tensor) for name, tensor in given.items()}
        if kind == "pairs":
            written = ((name, make(tensor)) for name, tensor in given.items())
    write_hf(tmp_path / "m", CONFIG, written, max_shard_bytes=40)
    assert holds(tmp_path / "m", expected)
    assert kind == "lazy" or 1 <= most <= 2
    assert not [name for name in entries(tmp_path / "m") if name.startswith(".")]


def test_floating_point_is_stored_as_asked_and_nothing_else_is_touched(tmp_path: Path) -> None:
    for kind in ("mapping", "pairs"):
        given = tensors() if kind == "mapping" else iter(tensors().items())
        write_hf(tmp_path / kind, CONFIG, given, dtype=torch.float16)
        assert holds(tmp_path / kind, {n: t.half() if t.is_floating_point() else t for n, t in tensors().items()})


def test_no_tensors_and_empty_ones(tmp_path: Path) -> None:
    for kind in (dict, lambda pairs: iter(pairs)):
        for pairs in ([], [("x", torch.empty(0, 3)), ("y", torch.ones(1))]):
            write_hf(tmp_path / "m", CONFIG, kind(pairs))
            assert holds(tmp_path / "m", dict(pairs))


def test_a_weight_with_two_names_is_written_under_both(tmp_path: Path) -> None:
    weight = torch.randn(4, 3)
    write_hf(tmp_path, CONFIG, {"a": weight, "b": weight, "row": weight[1]})
    assert holds(tmp_path, {"a": weight, "b": weight, "row": weight[1]})


@pytest.mark.parametrize("shards", [False, True])
def test_writing_over_the_folder_the_tensors_come_from(tmp_path: Path, shards: bool) -> None:
    (put_shards if shards else put)(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "generation_config.json").write_text('{"old": 1}')
    (tmp_path / "spec.json").write_text("{}")
    source = open_source(tmp_path)
    kept = source.tensors["wte.weight"].get()
    write_hf(tmp_path, {"model_type": "new"}, source.tensors, max_shard_bytes=10**9 if shards else 60)
    assert holds(tmp_path, tensors())
    assert open_source(tmp_path).config == {"model_type": "new"}
    assert same(kept, tensors()["wte.weight"])
    weights = ["model.safetensors"] if shards else [*(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)), "model.safetensors.index.json"]
    assert entries(tmp_path) == sorted(["config.json", *weights])  # the tokenizer was the old model's


def test_more_files_come_with_it(tmp_path: Path) -> None:
    def also(stage: Path) -> None:
        (stage / "tokenizer.json").write_text("new")
        (stage / "2_Dense").mkdir()
        (stage / "2_Dense" / "x.txt").write_text("x")

    (tmp_path / "tokenizer.json").write_text("old")
    write_hf(tmp_path, CONFIG, tensors(), extra_json={"1_Pooling/config.json": {"a": 1}, "modules.json": [1]}, also=also)
    assert entries(tmp_path) == ["1_Pooling", "2_Dense", "config.json", "model.safetensors", "modules.json", "tokenizer.json"]
    assert (tmp_path / "tokenizer.json").read_text() == "new"
    assert open_source(tmp_path).folder.object("1_Pooling/config.json") == {"a": 1}


def test_the_two_kinds_of_folder_replace_each_other_whole(tmp_path: Path) -> None:
    model = ph.load(put(tmp_path / "hf", LLAMA, llama_weights()))
    for kind, present, absent in (("native", "spec.json", "config.json"), ("hf", "config.json", "spec.json")) * 2:
        (tmp_path / "m").mkdir(exist_ok=True)
        for name in ("vocab.txt", "merges.txt", "tokenizer_config.json"):  # of another model
            (tmp_path / "m" / name).write_text("{}")
        model.save(tmp_path / "m", to=kind)
        assert not {"vocab.txt", "merges.txt", "tokenizer_config.json"} & set(entries(tmp_path / "m"))
        assert present in entries(tmp_path / "m") and absent not in entries(tmp_path / "m")
        assert same(next(ph.load(tmp_path / "m").net.parameters()).detach(), next(model.net.parameters()).detach())


def test_places_where_no_model_belongs(tmp_path: Path) -> None:
    def out(folder: Path) -> None:
        write_hf(folder, CONFIG, tensors())

    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    refused(tmp_path / "home", "letter.txt", "another folder", call=out)
    (tmp_path / "home" / "config.json").write_text('{"port": 80}')
    refused(tmp_path / "home", "letter.txt", call=out)
    (tmp_path / "home" / "config.json").write_text('{"model_type": "gpt2"}')
    out(tmp_path / "home")
    assert "letter.txt" in entries(tmp_path / "home")
    refused(tmp_path / "home" / "letter.txt", "a file", call=out)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text('{"model_type": "gpt2"}')
    refused(tmp_path / "run", "run", call=out)
    refused(tmp_path / "models--a--b" / "snapshots" / "c", "cache", call=out)
    assert not (tmp_path / "models--a--b").exists()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"config": {"eps": float("nan")}}, "config.json.eps"),
        ({"extra_json": {"../x.json": {}}}, "'../x.json'"),
        ({"extra_json": {"a.txt": {}}}, "a.txt"),
        ({"tensors": {"x": torch.empty(2, device="meta")}}, "'x'"),
        ({"tensors": {"x": torch.ones(2, dtype=torch.complex128)}}, "'x'"),
        ({"tensors": {"x": 3}}, "'x'"),
        ({"tensors": {"../x": torch.ones(2)}}, "'../x'"),
        ({"tensors": iter([("x", torch.ones(1)), ("x", torch.ones(2))])}, "twice"),
        ({"tensors": {"x": later(lambda t: t if t.is_meta else t[:1], torch.ones(2))}}, "announced"),
    ],
)
def test_what_cannot_be_stored_leaves_no_trace(tmp_path: Path, changes: dict, word: str) -> None:
    given = {"config": CONFIG, "tensors": tensors(), **changes}
    with pytest.raises(CheckpointError, match=word.replace("/", r"\/").replace(".", r"\.")):
        write_hf(tmp_path / "m", **given)
    assert not (tmp_path / "m").exists()


class Crash(BaseException):
    pass


def run_until(monkeypatch: pytest.MonkeyPatch, stop: int, error: BaseException, work: Callable[[], object]) -> bool:
    """Run `work` with the call number `stop` that changes the disk failing; whether it was reached."""
    count = 0
    with monkeypatch.context() as patch:
        for name in ("open", "write", "mkdir", "rename", "replace"):
            genuine = getattr(os, name)

            def call(*arguments, genuine=genuine, **options):
                nonlocal count
                count += 1
                if count == stop or (count > stop and isinstance(error, Crash)):  # the dead tidy nothing up
                    raise error
                return genuine(*arguments, **options)

            patch.setattr(os, name, call)
        for name in ("unlink", "rmdir"):
            genuine = getattr(os, name)
            patch.setattr(os, name, lambda *a, genuine=genuine, **o: None if count >= stop and isinstance(error, Crash) else genuine(*a, **o))
        try:
            work()
        except (Crash, DiskError, CheckpointError):
            return True
    return False


@pytest.mark.parametrize("error", [Crash(), OSError(28, "no space")], ids=["killed", "disk full"])
def test_whenever_it_stops_the_folder_holds_the_old_model_the_new_one_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    new = {name: tensor + 1 for name, tensor in tensors().items()}
    outcomes = set()
    for stop in range(1, 200):
        folder = put_shards(tmp_path / str(stop))
        (folder / "a.json").write_text('{"is": "old"}')
        (folder / "z.json").write_text('{"is": "old"}')
        side = {name: {"is": "new"} for name in ("a.json", "z.json")}
        options = {"extra_json": side, "max_shard_bytes": 60}
        if not run_until(monkeypatch, stop, error, lambda f=folder, o=options: write_hf(f, {"model_type": "new"}, new, **o)):
            break
        try:
            source = open_source(folder)
        except CheckpointError:
            outcomes.add("none")
            write_hf(folder, CONFIG, tensors())
            assert holds(folder, tensors())
            continue
        is_new = source.config == {"model_type": "new"}
        assert holds(folder, new if is_new else tensors()), stop
        outcomes.add("new" if is_new else "old")
        for name in side:
            assert source.folder.object(name) == {"is": "new" if is_new else "old"}, stop
        if isinstance(error, OSError) and not is_new:
            assert entries(folder) == sorted([*entries(put_shards(tmp_path / "whole")), *side]), stop
    assert stop > 15
    assert outcomes == ({"old", "new"} if isinstance(error, OSError) else {"old", "none", "new"})
    write_hf(folder, CONFIG, tensors())
    assert holds(folder, tensors())


def test_what_a_killed_process_left_is_cleared_away_and_never_read(tmp_path: Path) -> None:
    put(tmp_path)
    left = tmp_path / ".tmp-hf.1-abcd"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    write_hf(tmp_path, CONFIG, tensors())
    assert left.exists(), "another process may still write it"
    os.utime(left, (0, 0))
    write_hf(tmp_path, CONFIG, tensors())
    assert not left.exists()
    assert holds(tmp_path, tensors())
