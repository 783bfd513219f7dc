"""Models on disk: what is written comes back bit for bit, and nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from polyhead.checkpoint import save as save_checkpoint
from polyhead.checkpoint import write_tensors
from polyhead.errors import CheckpointError
from polyhead.generate import Model, load, weights
from polyhead.nn import BatchNormSpec, ModelSpec, RotarySpec

from .nets import SPECS, byte_tokenizer, decoder, lively, seq2seq

TOKENIZER = byte_tokenizer()
BYTES = TOKENIZER.vocab_size


@pytest.fixture
def model() -> Model:
    return Model(decoder(BYTES, position=RotarySpec()).build(3), TOKENIZER, meta={"bos": True, "note": [1, None]})


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return model.save(tmp_path / "model")


def same(a: Model, b: Model) -> bool:
    x, y = weights(a.net), weights(b.net)
    return (
        a.spec == b.spec
        and x.keys() == y.keys()
        and all(torch.equal(x[n], y[n]) and x[n].dtype == y[n].dtype for n in x)
    )


def test_a_saved_model_comes_back(model: Model, folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} >= {"spec.json", "model.safetensors", "tokenizer.json", "meta.json"}
    again = load(folder)
    assert same(model, again) and again.objective == "causal" and not again.net.training
    assert again.meta["bos"] is True and again.meta["note"] == [1, None]
    assert again.generate("ab", max_tokens=5, seed=1) == model.generate("ab", max_tokens=5, seed=1)
    assert same(load(str(folder)), model)
    again.save(folder)  # over the file it was read from
    assert same(load(folder), model)


@pytest.mark.parametrize("name", SPECS)
def test_every_shape_comes_back(name: str, tmp_path: Path) -> None:
    model = Model(SPECS[name].build(1))
    assert same(load(model.save(tmp_path)), model)
    assert load(tmp_path).tokenizer is None


def test_shared_tensors_are_written_once_and_tied_again(tmp_path: Path) -> None:
    model = Model(seq2seq().build(1), objective="seq2seq")
    names = weights(model.net)
    assert sum("embed.token" in name for name in names) == 1
    assert sum(t.numel() for t in names.values()) == model.spec.params().total
    again = load(model.save(tmp_path))
    assert again.net.decoder.embed.token is again.net.encoder.embed.token and again.objective == "seq2seq"


def test_buffers_are_weights_too(tmp_path: Path) -> None:
    spec = decoder()
    block = spec.decoder.blocks["main"].model_copy(update={"norm": BatchNormSpec()})
    spec = ModelSpec.model_validate(
        spec.model_copy(update={"decoder": spec.decoder.model_copy(update={"blocks": {"main": block}})}).model_dump()
    )
    model = Model(spec.build(0))
    for buffer in model.net.buffers():
        buffer.add_(0.5)
    assert len(weights(model.net)) > len(list(model.net.parameters()))
    assert same(load(model.save(tmp_path)), model)


def test_dtype_as_stored_or_as_asked(tmp_path: Path) -> None:
    path = Model(decoder().build(0).to(torch.bfloat16)).save(tmp_path)
    assert {t.dtype for t in weights(load(path).net).values()} == {torch.bfloat16}
    assert {t.dtype for t in weights(load(path, dtype=torch.float32).net).values()} == {torch.float32}


def run_folder(path: Path, *nets: Model, ema: Model | None = None) -> Path:
    """As training leaves it: the head of the run and a checkpoint per net."""
    nets[0].save(path)
    (path / "model.safetensors").unlink()
    for step, model in enumerate(nets):
        groups = {"model": weights(model.net), "optimizer": {"m": torch.ones(2)}}
        groups |= {"ema": dict(ema.net.named_parameters())} if ema is not None else {}
        save_checkpoint(path / "checkpoints", step, groups, {"lr": 0.1}, keep=9)
    return path


def test_a_run_gives_its_newest_whole_checkpoint(tmp_path: Path) -> None:
    models = [Model(decoder().build(seed)) for seed in range(3)]
    run = run_folder(tmp_path / "run", *models)
    newest = load(run)
    assert same(newest, models[2]) and newest.meta["step"] == 2
    models[0].save(run)  # an exported model beside the checkpoints does not hide them
    assert same(load(run), models[2])
    (run / "checkpoints" / "step-00000002" / "model.safetensors").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="step-00000002"):
        older = load(run)
    assert same(older, models[1]) and older.meta["step"] == 1


def test_a_run_with_averaged_weights_gives_those(tmp_path: Path) -> None:
    live, average = (Model(decoder().build(seed)) for seed in range(2))
    assert same(load(run_folder(tmp_path, live, ema=average)), average)


def test_a_tokenizer_of_another_model_does_not_stay(folder: Path) -> None:
    Model(decoder().build(0)).save(folder)
    assert load(folder).tokenizer is None


@pytest.mark.parametrize("name", ["gpt2", "./openai/gpt2", "runs/a/missing"])
def test_what_is_not_owner_and_name_is_not_looked_up(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="not a polyhead model") as error:
        load(name)
    assert "polyhead run or model folder" in error.value.expected


def test_foreign_folders_are_refused_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="lacks the weights"):
        load(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError) as error:
        load(tmp_path)
    assert "without spec.json" in error.value.received
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError) as error:
        load(tmp_path / "pytorch_model.bin")
    assert error.value.received == "a file"


def change(folder: Path, file: str, **values: object) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as error:
        load(folder)
    return error.value


def test_a_newer_spec_or_meta_says_update(folder: Path) -> None:
    change(folder, "meta.json", format=2)
    assert "newer" in refused(folder).message
    change(folder, "meta.json", format=1)
    change(folder, "spec.json", version=2, unheard_of={"x": 1})
    error = refused(folder)
    assert "newer" in error.message and error.received == "2" and error.change == "update polyhead"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": NaN}', "\x00\x01", '{"a": 1, "a": 2}', "[" * 100_000])
@pytest.mark.parametrize("file", ["spec.json", "meta.json"])
def test_damaged_json_is_refused(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    assert file in refused(folder).message


@pytest.mark.parametrize(
    ("where", "value"),
    [("width", 10**12), ("layers", 10**9), ("width", 17), ("layers", -1), ("beyond", 1)],
)
def test_h33_h34_specs_that_cannot_be_are_refused_before_anything_is_built(
    folder: Path, where: str, value: object
) -> None:
    raw = json.loads((folder / "spec.json").read_text())
    raw["decoder"][where] = value
    (folder / "spec.json").write_text(json.dumps(raw))
    error = refused(folder)
    assert "spec.json" in error.message and error.expected and error.received


def test_h35_a_vocabulary_beyond_the_weights_is_refused(folder: Path) -> None:
    raw = json.loads((folder / "spec.json").read_text())
    raw["decoder"]["embedding"]["vocab"] = 2**31
    (folder / "spec.json").write_text(json.dumps(raw))
    assert "do not belong" in refused(folder).message


def test_h47_missing_extra_or_wrong_tensors_are_named(model: Model, folder: Path) -> None:
    good = {name: t.clone() for name, t in weights(model.net).items()}
    name = "decoder.layers.0.attention.heads.q.weight"
    wrong = {
        f"{name}: ": {n: t for n, t in good.items() if n != name} | {"spare": torch.zeros(99_999)},
        "extra": {**good, "extra": torch.zeros(2)},
        name: {**good, name: good[name].flatten()},
    }
    for what, tensors in wrong.items():
        write_tensors(folder / "model.safetensors", tensors)
        error = refused(folder)
        assert what.strip(": ") in error.message and "shape" in f"{error.expected} {error.received}"


def test_torn_or_missing_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    assert "model.safetensors" in refused(folder).message
    path.unlink()
    assert "no weights" in refused(folder).message


def test_lively_weights_survive_in_fp64(tmp_path: Path) -> None:
    model = Model(lively(SPECS["value_residual"]))
    assert same(load(model.save(tmp_path)), model)
