"""Names of the Hub and paths: what is looked up, what never is, and what each failure says. Nothing touches the network."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from polyhead.checkpoint import near_folders, open_source, resolve
from polyhead.errors import CheckpointError, DiskError

from .folders import CONFIG, link, put

Response: Any = SimpleNamespace(headers={}, request=None, status_code=401)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str | None]]:
    """What was asked of the Hub, which gives one folder for everything."""
    calls: list[tuple[str, str | None]] = []
    folder = put(tmp_path / "snapshot")

    def download(repo: str, revision: str | None = None, **options: Any) -> str:
        calls.append((repo, revision))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    return calls


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/name", ("owner/name", None)),
        ("Qwen/Qwen2.5-0.5B", ("Qwen/Qwen2.5-0.5B", None)),
        ("a/b@main", ("a/b", "main")),
        ("a/b_c@refs/pr/1", ("a/b_c", "refs/pr/1")),
        ("a/b@0123abcd", ("a/b", "0123abcd")),
    ],
)
def test_owner_and_name_are_looked_up(asked: list, name: str, expected: tuple, tmp_path: Path) -> None:
    assert resolve(name) == tmp_path / "snapshot"
    assert asked == [expected]


@pytest.mark.parametrize(
    "name",
    ["gpt2", "./owner/name", "../owner/name", "/owner/name", "owner/name/", "a/b/c", "owner\\name", "C:\\x", "", ".", "~/x",
     "https://hub/a/b", "file:///a/b", "a//b", "-a/b", "a/.b", "a/b@", "a/b@../c", "a/b@-c", "a/b c", "a/ü", "a/b\n", "a/x--y",
     Path("owner/name")],
    ids=str,
)  # fmt: skip
def test_anything_else_is_a_path_and_never_is(asked: list, name: str) -> None:
    assert resolve(name) == Path(name)
    assert asked == []


def test_what_exists_is_a_path(asked: list, tmp_path: Path) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    link(tmp_path / "owner" / "dangling", "nowhere")
    assert resolve("owner/name") == Path("owner/name")
    assert resolve("owner/dangling") == Path("owner/dangling")
    assert asked == []


@pytest.mark.parametrize(("name", "change"), [
    ("runs/sentimant", "did you mean runs/sentiment?"), ("run/sentiment", "did you mean runs/sentiment?"), ("runs/zebra", "check the path"),
])  # fmt: skip
def test_a_mistyped_path_is_no_name_of_the_hub(asked: list, tmp_path: Path, name: str, change: str) -> None:
    for run in ("sentiment", "other"):
        (tmp_path / "runs" / run).mkdir(parents=True)
    with pytest.raises(CheckpointError, match=f"there is no folder {name}") as caught:
        resolve(name)
    assert change in str(caught.value.change) and asked == []
    assert not name.startswith("runs/") or "runs holds other, sentiment" in str(caught.value.received)
    assert resolve(f"{name}@main") == tmp_path / "snapshot" and asked == [(name, "main")]
    assert resolve("owner/sentiment") == tmp_path / "snapshot"


@pytest.mark.parametrize("name", ["runs/sentimant", "./runs/sentimant", "runs/a\0b", "none/of/these", "/none/at/all", "sentimant"])
def test_folders_near_a_path_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "runs" / "sentiment").mkdir(parents=True)
    (tmp_path / "sentiment").write_text("a file")
    monkeypatch.chdir(tmp_path)
    assert near_folders(name) == [str(Path("runs/sentiment"))] * ("sentimant" in name and "runs" in name)


def test_only_what_a_model_needs_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub.utils import filter_repo_objects

    folder = put(tmp_path / "snapshot")
    wanted = {"config.json", "model.safetensors", "vocab.txt", "tokenizer.model", "chat_template.jinja", "1_Pooling/config.json"}
    pickled = {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin"}
    others = {"onnx/config.json", "consolidated.safetensors", "tf_model.h5", "model.py", "run.sh", "optimizer.pt", "training_args.bin",
              "model.fp16.safetensors", "original/consolidated.00.pth", "pic.png"}  # fmt: skip
    fetched: set[str] = set()

    def download(repo: str, *, allow_patterns: list[str], ignore_patterns: list[str], **options: Any) -> str:
        names = wanted | pickled | others
        fetched.update(filter_repo_objects(names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    resolve("owner/name")
    assert fetched == wanted
    resolve("owner/name", unsafe_pickle=True)
    assert fetched == wanted | pickled


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.GatedRepoError("403", response=Response), ["gated", "https://huggingface.co/owner/name", "login"]),
        (errors.RepositoryNotFoundError("404", response=Response), ["neither a folder here nor a model on the Hub"]),
        (errors.RevisionNotFoundError("404", response=Response), ["no revision", "'v9'"]),
        (errors.LocalEntryNotFoundError("no snapshot"), ["cannot be fetched", "connection"]),
        (errors.HfHubHTTPError("500 \x1b[31m", response=Response), ["cannot be fetched", "500"]),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), ["cannot be fetched", "refused"]),
        (ValueError("surprise\nmore"), ["cannot be fetched", "surprise"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_failure_says_what_to_change(
    asked: list, monkeypatch: pytest.MonkeyPatch, error: Exception, words: list[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: throw(error))
    with pytest.raises(CheckpointError) as caught:
        resolve("owner/name@v9")
    assert all(word in str(caught.value) for word in ["owner/name", *words])
    assert caught.value.expected and caught.value.received and caught.value.change
    assert "\x1b" not in str(caught.value)


def throw(error: Exception) -> None:
    raise error


def test_a_full_disk_is_a_disk_error(asked: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(DiskError, match="disk is full"):
        resolve("owner/name")


def test_a_model_without_safetensors_says_how_pickled_ones_are_converted(asked: list, tmp_path: Path) -> None:
    (tmp_path / "snapshot" / "model.safetensors").rename(tmp_path / "snapshot" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no weights in safetensors") as caught:
        resolve("owner/name")
    assert "--unsafe-pickle" in str(caught.value)
    assert resolve("owner/name", unsafe_pickle=True) == tmp_path / "snapshot"


def test_offline_the_cache_is_enough_even_if_another_program_filled_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        resolve("owner/name")
    repo, commit = tmp_path / "models--owner--name", "0123456789" * 4
    snapshot = repo / "snapshots" / commit
    put(repo / "blobs")
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    for name in ("config.json", "model.safetensors"):
        link(snapshot / name, Path("..", "..", "blobs", name))
    for name in ("owner/name", "owner/name@main", f"owner/name@{commit}"):
        assert resolve(name).samefile(snapshot)
    assert open_source(resolve("owner/name")).config == CONFIG
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        resolve("owner/name@v2")
    incomplete = errors.LocalEntryNotFoundError("there is more of it on the Hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: throw(incomplete))
    assert resolve("owner/name").samefile(snapshot)
