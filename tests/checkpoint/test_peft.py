"""Adapter files without PEFT: there and back, fused matrices, what learnt in full, and files that are not of this model."""

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
from polyhead.errors import CheckpointError, ConfigError
from polyhead.families import override, preset
from polyhead.generate import Model
from polyhead.nn import HeadSpec, LoraSpec, ModelSpec, Tokens, Transformer, adapt, merged
from polyhead.nn.lora import LoRALinear

IDS = Tokens(torch.randint(0, 23, (2, 9), generator=torch.Generator().manual_seed(1)))
HEADS = "decoder.blocks.layer.attention.heads."


def tiny(name: str, **more: Any) -> ModelSpec:
    base = {"decoder.layers": 2, "decoder.width": 16, f"{HEADS}heads": 4, "vocab": 23, "context": 32, "decoder.blocks.layer.ffn.inner": 24}
    return override(preset(name), base | more)


LLAMA = tiny("llama-2-7b", **{f"{HEADS}kv_heads": 2})
SPECS = {"llama": LLAMA, "gpt2": tiny("gpt2"), "phi3": tiny("phi-3-mini-4k", **{f"{HEADS}kv_heads": 2}), "neox": tiny("pythia-14m", **{"decoder.blocks.layer.attention.position.dim": 2}), "falcon": tiny("falcon-7b")}


@torch.no_grad()
def stirred(spec: ModelSpec, lora: LoraSpec, seed: int = 0) -> Model:
    net = spec.build(seed)
    adapt(net, lora, seed)
    draw = torch.Generator().manual_seed(seed + 1)
    for p in net.parameters():
        p.copy_(torch.randn(p.shape, generator=draw) * 0.5)
    return Model(net.eval())


def base_of(model: Model) -> Model:
    """The same weights without the updates."""
    net = model.spec.model_copy(update={"lora": None}).build(None)
    net.load_state_dict({n: t for n, t in model.net.state_dict().items() if ".lora_" not in n})
    return Model(net.eval())


def same(a: Transformer, b: Transformer) -> None:
    with torch.no_grad():
        torch.testing.assert_close(a(IDS), b(IDS), rtol=1e-4, atol=1e-4)


def with_lora(name: str) -> Transformer:
    net = preset(name).build(0)
    adapt(net, LoraSpec(), 0)
    return net


@pytest.mark.parametrize("targets", ["all", ("q", "v"), ("k",), ("o", "down")])
@pytest.mark.parametrize("name", SPECS)
def test_there_and_back_computes_the_same(name: str, targets: Any, tmp_path: Path) -> None:
    model = stirred(SPECS[name], LoraSpec(rank=2, alpha=3.0, targets=targets))
    model.save_adapter(tmp_path / "a", "base/model")
    again = base_of(model)
    with torch.no_grad():
        assert (again.net(IDS) - model.net(IDS)).abs().max() > 1e-3
    again.load_adapter(tmp_path / "a")
    same(again.net, model.net)
    same(merged(again.net), model.net)
    again.save(tmp_path / "native", to="native")
    same(ph.load(tmp_path / "native").net, model.net)


def test_unfused_factors_come_back_to_the_bit(tmp_path: Path) -> None:
    lora = LoraSpec(rank=2, alpha=3.0, dropout=0.1, targets=("q", "up"))
    model = stirred(LLAMA, lora)
    model.save_adapter(tmp_path / "a")
    again = base_of(model)
    again.load_adapter(tmp_path / "a")
    assert again.spec.lora == lora.model_copy(update={"also": ()})
    assert {n: t.tolist() for n, t in again.net.state_dict().items()} == {n: t.tolist() for n, t in model.net.state_dict().items()}


def test_names_shapes_and_scale_are_pefts(tmp_path: Path) -> None:
    stirred(LLAMA, LoraSpec(rank=2, alpha=3.0, targets=("q", "down"))).save_adapter(tmp_path / "a", "base/model")
    tensors, config = load_file(tmp_path / "a" / "adapter_model.safetensors"), json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    stem = "base_model.model.model.layers.1"
    assert {n: tuple(t.shape) for n, t in tensors.items() if n.startswith(stem)} == {
        f"{stem}.self_attn.q_proj.lora_A.weight": (2, 16), f"{stem}.self_attn.q_proj.lora_B.weight": (16, 2),
        f"{stem}.mlp.down_proj.lora_A.weight": (2, 24), f"{stem}.mlp.down_proj.lora_B.weight": (16, 2),
    }  # fmt: skip
    wanted = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "base/model", "r": 2, "lora_alpha": 3, "target_modules": ["down_proj", "q_proj"],
              "modules_to_save": None, "rank_pattern": {}, "use_rslora": False, "bias": "none", "fan_in_fan_out": False}  # fmt: skip
    assert config.items() >= wanted.items()


def test_one_matrix_for_three_maps_is_one_update_of_all_their_ranks(tmp_path: Path) -> None:
    """B in blocks: rows of q from q's factor alone, none for k; the product is Δq, 0, Δv."""
    model = stirred(SPECS["gpt2"], LoraSpec(rank=2, alpha=3.0))
    model.save_adapter(tmp_path / "a")
    tensors, config = load_file(tmp_path / "a" / "adapter_model.safetensors"), json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["fan_in_fan_out"], config["target_modules"]) == (4, 6, True, ["c_attn"])
    stem = "base_model.model.transformer.h.0.attn.c_attn"
    delta = tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"] * config["lora_alpha"] / config["r"]
    heads = model.net.decoder.layers[0].attention.heads
    assert isinstance(heads.q, LoRALinear)
    parts = [1.5 * m.lora_b @ m.lora_a if isinstance(m, LoRALinear) else torch.zeros(16, 16) for m in (heads.q, heads.k, heads.v)]
    torch.testing.assert_close(delta, torch.cat(parts).detach())


