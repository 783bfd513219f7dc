"""Base models whose pooler was left out come in without it, and go out as they came."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

import polyhead as ph

hf = pytest.importorskip("transformers")
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.mark.parametrize(
    ("name", "fields"), [("ViTModel", {"image_size": 8, "patch_size": 4}), ("BertModel", {"vocab_size": 30, "max_position_embeddings": 12})]
)
def test_a_model_without_its_pooler_goes_round(name: str, fields: dict[str, int], tmp_path: Path) -> None:
    kind = getattr(hf, name)
    kind(kind.config_class(**TINY, **fields), add_pooling_layer=False).save_pretrained(tmp_path / "in")
    model = ph.load(tmp_path / "in")
    assert {head.task for head in model.spec.heads.values()} == {"embed"}, "hidden states"
    model.save(tmp_path / "out", to="hf")
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == load_file(tmp_path / "in" / "model.safetensors").keys()
    assert ph.load(tmp_path / "out").spec == model.spec
