"""Checkpoints of a run: what was saved comes back, and only what is whole comes back."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyhead.checkpoint import latest, manifest, save, saved, steps, store
from polyhead.errors import CheckpointError, DiskError, NonFiniteError

from .runs import check, entries, groups, store_step


def flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


# Saving and loading


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = store_step(tmp_path / "run" / "checkpoints", 1234)
    assert path == tmp_path / "run" / "checkpoints" / "step-00001234"
    assert entries(path) == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "rng.safetensors",
        "state.json",
    ]
    found = check(path.parent, 1234)
    assert found.path == path
    assert found.skipped == []
    assert sorted(found.groups) == ["model", "optimizer", "rng"]


def test_missing_and_empty_folders_have_no_checkpoint(tmp_path: Path) -> None:
    assert latest(tmp_path / "none") is None
    assert latest(tmp_path) is None
    assert steps(tmp_path / "none") == []
    (tmp_path / ".tmp-step-00000003.1-a").mkdir()
    (tmp_path / ".DS_Store").touch()
    assert latest(tmp_path) is None


def test_floats_of_the_state_come_back_bit_for_bit(tmp_path: Path) -> None:
    draw = random.Random(0)
    values = [struct.unpack("<d", draw.randbytes(8))[0] for _ in range(2000)]
    values = [value for value in values if math.isfinite(value)] + [-0.0, 5e-324, 1.7976931348623157e308, 0.1]
    save(tmp_path, 1, {}, {"values": values, "big": 2**200, "text": "ü \ud800 \x00 \u2028"})
    found = latest(tmp_path)
    assert found is not None
    assert [value.hex() for value in found.state["values"]] == [value.hex() for value in values]
    assert found.state["big"] == 2**200
    assert found.state["text"] == "ü \ud800 \x00 \u2028"


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"a": {"b": [1.0, math.nan]}}, "state.a.b[1]"),
        ({"a": math.inf}, "state.a"),
        ({"a": {1: 2}}, "key 1 of state.a"),
        ({"a": (1, 2)}, "state.a"),
        ({"a": torch.ones(1)}, "state.a"),
        ({"a": b"x"}, "state.a"),
    ],
)
def test_state_that_json_would_change_is_refused_by_its_place(tmp_path: Path, state: dict, place: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        save(tmp_path / "new", 1, groups(1), state)
    assert place in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex64])
def test_h20_a_broken_tensor_never_replaces_a_good_checkpoint(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    store_step(tmp_path, 1, keep=1)
    broken = torch.zeros(50, dtype=dtype)
    broken[31] = value
    with pytest.raises(NonFiniteError, match="optimizer 'm' holds NaN or infinity"):
        save(tmp_path, 2, {"model": {"w": torch.ones(2)}, "optimizer": {"m": broken}}, {}, keep=1)
    assert entries(tmp_path) == ["step-00000001"]
    check(tmp_path, 1)


@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"step": True}, {"step": 1.5}, {"keep": 0}, {"tensors": {"../x": {}}}, {"tensors": {"state.json": {}}}],
    ids=str,
)  # fmt: skip
def test_wrong_arguments_are_refused(tmp_path: Path, change: dict) -> None:
    arguments = {"folder": tmp_path / "new", "step": 1, "tensors": {}, "state": {}} | change
    with pytest.raises(CheckpointError):
        save(**arguments)
    assert not (tmp_path / "new").exists()


def test_asking_for_a_group_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    store_step(tmp_path, 1)
    with pytest.raises(CheckpointError, match="model, optimizer, rng"):
        check(tmp_path, 1).load("ema")


# Keeping the last few


def test_b9_keep_one_never_deletes_the_only_good_checkpoint(tmp_path: Path) -> None:
    for step in range(5):
        store_step(tmp_path, step, keep=1)
        assert steps(tmp_path) == [step]
        check(tmp_path, step)


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 5])
def test_keeps_the_last_k_and_the_protected(tmp_path: Path, keep: int) -> None:
    for step in range(10):
        store_step(tmp_path, step, keep=keep, protect={2, 3})
    assert steps(tmp_path) == sorted({2, 3} | set(range(10 - keep, 10)))


def test_damaged_ones_do_not_count_towards_keep_and_go_with_the_old_ones(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        store_step(tmp_path, step, keep=5)
    os.truncate(tmp_path / "step-00000003" / "model.safetensors", 10)
    store_step(tmp_path, 4, keep=2)
    assert steps(tmp_path) == [2, 3, 4], "the good one of step 2 is the second good one"
    store_step(tmp_path, 5, keep=2)
    assert steps(tmp_path) == [4, 5]


def test_later_steps_and_folders_that_are_not_ours_are_never_removed(tmp_path: Path) -> None:
    store_step(tmp_path, 9)
    (tmp_path / "step-00000001").mkdir()
    (tmp_path / "step-00000001" / "thesis.txt").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    for step in (2, 3, 4):
        store_step(tmp_path, step, keep=1)
    assert steps(tmp_path) == [1, 4, 9]
    assert (tmp_path / "notes.txt").exists()


def test_a_folder_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "step-00000001").mkdir()
    (tmp_path / "step-00000001" / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="in the way"):
        store_step(tmp_path, 1)
    assert (tmp_path / "step-00000001" / "thesis.txt").read_text() == "mine"
    assert entries(tmp_path) == ["step-00000001"]


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    store_step(tmp_path, 1)
    store_step(tmp_path, 2)
    save(tmp_path, 2, {"model": {"w": torch.ones(1)}}, {"second": True})
    found = latest(tmp_path)
    assert found is not None
    assert found.state == {"second": True}
    assert entries(tmp_path) == ["step-00000001", "step-00000002"]


def test_leftovers_go_at_the_next_save(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-00000001.77-abc" / "deep").mkdir(parents=True)
    (tmp_path / ".tmp-step-00000001.77-abc" / "deep" / "x").write_text("x")
    (tmp_path / ".tmp-file").write_text("x")
    store_step(tmp_path, 1)
    assert entries(tmp_path) == ["step-00000001"]


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs symbolic links")
def test_a_leftover_that_is_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "x").write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tmp-link").symlink_to(target, target_is_directory=True)
    store_step(tmp_path / "run", 1)
    assert (target / "x").exists()
    assert entries(tmp_path / "run") == ["step-00000001"]


def test_b8_only_rank_zero_touches_the_disk(tmp_path: Path) -> None:
    assert store_step(tmp_path / "run", 1, rank=1) == tmp_path / "run" / "step-00000001"
    assert not (tmp_path / "run").exists()
    failures: list[BaseException] = []

    def work(rank: int) -> None:
        try:
            for step in range(1, 8):
                store_step(tmp_path / "run", step, rank=rank, keep=2)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert entries(tmp_path / "run") == ["step-00000006", "step-00000007"]
    check(tmp_path / "run", 7)


# Damage


def test_any_flipped_bit_is_found_and_the_previous_checkpoint_is_used(tmp_path: Path) -> None:
    store_step(tmp_path, 1)
    newest = store_step(tmp_path, 2)
    files = sorted(newest.iterdir())
    draw = random.Random(5)
    for trial in range(200):
        path = files[trial % len(files)]
        offset, bit = draw.randrange(path.stat().st_size), draw.randrange(8)
        flip(path, offset, bit)
        found = check(tmp_path, 1)
        assert found.skipped[0].startswith("step-00000002: "), (path.name, offset, bit)
        flip(path, offset, bit)
    check(tmp_path, 2)


def test_every_single_bit_of_the_manifest_counts(tmp_path: Path) -> None:
    newest = save(tmp_path, 1, {}, {})
    path = newest / "manifest.json"
    for offset in range(path.stat().st_size):
        flip(path, offset, offset % 8)
        with pytest.raises(CheckpointError, match="None of the 1 checkpoints"):
            latest(tmp_path)
        flip(path, offset, offset % 8)
    assert latest(tmp_path) is not None


def test_truncation_and_growth_are_found_without_reading_the_bytes(tmp_path: Path) -> None:
    store_step(tmp_path, 1)
    newest = store_step(tmp_path, 2)
    draw = random.Random(6)
    for trial in range(50):
        path = sorted(newest.iterdir())[trial % 5]
        data = path.read_bytes()
        path.write_bytes(data[: draw.randrange(len(data))] if trial % 7 else data + b"\0")
        found = latest(tmp_path, verify=False)
        assert found is not None
        assert found.step == 1
        path.write_bytes(data)
    check(tmp_path, 2)


def test_every_missing_file_is_found(tmp_path: Path) -> None:
    store_step(tmp_path, 1)
    newest = store_step(tmp_path, 2)
    for path in sorted(newest.iterdir()):
        data = path.read_bytes()
        path.unlink()
        found = check(tmp_path, 1)
        assert path.name in found.skipped[0]
        path.write_bytes(data)
    check(tmp_path, 2)


def test_none_whole_is_an_error_that_says_what_is_wrong_with_each(tmp_path: Path) -> None:
    for step in (1, 2):
        os.truncate(store_step(tmp_path, step) / "state.json", 3)
    with pytest.raises(CheckpointError) as caught:
        latest(tmp_path)
    assert "None of the 2 checkpoints" in str(caught.value)
    assert "step-00000001: state.json has 3 bytes instead of" in str(caught.value)


def test_a_checkpoint_under_the_name_of_another_step_is_not_believed(tmp_path: Path) -> None:
    shutil.move(store_step(tmp_path, 1), tmp_path / "step-00000007")
    with pytest.raises(CheckpointError, match="its manifest is of step 1"):
        latest(tmp_path)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "checkpoint-500", "last.ckpt"])
def test_h32_foreign_checkpoints_are_refused_and_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04cposix\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(CheckpointError, match="no polyhead checkpoints") as caught:
        latest(tmp_path)
    assert name in str(caught.value)
    (tmp_path / "step-00000001").mkdir()
    shutil.move(tmp_path / name, tmp_path / "step-00000001" / name)
    with pytest.raises(CheckpointError, match=r"it has no manifest\.json") as caught:
        latest(tmp_path)
    assert name in str(caught.value)


def rewrite(path: Path, change: dict[str, Any]) -> None:
    """Change a manifest and make it agree with itself again, as an attacker or a later version would."""
    fields = json.loads((path / "manifest.json").read_text()) | change
    fields.pop("sha256")
    fields["sha256"] = manifest._own_hash(fields)
    (path / "manifest.json").write_text(json.dumps(fields))


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "C:\\x.safetensors", "..\\x.safetensors", "https://x/a.safetensors", "a/b.safetensors",
     "x.pt", "model.safetensors\n", ""],
)  # fmt: skip
def test_h45_manifests_that_name_paths_are_damaged(tmp_path: Path, name: str) -> None:
    store_step(tmp_path, 1)
    newest = store_step(tmp_path, 2)
    files = json.loads((newest / "manifest.json").read_text())["files"]
    rewrite(newest, {"files": files | {name: {"size": 0, "sha256": ""}}})
    assert "names" in check(tmp_path, 1).skipped[0]


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and symbolic links")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_h46_files_that_are_links_pipes_or_folders_are_damage(tmp_path: Path, kind: str) -> None:
    store_step(tmp_path, 1)
    path = store_step(tmp_path, 2) / "model.safetensors"
    shutil.move(path, tmp_path / "elsewhere")
    {"link": lambda: path.symlink_to(tmp_path / "elsewhere"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[
        kind
    ]()
    assert "model.safetensors is not a regular file" in check(tmp_path, 1).skipped[0]


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_h46_a_checkpoint_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    shutil.move(store_step(tmp_path / "run", 1), tmp_path / "elsewhere")
    (tmp_path / "run" / "step-00000001").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(CheckpointError, match="not a folder"):
        latest(tmp_path / "run")


@pytest.mark.parametrize(
    "fields",
    [{"files": []}, {"files": {}}, {"files": {"state.json": 3}}, {"files": {"state.json": {"size": "3"}}}, {"version": 0},
     {"version": "1"}, {"version": True}, {"step": None}, {"step": 2.0}],
    ids=str,
)  # fmt: skip
def test_h40_manifests_with_wrong_types_are_damaged(tmp_path: Path, fields: dict) -> None:
    store_step(tmp_path, 1)
    rewrite(store_step(tmp_path, 2), fields)
    if fields == {"step": 2.0}:
        return  # equal to 2: the name and the bytes still agree
    assert check(tmp_path, 1).skipped


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": NaN}', "[" * 100_000, '{"a": 1, "a": 2}', "\ufeff{}", " " * 2_000_000]
)
def test_h43_h44_manifests_that_are_no_json_object(tmp_path: Path, text: str) -> None:
    store_step(tmp_path, 1)
    (store_step(tmp_path, 2) / "manifest.json").write_text(text, encoding="utf-8")
    assert check(tmp_path, 1).skipped


def test_h51_the_folder_goes_away_while_it_is_used(tmp_path: Path) -> None:
    store_step(tmp_path, 1)
    found = check(tmp_path, 1)
    shutil.rmtree(tmp_path / "step-00000001")
    with pytest.raises(CheckpointError, match="changed or gone"):
        found.load("model")


def test_h51_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(CheckpointError, match="cannot be read"):
        latest(tmp_path / "run")
    with pytest.raises(DiskError):
        store_step(tmp_path / "run", 1)


def test_h52_a_file_changed_after_the_check_is_not_loaded(tmp_path: Path) -> None:
    path = store_step(tmp_path, 1) / "model.safetensors"
    found = check(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="changed or gone"):
        found.load("model")


def test_a_run_that_replaces_its_checkpoints_meanwhile_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_step(tmp_path, 1, keep=1)
    genuine, calls = manifest.inspect, []

    def inspect(folder: Path, step: int, hashes: bool) -> manifest.Contents:
        if not calls:
            calls.append(step)
            store_step(tmp_path, 2, keep=1)
        return genuine(folder, step, hashes)

    monkeypatch.setattr(manifest, "inspect", inspect)
    check(tmp_path, 2)


# Versions


def test_a_newer_format_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    store_step(tmp_path, 1)
    rewrite(store_step(tmp_path, 2), {"version": 2})
    with pytest.raises(CheckpointError, match="newer polyhead") as caught:
        latest(tmp_path)
    assert "update polyhead" in str(caught.value)
    with pytest.raises(CheckpointError, match="newer polyhead"):
        store_step(tmp_path, 2)
    store_step(tmp_path, 3, keep=1)
    assert steps(tmp_path) == [2, 3], "a newer format's checkpoint was removed"


def test_old_versions_are_migrated_one_step_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1, {"weights": {"w": torch.ones(2)}, "optimizer": {"m": torch.zeros(2)}}, {"rate": 0.5})

    def rename_state(state: dict, old: saved.Groups) -> tuple[dict, saved.Groups]:
        return {"lr": state["rate"]}, old

    def rename_groups(state: dict, old: saved.Groups) -> tuple[dict, saved.Groups]:
        def model() -> dict[str, Tensor]:
            return {f"model.{name}": tensor * 2 for name, tensor in old["weights"]().items()}

        return state | {"migrated": True}, {"model": model, "optimizer": old["optimizer"]}

    monkeypatch.setattr(manifest, "FORMAT_VERSION", 3)
    monkeypatch.setattr(saved, "MIGRATIONS", {1: rename_state, 2: rename_groups})
    found = latest(tmp_path)
    assert found is not None
    assert found.state == {"lr": 0.5, "migrated": True}
    assert torch.equal(found.load("model")["model.w"], torch.full((2,), 2.0))
    assert torch.equal(found.load("optimizer")["m"], torch.zeros(2))
    with pytest.raises(CheckpointError):
        found.load("weights")
    save(tmp_path, 2, {}, {})
    assert json.loads((tmp_path / "step-00000002" / "manifest.json").read_text())["version"] == 3
    monkeypatch.setattr(saved, "MIGRATIONS", {2: rename_groups})
    shutil.rmtree(tmp_path / "step-00000002")
    with pytest.raises(CheckpointError, match="no longer reads"):
        latest(tmp_path)


def test_there_is_a_migration_from_every_former_version() -> None:
    assert set(saved.MIGRATIONS) == set(range(1, manifest.FORMAT_VERSION))


# Where removal fails


def test_t6_deletion_that_fails_is_survived_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(11)
    failing = True

    def flaky(name: str) -> None:
        genuine = getattr(os, name)

        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            removes = name != "rename" or "step-" in Path(path).name and not Path(path).name.startswith(".tmp-")
            if failing and removes and draw.random() < 0.5:
                raise PermissionError(13, "in use", str(path))
            return genuine(path, *arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name in ("rename", "unlink", "rmdir"):
        flaky(name)
    told = 0
    for keep in (1, 2, 3, 4, 5):
        folder = tmp_path / str(keep)
        failing = True
        for step in range(20):
            notes: list[str] = []
            store_step(folder, step, keep=keep, warnings=notes)
            told += len(notes)
            assert all("could not be removed: in use" in note for note in notes)
            check(folder, step)
            assert set(range(max(0, step - keep + 1), step + 1)) <= set(steps(folder))
        failing = False
        store_step(folder, 20, keep=keep)
        assert steps(folder) == list(range(21 - keep, 21))
        assert len(entries(folder)) == keep, "leftovers stayed"
    assert told > 20


def test_a_failed_removal_is_logged_when_nobody_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "in use", str(path))

    store_step(tmp_path, 1, keep=1)
    monkeypatch.setattr(store, "_discard", refuse)
    store_step(tmp_path, 2, keep=1)
    assert "step-00000001 could not be removed: in use" in caplog.text
