"""Folders of two towers, in and out: published spellings, refusals that name part and key, native folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import polyhead as ph
from polyhead import families
from polyhead.errors import CheckpointError, ConfigError, UserError
from polyhead.families import override
from polyhead.generate.folder import read_architecture
from polyhead.nn import Pair, PairSpec, Tokens

IMAGE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 8, "patch_size": 4, "projection_dim": 6}
TEXT = {"vocab_size": 40, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 9,
        "eos_token_id": 39, "projection_dim": 6}  # fmt: skip
CONFIG = {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 6, "vision_config": IMAGE, "text_config": TEXT}
IDS, PIXELS = torch.tensor([[38, 5, 7, 39], [38, 11, 39, 39]]), torch.linspace(-1, 1, 3 * 3 * 64).view(3, 3, 8, 8)


def tiny() -> PairSpec:
    return families.read_pair(CONFIG).spec


def folder(path: Path, config: dict[str, Any] = CONFIG, drop: str = "", more: str = "") -> Path:
    model = ph.Model(tiny().build(0))
    model.save(path, to="hf")
    if drop or more:
        tensors = load_file(path / "model.safetensors") | ({more: torch.zeros(1)} if more else {})
        save_file({name: tensor for name, tensor in tensors.items() if name != drop}, path / "model.safetensors", {"format": "pt"})
    (path / "config.json").write_text(json.dumps(config))
    return path


@torch.no_grad()
def logits(net: Pair) -> torch.Tensor:
    return net(Tokens(IDS), Tokens(signal=PIXELS))


def test_old_files_repeat_a_part_which_then_counts() -> None:
    wrong = {"hidden_size": 99, "eos_token_id": 2}
    old = CONFIG | {"text_config": TEXT | wrong, "text_config_dict": TEXT, "vision_config": IMAGE | {"patch_size": 2}, "vision_config_dict": IMAGE}
    assert families.read_pair(old).spec == tiny()


def test_the_width_beside_the_parts_is_the_one_of_both_vectors() -> None:
    spec = families.read_pair(CONFIG | {"projection_dim": 10}).spec
    assert (spec.vector(spec.image), spec.vector(spec.text)) == (10, 10)


def test_a_pair_goes_through_both_formats_unchanged(tmp_path: Path) -> None:
    net = families.read_pair(CONFIG | {"logit_scale_init_value": 1.5}).spec.build(0).eval()
    for to in ("native", "hf", "auto"):
        ph.Model(net, objective="pair").save(tmp_path / to, to=to)
        again = ph.load(tmp_path / to)
        assert isinstance(again.net, Pair) and again.spec == net.spec == read_architecture(tmp_path / to) and again.objective == "pair"
        assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.net.state_dict().values(), strict=True))
        assert torch.equal(logits(again.net), logits(net))
    assert not (tmp_path / "auto" / "spec.json").exists() and not (tmp_path / "native" / "config.json").exists()


def test_transformers_opens_a_pair_made_from_a_preset(tmp_path: Path) -> None:
    hf = pytest.importorskip("transformers")
    image = override(families.preset("clip-vit-base-32-image"), {"encoder.width": 32, "encoder.layers": 2, "encoder.embedding.input.image": 64,
                     "encoder.embedding.position.length": 5, "context": 5, "encoder.blocks.layer.attention.heads.heads": 2, "encoder.blocks.layer.ffn.inner": 48})  # fmt: skip
    text = override(families.preset("clip-vit-base-32-text"), {"decoder.width": 24, "decoder.layers": 1, "decoder.blocks.layer.attention.heads.heads": 2,
                    "decoder.blocks.layer.ffn.inner": 40, "decoder.embedding.vocab": 40, "heads.embed.eos": 39})  # fmt: skip
    net = PairSpec(family="clip", image=image, text=text, scale=1.0).build(3).eval()
    ph.Model(net).save(tmp_path, to="hf")
    theirs, info = hf.CLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    pixels = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    with torch.no_grad():
        gap = (net(Tokens(IDS), Tokens(signal=pixels)) - theirs(input_ids=IDS, pixel_values=pixels).logits_per_text).abs().max()
    assert gap < 1e-5
    assert theirs.config.logit_scale_init_value == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_config": None}, "text_config is missing"),
        ({"vision_config": 7}, "vision_config is missing"),
        ({"text_config": TEXT | {"hidden_act": "swish9"}}, "text_config: hidden_act"),
        ({"vision_config": IMAGE | {"patch_size": 99}}, "vision_config does not describe a model"),
        ({"logit_scale_init_value": "much"}, "logit_scale_init_value"),
        ({"projection_dim": -3}, "projection_dim"),
        ({"architectures": ["CLIPModle"]}, "architectures"),
        ({"architectures": 5}, "architectures"),
        ({"model_type": ["clip"]}, "model_type"),
    ],
)
def test_a_config_that_is_wrong_is_told_with_part_and_key(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        ph.load(folder(tmp_path, CONFIG | change))


def test_sizes_are_checked_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="text_config.hidden_size 1048576"):
        ph.load(folder(tmp_path, CONFIG | {"text_config": TEXT | {"hidden_size": 2**20, "intermediate_size": 2**20}}))


@pytest.mark.parametrize(("drop", "more"), [("logit_scale", ""), ("text_projection.weight", ""), ("", "vision_model.surprise")])
def test_a_tensor_too_few_or_too_many_is_named(drop: str, more: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=drop or more):
        ph.load(folder(tmp_path, drop=drop, more=more))


def test_what_a_pair_cannot_do_is_refused_with_what_it_can(tmp_path: Path) -> None:
    model = ph.Model(tiny().build(0))
    assert repr(model).startswith("Model(image 2×16 + text 1×12, ")
    for ask in (lambda: model.generate(ids=[1]), lambda: model.score(ids=[1, 2])):
        with pytest.raises(UserError, match="writes no text") as told:
            ask()
        assert "model.classify_images(images, texts)" in str(told.value)
    with pytest.raises(ConfigError, match="two models") as told:
        families.resolve("clip-vit-base-32")
    assert "clip-vit-base-32-text" in str(told.value)
    with pytest.raises(ConfigError, match="clip-vit-base-32"):
        families.pair("clip-vit-base-16")


def test_towers_that_no_family_pairs_are_saved_natively_alone(tmp_path: Path) -> None:
    spec = tiny()
    strange = PairSpec(image=spec.image.model_copy(update={"family": "vit"}), text=spec.text).build(0)
    with pytest.raises(ConfigError, match="no published family pairs"):
        ph.Model(strange).save(tmp_path / "a", to="hf")
    ph.Model(strange).save(tmp_path / "b")
    assert ph.load(tmp_path / "b").spec == strange.spec