def test_what_learnt_in_full_goes_along(tmp_path: Path) -> None:
    head = HeadSpec(task="classify", pool="last", output=5)
    model = stirred(LLAMA.model_copy(update={"heads": {"classify": head}}), LoraSpec(rank=2))
    model.save_adapter(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (config["task_type"], config["modules_to_save"]) == ("SEQ_CLS", ["score"])
    again = base_of(model)
    with torch.no_grad():
        again.net.heads["classify"].weight.zero_()
    again.load_adapter(tmp_path / "a")
    assert again.spec.lora is not None and again.spec.lora.also == ("heads.classify",)
    same(again.net, model.net)


@pytest.mark.parametrize(
    ("also", "message"),
    [(("decoder.embed",), "decoder.embed.token is tied"), (("decoder.final_norm.weight",), "PEFT's files hold whole modules")],
)
def test_parts_that_are_no_modules_of_their_own_are_refused(also: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        stirred(SPECS["gpt2"], LoraSpec(also=also)).save_adapter(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_without_updates_or_family_there_is_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no low-rank updates"):
        Model(LLAMA.build(0)).save_adapter(tmp_path / "a")
    with pytest.raises(ConfigError, match="no published family"):
        Model(with_lora("gpt-nano")).save_adapter(tmp_path / "a")
    with pytest.raises(CheckpointError, match="no place for a model"):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "thesis.tex").write_text("")
        stirred(LLAMA, LoraSpec()).save_adapter(tmp_path / "b")


# ---------------------------------------------------------------- files that are not of this model


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "a"
    stirred(LLAMA, LoraSpec(rank=2)).save_adapter(folder)
    return folder


Q = "base_model.model.model.layers.0.self_attn.q_proj"


def changed(config: dict[str, Any] | None = None, tensors: Callable[[dict[str, torch.Tensor]], Any] | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        if config is not None:
            path = folder / "adapter_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | config))
        if tensors is not None:
            found = load_file(folder / "adapter_model.safetensors")
            tensors(found)
            save_file(found, folder / "adapter_model.safetensors")

    return change


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), "adapter_config.json alone"),
    "no config": (lambda f: (f / "adapter_config.json").unlink(), "neither"),
    "torn config": (lambda f: (f / "adapter_config.json").write_text("{"), "adapter_config.json"),
    "torn weights": (lambda f: (f / "adapter_model.safetensors").write_bytes(b"\x08"), "adapter_model.safetensors"),
    "another kind": (changed({"peft_type": "IA3"}), "peft_type IA3"),
    "rank no number": (changed({"r": "8"}), "r and lora_alpha"),
    "alpha 0": (changed({"lora_alpha": 0}), "r and lora_alpha"),
    "dropout 1": (changed({"lora_dropout": 1}), "lora_dropout from 0 to 1"),
    "a pattern that is a program": (changed({"alpha_pattern": {"(a+)+$": 3}}), "alpha_pattern of names"),
    "a pattern of words": (changed({"alpha_pattern": {"q_proj": "x"}}), "alpha_pattern of names"),
    "one factor": (changed(tensors=lambda t: t.pop(f"{Q}.lora_B.weight")), r"lora_B|none"),
    "factors of two ranks": (changed(tensors=lambda t: t.update({f"{Q}.lora_B.weight": torch.zeros(16, 3)})), r"\(2, 16\), \(16, 3\)"),
    "another width": (changed(tensors=lambda t: t.update({f"{Q}.lora_A.weight": torch.zeros(2, 17)})), r"update of .*q_proj.weight \(16, 16\)"),
    "another model": (changed(tensors=lambda t: t.update({n.replace("layers.0", "layers.7"): t.pop(n) for n in list(t) if "layers.0" in n})), "layers.7"),
    "whole numbers": (changed(tensors=lambda t: t.update({f"{Q}.lora_A.weight": torch.zeros(2, 16, dtype=torch.int8)})), "int8"),
    "an embedding's update": (changed(tensors=lambda t: t.update({"base_model.model.model.embed_tokens.lora_embedding_A": torch.zeros(2, 23)})), "lora_embedding_A"),
    "a module of another": (changed(tensors=lambda t: t.update({"base_model.model.score.weight": torch.zeros(2, 16)})), "score.weight"),
    "a module of another shape": (changed(tensors=lambda t: t.update({"base_model.model.lm_head.weight": torch.zeros(2, 16)})), r"heads.lm.weight \(2, 16\)"),
    "nothing": (changed(tensors=lambda t: t.clear()), "low-rank updates"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_and_the_model_is_as_it_was(name: str, written: Path, tmp_path: Path) -> None:
    change, message = BAD[name]
    folder = Path(shutil.copytree(written, tmp_path / "a"))
    change(folder)
    model = Model(LLAMA.build(0))
    before = {n: t.clone() for n, t in model.net.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as error:
        model.load_adapter(folder)
    assert str(folder) in str(error.value)
    after = model.net.state_dict()
    assert model.spec == LLAMA and after.keys() == before.keys() and all(torch.equal(t, before[n]) for n, t in after.items())


def test_a_second_adapter_is_refused(written: Path) -> None:
    model = Model(LLAMA.build(0))
    model.load_adapter(written)
    with pytest.raises(CheckpointError, match="a model without low-rank updates"):
        model.load_adapter(written)


def test_merging_by_the_model(written: Path) -> None:
    model = stirred(LLAMA, LoraSpec(rank=2))
    with torch.no_grad():
        apart = model.net(IDS)
        model.merge()
        together = model.net(IDS)
        model.unmerge()
        assert torch.equal(model.net(IDS), apart) and not torch.equal(together, apart)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)
