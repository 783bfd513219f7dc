"""A model started from a preset, here with random weights and smaller, leaves into its family: transformers answers the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import polyhead as ph
from polyhead.families import for_objective
from polyhead.nn import ModelSpec

from . import reference
from .cases import Case
from .common import LIMITS, ask, gap, same

# a preset of every family that has a published form → where its class has the answers, what it is fed
FED = {
    "bert-base": ({"pool": "pooler_output"}, "tokens"), "gpt2": ({"lm": "logits"}, "tokens"), "llama-7b": ({"lm": "logits"}, "tokens"),
    "longformer-base-4096": ({"pool": "pooler_output"}, "tokens"), "bigbird-roberta-base": ({"pool": "pooler_output"}, "tokens"),
    "modernbert-base": ({}, "tokens"), "deberta-v3-base": ({}, "tokens"),
}  # fmt: skip


def smaller(spec: dict[str, Any]) -> dict[str, Any]:
    """The same choices at a tiny size: every number that is a size is replaced, every other value stays."""
    width, heads = 32, 4
    spec["context"] = 64
    for stack in (spec["encoder"], spec["decoder"]):
        if stack is None:
            continue
        wide = stack["width"]
        stack.update(width=width, layers=max(2, len(stack["layout"])) if len(stack["layout"]) < 7 else stack["layers"])
        embedding = stack["embedding"]
        embedding["vocab"] = embedding["vocab"] and 99
        embedding["width"] = embedding["width"] and 16
        if embedding["scale"] != 1.0:
            embedding["scale"] = width**0.5
        if "length" in embedding["position"]:
            embedding["position"]["length"] = 64
        for block in stack["blocks"].values():
            _smaller_block(block, wide, width, heads)
    for head in spec["heads"].values():
        head["output"] = head["output"] and (99 if head["task"] in ("lm", "mlm") else head["output"])
        head["dense"] = head["dense"] and ((spec["encoder"] or spec["decoder"])["embedding"]["width"] or width if head["tied"] else width)
    return spec


def _smaller_block(block: dict[str, Any], wide: int, width: int, heads: int) -> None:
    for attention in (block["attention"], block["cross"]):
        if attention is None:
            continue
        spec = attention["heads"]
        if spec.get("kv_heads") is not None:
            spec["kv_heads"] = heads if spec["kv_heads"] == spec["heads"] else 1 if spec["kv_heads"] == 1 else 2
        if spec.get("head_dim") is not None:
            spec["head_dim"] = 8 if spec["head_dim"] * spec["heads"] == wide else 12
        if spec.get("scale") is not None:  # still what it was beside head_dim^−½
            spec["scale"] *= (wide / spec["heads"] * heads / width) ** 0.5
        spec["heads"] = heads
    block["ffn"]["inner"] = 48


@torch.no_grad()
@pytest.mark.parametrize("name", FED)
def test_a_preset_exports_into_its_family(name: str, tmp_path: Path) -> None:
    spec = ModelSpec.model_validate(smaller(ph.preset(name).model_dump(mode="json")))
    model = ph.Model(spec.build(seed=3).eval())
    model.save(tmp_path, to="hf")
    config = json.loads((tmp_path / "config.json").read_text())
    fields = {"vocab_size": 99, "decoder_start_token_id": 0}
    answers, feed = FED[name]
    case = Case(name, "", config["architectures"][0], fields, answers, feed)
    theirs, info = reference.reopen(case, tmp_path)
    assert not any(info.values()), info
    batch = reference.feed(case, theirs.config)
    ours = ask(model.net, case, batch)
    found = gap(ours, reference.ask(theirs, case, batch), case, batch)
    assert found.head <= LIMITS[torch.float32].head and found.state <= LIMITS[torch.float32].state and found.same_choice, found
    again = ph.load(tmp_path)
    assert same(ask(again.net, case, batch), ours) and again.spec.params() == spec.params()


def test_a_class_with_a_pooler_that_was_not_trained_is_written_without_it(tmp_path: Path) -> None:
    spec = for_objective(ModelSpec.model_validate(smaller(ph.preset("bigbird-roberta-base").model_dump(mode="json"))), "masked")
    ph.Model(spec.build(seed=3).eval()).save(tmp_path, to="hf")
    case = Case("", "", "BigBirdForMaskedLM", {"vocab_size": 99}, {})
    _, info = reference.reopen(case, tmp_path)
    assert set(info.pop("missing_keys")) == {"bert.pooler.weight", "bert.pooler.bias"} and not any(info.values()), info
    assert ph.load(tmp_path).spec.heads == spec.heads
