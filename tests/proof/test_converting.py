"""convert: bit-equal both ways, with a proof; what cannot be, or breaks off, leaves nothing that looks like a model."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import polyhead as ph
from polyhead.checkpoint import folder_out
from polyhead.errors import CheckpointError, ConfigError, DiskError, ProofError, UserError
from polyhead.nn import LoraSpec, adapt
from polyhead.proof import converting, reference

Made = Callable[[str], Path]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without transformers."""
    monkeypatch.setattr(reference, "NEEDED", "a_package_that_is_not_there")


def bits(folder: Path) -> dict[str, tuple[torch.dtype, bytes]]:
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= {name: (t.dtype, t.contiguous().view(-1).view(torch.uint8).numpy().tobytes()) for name, t in load_file(file).items()}
    return found


@pytest.mark.parametrize("name", ["bart_lm", "gpt_oss_lm", "marian_mt", "vit_base"])
def test_there_and_back_keeps_every_bit(made: Made, tmp_path: Path, name: str) -> None:
    a, b = ph.convert(made(name), "native", tmp_path / "native"), ph.convert(tmp_path / "native", "hf", tmp_path / "back")
    for done in (a, b):
        done.require()
        assert done.proof.weights.equal and done.reference.equal and not done.why and not done.proof.notes
    assert bits(tmp_path / "back") == bits(made(name))
    assert ph.verify(made(name), tmp_path / "back").equal


def test_dtypes_stay_as_they_are_each_for_itself(made: Made, tmp_path: Path, alone: None) -> None:
    mixed = shutil.copytree(made("llama_2"), tmp_path / "mixed")
    weights = load_file(mixed / "model.safetensors")
    half = {name: t if "norm" in name else t.bfloat16() for name, t in weights.items()}
    save_file(half, mixed / "model.safetensors", {"format": "pt"})
    done = ph.convert(mixed, "native", tmp_path / "native").require()
    assert "not installed" in done.why
    ph.convert(tmp_path / "native", "hf", tmp_path / "back").require()
    assert bits(tmp_path / "back") == bits(mixed)
    done = ph.convert(mixed, "hf", tmp_path / "full", dtype=torch.float32).require()
    assert {dtype for dtype, _ in bits(tmp_path / "full").values()} == {torch.float32} and done.proof.weights.rounded == "float32"
    assert json.loads((tmp_path / "full" / "config.json").read_text())["torch_dtype"] == "float32"


def test_the_verb_writes_shards_and_ends_with_the_proof(made: Made, tmp_path: Path, polyhead: Any) -> None:
    out = tmp_path / "out"
    done = polyhead("convert", made("llama_2"), "--to", "hf", "-o", out, "--dtype", "bf16", "--max-shard", "60KB")
    assert done.code == 0, done.err
    assert done.out.count("equal\n") == 2 and "equal bit for bit after rounding to bfloat16" in done.out and "transformers 5." in done.out
    files = sorted(out.glob("model-*.safetensors"))
    assert len(files) > 1 and all(sum(t.nbytes for t in load_file(file).values()) <= 60_000 for file in files if len(load_file(file)) > 1)
    with safe_open(files[0], "pt") as opened:
        assert opened.metadata() == {"format": "pt"}
    told = json.loads(polyhead("convert", made("llama_2"), "--to", "native", "-o", tmp_path / "native", "--json").out)
    assert told["equal"] and told["proof"]["weights"]["equal"] and told["reference"]["equal"]


@pytest.mark.parametrize(("words", "says"), [
    (("--to", "gguf"), "hf | native"), (("--to", "hf", "--dtype", "int8"), "fp32 | bf16 | fp16"), (("--to", "hf", "--max-shard", "many"), "500MB"),
    (("--to", "native", "--max-shard", "1GB"), "one file"),
])  # fmt: skip
def test_what_is_asked_wrong_is_refused_before_anything_is_written(made: Made, tmp_path: Path, polyhead: Any, words: tuple[str, ...], says: str) -> None:
    done = polyhead("convert", made("llama_2"), *words, "-o", tmp_path / "out")
    assert done.code == 2 and says in done.err and "Traceback" not in done.err and not (tmp_path / "out").exists()


