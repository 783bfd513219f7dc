"""Runs that go on from a trained model: its weights, its tokenizer, its words of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError
from polyhead.generate.folder import weights
from polyhead.train import build_config, train_run
from polyhead.train.start import is_model

from .tiny import LOOP, Halt, go, halt_at, same_run

MORE = {key: value for key, value in LOOP.items() if not key.startswith("tokenizer")} | {"training.steps": 4, "training.save_every": 2}


@pytest.fixture(scope="module")
def trained(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    go("muon", data, folder)
    return folder


def test_it_begins_with_the_models_weights_and_tokenizer(trained: Path, data: dict[str, str], tmp_path: Path) -> None:
    before = ph.load(trained)
    after = ph.train(str(trained), data["text"], tmp_path / "b", MORE | {"training.optimizer": {"kind": "adamw", "lr": 0.0}})
    assert after.tokenizer.fingerprint == before.tokenizer.fingerprint and after.spec == before.spec
    for name, tensor in weights(before.net).items():
        assert torch.equal(tensor, weights(after.net)[name])
    assert after.meta["preset"] == str(trained)


def test_it_is_resumed_to_the_same_bits_without_the_model_it_began_with(trained: Path, data: dict[str, str], tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(trained)
    ph.train(str(moved), data["text"], tmp_path / "whole", MORE)
    with pytest.raises(Halt):
        ph.train(str(moved), data["text"], tmp_path / "cut", MORE, tell=halt_at(3))
    moved.unlink()
    train_run(None, tmp_path / "cut", resume=True)
    same_run(tmp_path / "cut", tmp_path / "whole")


def test_epochs_become_steps(trained: Path, data: dict[str, str], tmp_path: Path) -> None:
    config = build_config(str(trained), data["text"], {"training.batch": 4})
    assert config.training.epochs == 3 and config.training.optimizer.lr == 5e-5
    options = {key: value for key, value in MORE.items() if key != "training.steps"} | {"training.epochs": 0.5}
    model = ph.train(str(trained), data["text"], tmp_path / "b", options)
    samples = (tmp_path / "b" / "config.yaml").read_text()
    assert "epochs: 0.5" in samples and "steps: 1000" not in samples
    again = ph.train(str(trained), data["text"], tmp_path / "b", options, resume=True)
    assert again.spec == model.spec


def test_a_folder_is_a_model_and_a_preset_is_not(trained: Path, tmp_path: Path) -> None:
    assert is_model(str(trained)) and is_model("owner/name") and not is_model("gpt2") and not is_model("spec.json")


def test_what_cannot_change(trained: Path, data: dict[str, str], tmp_path: Path) -> None:
    for changes, needle in (
        ({"training.context": 10**6}, "longer than the trained"), ({"model.decoder.width": 32}, "do not fit the architecture"),
        ({"tokenizer.path": "x.json"}, "tokenizer is that of the trained model"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=needle):
            ph.train(str(trained), data["text"], tmp_path / "b", MORE | changes)
        assert not (tmp_path / "b").exists()
