"""verify: what is equal is called equal, what is not is not, and both are said with numbers and an exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import polyhead as ph
from polyhead.errors import CheckpointError, ConfigError, ProofError, UserError
from polyhead.nn import HeadSpec
from polyhead.proof import ours, questions, reference, verifying
from polyhead.proof.measures import Answer, Limits, compare
from polyhead.train import build_config, parse_overrides, train_run
from tests.tiny import SMALL, TRAINING, build_tiny, write_files

Made = Callable[[str], Path]

# what is compared: heads, states, and what is written
PARTS = {
    "llama_2": ["head lm", "decoder states", "head lm"],
    "gpt_oss_lm": ["head lm", "decoder states", "head lm"],
    "bert_pretraining": ["head mlm", "head pair", "encoder states"],
    "bert_span": ["head span", "encoder states"],
    "t5_v1_1": ["head lm", "encoder states", "decoder states", "head lm"],
    "bart_classify": ["head classify", "encoder states", "decoder states"],
    "vit_classify": ["head classify", "encoder states"],
    "whisper_lm": ["head lm", "encoder states", "decoder states", "head lm"],
}


def changed(folder: Path, to: Path, name: str, at: int = 0, by: float = 1e-3) -> Path:
    """A copy with one number of one tensor changed."""
    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    weights[name] = weights[name].clone()
    weights[name].view(-1)[at] += by
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    return to


@pytest.mark.parametrize("name", PARTS)
def test_a_model_is_what_transformers_says(made: Made, name: str) -> None:
    report = ph.verify(made(name))
    assert report.equal, str(report)
    assert sorted(part.part for part in report.parts) == sorted(PARTS[name])
    assert all(part.delta < 1e-4 for part in report.parts) and report.weights is None


@pytest.mark.parametrize(("name", "weight"), [
    ("llama_2", "decoder.layers.1.join_attention.ins.0.weight"), ("llama_2", "decoder.layers.2.attention.heads.q.bias"),
    ("gpt_oss_lm", "decoder.layers.1.ffn.down"), ("gpt_oss_lm", "decoder.layers.0.attention.heads.sinks"),
    ("bert_pretraining", "encoder.embed.position.weight"), ("t5_v1_1", "decoder.relative.0.weight"), ("vit_classify", "encoder.embed.cls"),
])  # fmt: skip
def test_one_weight_that_is_read_wrong_is_seen_beside_transformers(
    made: Made, monkeypatch: pytest.MonkeyPatch, name: str, weight: str
) -> None:
    def wrong(folder: Path, **options: Any) -> ph.Model:
        model = reading(folder, **options)
        tensor = model.net.state_dict(keep_vars=True)[weight]
        tensor.data = tensor.data.clone()
        tensor.data.view(-1)[torch.arange(0, tensor.numel(), 2 * tensor.shape[-1])] += 1e-3  # of every second row
        return model

    reading = verifying.open_folder
    monkeypatch.setattr(verifying, "open_folder", wrong)
    report = ph.verify(made(name))
    assert not report.equal and report.reasons
    with pytest.raises(ProofError, match="not equal"):
        report.require()


@pytest.mark.parametrize(("name", "weight"), [
    ("llama_2", "model.norm.weight"), ("gpt_oss_lm", "model.layers.2.mlp.experts.down_proj_bias"),
    ("bert_pretraining", "bert.embeddings.position_embeddings.weight"), ("t5_v1_1", "shared.weight"),
    ("vit_classify", "classifier.bias"), ("whisper_lm", "model.encoder.conv1.bias"),
])  # fmt: skip
def test_a_copy_with_one_number_changed_is_another_model(made: Made, tmp_path: Path, name: str, weight: str) -> None:
    assert ph.verify(made(name), made(name)).equal
    report = ph.verify(made(name), changed(made(name), tmp_path / "copy", weight))
    assert not report.equal and report.weights is not None
    assert len(report.weights.differing) == 1 and report.weights.values == 1
    assert report.reasons[0].startswith("weights: 1 of ")


def test_half_of_a_model_is_that_model_rounded(made: Made, tmp_path: Path) -> None:
    ph.convert(made("llama_2"), "hf", tmp_path / "half", dtype=torch.bfloat16)
    report = ph.verify(made("llama_2"), tmp_path / "half")
    assert report.equal and report.weights.rounded == "bfloat16"
    assert not ph.verify(made("llama_2"), changed(tmp_path / "half", tmp_path / "copy", "model.norm.weight", by=0.05)).equal
    assert ph.verify(tmp_path / "half").equal  # beside transformers, both in fp32
    assert ph.verify(tmp_path / "half", dtype=torch.bfloat16).equal


def test_a_run_is_compared_as_the_folder_it_exports_to(tmp_path: Path, polyhead: Any) -> None:
    pytest.importorskip("transformers", minversion="5.0")
    write_files(tmp_path)
    run = tmp_path / "run"
    train_run(build_config("llama-nano", str(tmp_path / "book.txt"), parse_overrides([*TRAINING, *SMALL])), run)
    found = json.loads(polyhead("verify", run, "--json").out)
    assert found["equal"] and {part["question"] for part in found["parts"]} == {"random ids", "text", "greedy"}
    assert ph.verify(ph.load(run)).equal
    ph.load(run).save(tmp_path / "exported", to="hf")
    assert polyhead("verify", run, "--against", tmp_path / "exported").code == 0


def test_padding_is_not_written(made: Made) -> None:
    model = ph.load(made("fsmt_mt"))
    asked = questions.questions(model, 9, 0)[-1]

    def written() -> list[int]:
        return ours.Ours(model).write(asked, "lm")[0].ids[0, 1:].tolist()

    model.meta["huggingface"]["config"]["pad_token_id"] = often = max(written(), key=written().count)
    assert len(written()) > 8 and often not in written()


def test_the_verb_says_equal_or_not_in_its_exit_code(made: Made, tmp_path: Path, polyhead: Any) -> None:
    folder = made("llama_2")
    done = polyhead("verify", folder)
    assert done.code == 0 and done.out.splitlines()[-1] == "equal"
    assert all(word in done.out for word in ("max |Δ|", "KL", "transformers 5.", "greedy", "decoder states"))
    done = polyhead("verify", folder, "--against", changed(folder, tmp_path / "copy", "model.norm.weight"))
    assert done.code == 1 and done.out.splitlines()[-1] == "not equal"
    assert "are not equal" in done.err and "decoder.final_norm.weight" in done.err and "Traceback" not in done.err


def test_without_transformers_it_says_what_to_do(made: Made, monkeypatch: pytest.MonkeyPatch, polyhead: Any) -> None:
    folder = made("llama_2")
    monkeypatch.setattr(reference, "NEEDED", "a_package_that_is_not_there")
    done = polyhead("verify", folder)
    assert done.code == 2 and not done.out and "Traceback" not in done.err
    assert "transformers is not installed" in done.err and "--against" in done.err
    assert polyhead("verify", folder, "--against", folder).code == 0


def test_a_head_that_transformers_does_not_have_is_said_and_the_rest_compared(made: Made, tmp_path: Path) -> None:
    model = ph.load(made("bert_base"))
    head = HeadSpec(task="embed", pool="mean", normalise=True)
    net = model.spec.model_copy(update={"heads": {"embed": head, **model.spec.heads}}).build(seed=0).eval()
    net.load_state_dict(model.net.state_dict(), strict=False)
    ph.Model(net, None, "masked").save(tmp_path / "sentences", to="hf")
    report = ph.verify(tmp_path / "sentences")
    assert report.equal and [part.part for part in report.parts] == ["head pooler", "encoder states"]
    assert "no head embed" in report.notes[0]


def test_heads_that_only_one_has_are_said(tmp_path: Path) -> None:
    """The same encoder with another head: what both have is compared, and the rest is named."""
    one, two = (build_tiny(tmp_path / what, what) for what in ("classify", "tag"))
    report = ph.verify(one, two)
    assert {part.part for part in report.parts} == {"encoder states"}
    assert f"{one} has the head classify, {two} has tag: classify is not compared" in report.notes
    assert f"{two} has the head tag, {one} has classify: tag is not compared" in report.notes
    assert not any("not compared" in note for note in ph.verify(one, one).notes)


def test_a_name_of_the_hub_is_looked_up_and_an_existing_path_is_not(made: Made, monkeypatch: pytest.MonkeyPatch, polyhead: Any) -> None:
    import huggingface_hub

    asked: list[str] = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **options: asked.append(repo) or str(made("llama_2")))
    assert polyhead("verify", "owner/name", "--against", made("llama_2")).code == 0 and asked == ["owner/name"]
    assert polyhead("verify", made("llama_2"), "--against", made("llama_2")).code == 0 and len(asked) == 1


def test_what_cannot_be_compared_is_said(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="do not read the same"):
        ph.verify(made("llama_2"), made("bert_pretraining"))
    with pytest.raises(UserError, match="too little"):
        ph.verify(made("llama_2"), tokens=1)
    with pytest.raises(CheckpointError, match="not a polyhead model"):
        ph.verify(tmp_path / "nothing" / "there")
    adapted = shutil.copytree(made("llama_2"), tmp_path / "adapted")
    (adapted / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="adapter"):
        ph.verify(adapted)
    spec = ph.preset("gpt-nano").model_dump()
    spec["decoder"] |= {"layers": 1, "layout": ["layer"], "final_norm": None}
    with pytest.raises(ConfigError, match="cannot be compared with transformers"):
        ph.verify(ph.Model(ph.ModelSpec.model_validate(spec).build(seed=0)))


def answer(logits: list[float], task: str = "lm", state: float = 1.0) -> Answer:
    return Answer({task: torch.tensor([[logits]])}, {task: task}, {"decoder": [torch.full((1, 1, 4), state)]})


def test_the_limits_of_logits_states_and_choices() -> None:
    head, states = compare("q", answer([1.0, 2.0]), answer([1.0, 2.0 + 1.5e-5]), Limits())
    assert head.equal and states.equal and head.same == head.of == 1
    assert not compare("q", answer([1.0, 2.0]), answer([1.0, 2.0 + 3e-5]), Limits())[0].equal
    assert compare("q", answer([1.0, 50.0]), answer([1.0, 50.0 + 1.5e-4]), Limits())[0].equal  # in proportion beyond 5
    assert not compare("q", answer([2.0, 1.0]), answer([1.0, 2.0]), Limits(logit=0.1, kl=9.0))[0].equal
    assert not compare("q", answer([1.0, 1.0], state=1.0), answer([1.0, 1.0], state=1.00001), Limits())[1].equal
    assert not compare("q", answer([float("nan"), 1.0]), answer([1.0, 1.0]), Limits())[0].equal
    wide = answer([1.0, 2.0, 3.0])
    assert not compare("q", wide, answer([1.0, 2.0]), Limits())[0].equal