def test_what_the_target_cannot_express_is_named_and_nothing_is_left(tmp_path: Path, polyhead: Any) -> None:
    spec = ph.preset("llama-nano").model_dump()
    spec["decoder"]["blocks"]["layer"]["residual"]["placement"] = "post"
    ph.Model(ph.ModelSpec.model_validate(spec).build(seed=0)).save(tmp_path / "a", to="native")
    done = polyhead("convert", tmp_path / "a", "--to", "hf", "-o", tmp_path / "out")
    assert done.code == 2 and "residual" in done.err and "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_places_that_are_not_for_a_model(made: Made, tmp_path: Path, alone: None) -> None:
    with pytest.raises(UserError, match="inside another"):
        ph.convert(made("llama_2"), "hf", made("llama_2") / "sub")
    with pytest.raises(UserError, match="in place"):
        ph.convert(made("llama_2"), "native", made("llama_2"))
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("dear")
    for to in ("hf", "native"):
        with pytest.raises(CheckpointError, match="no place for a model"):
            ph.convert(made("llama_2"), to, tmp_path / "letters")
    assert os.listdir(tmp_path / "letters") == ["to-mother.txt"]


@pytest.mark.parametrize("to", ["hf", "native"])
@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_fails_on_the_way_leaves_what_was_there(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: None, to: Any, there: bool
) -> None:
    out = tmp_path / "out"
    if there:
        ph.convert(made("llama_1"), to, out)
    before = bits(out) if there else {}

    def full(self: Any, write: Callable[[bytes], Any]) -> None:
        write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folder_out.Layout, "stream", full)
        with pytest.raises(DiskError):
            ph.convert(made("llama_2"), to, out)
    if there:
        assert bits(out) == before and ph.verify(made("llama_1"), out).equal
    else:
        assert not out.exists() or not os.listdir(out)


def test_a_result_that_is_not_the_model_is_said_loudly(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, polyhead: Any) -> None:
    def write(out: Path, net: Any, *rest: Any) -> None:
        with torch.no_grad():
            net.decoder.final_norm.weight = torch.nn.Parameter(net.decoder.final_norm.weight + 1e-3)
        writing(out, net, *rest)
        net.decoder.final_norm.weight = torch.nn.Parameter(net.decoder.final_norm.weight - 1e-3)

    writing = converting.write_huggingface
    monkeypatch.setattr(converting, "write_huggingface", write)
    done = polyhead("convert", made("llama_2"), "--to", "hf", "-o", tmp_path / "out")
    assert done.code == 1 and "not equal" in done.out and "do not use" in done.err and "Traceback" not in done.err
    with pytest.raises(ProofError):
        ph.convert(made("llama_2"), "hf", tmp_path / "again").require()


def test_old_weights_by_consent_alone(made: Made, tmp_path: Path, alone: None) -> None:
    old = shutil.copytree(made("bert_pretraining"), tmp_path / "old")
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="pickle"):
        ph.convert(old, "hf", tmp_path / "new")
    ph.convert(old, "hf", tmp_path / "new", unsafe_pickle=True).require()
    assert bits(tmp_path / "new") == bits(made("bert_pretraining"))
    with pytest.raises(CheckpointError, match="pickle"):
        ph.load(old)


def test_names_of_the_hub_are_looked_up_where_there_is_no_such_path(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: None) -> None:
    asked: list[str] = []

    def resolve(name: str | Path, *options: Any) -> Path:
        asked.append(str(name))
        return made("llama_2") if str(name) == "owner/tiny" else Path(name)

    monkeypatch.setattr(converting, "resolve", resolve)
    done = ph.convert("owner/tiny", "native", tmp_path / "out").require()
    assert asked == ["owner/tiny"] and done.proof.a == "owner/tiny"
    with pytest.raises(ConfigError, match="no such format"):
        ph.convert("owner/tiny", "other", tmp_path / "out")


@pytest.mark.parametrize("to", ["hf", "native"])
def test_low_rank_updates_are_merged_for_hugging_face_and_kept_in_our_own(made: Made, tmp_path: Path, to: str, alone: None) -> None:
    model = ph.load(made("llama_2"))
    adapt(model.net, LoraSpec(rank=2), 0)
    with torch.no_grad():
        for name, p in model.net.named_parameters():
            p.add_(0.1 if name.endswith("lora_b") else 0.0)
    model.save(tmp_path / "a", to="native")
    done = ph.convert(tmp_path / "a", to, tmp_path / "b").require()
    assert done.proof.weights.equal and (len(done.proof.notes) == 1) is (to == "hf")
    assert (ph.load(tmp_path / "b").spec.lora is None) is (to == "hf")
    assert any(".lora_" in name or "lora" in name for name in bits(tmp_path / "b")) is (to == "native")
