"""Sentence-transformers folders from a stranger: what modules.json and its sub-folders may say, and how they are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import polyhead as ph
from polyhead.checkpoint.huggingface import read_architecture
from polyhead.errors import UserError
from polyhead.generate.folder import read_architecture as folder_architecture
from polyhead.nn import Tokens

from ..swift import swift
from .folders import LLAMA, llama_weights, put

KINDS = ("Transformer", "Pooling", "Dense", "Dense", "Normalize")
LINEAR = {"linear.weight": torch.arange(96.0).reshape(6, 16).sin(), "linear.bias": torch.linspace(-1, 1, 6)}
SECOND = {"linear.weight": torch.arange(30.0).reshape(5, 6).cos()}
FILES: dict[str, Any] = {
    "modules.json": [{"idx": i, "name": str(i), "path": f"{i}_{k}" if i else "", "type": f"sentence_transformers.models.{k}"}
                     for i, k in enumerate(KINDS)],
    "1_Pooling/config.json": {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True},
    "2_Dense/config.json": {"in_features": 16, "out_features": 6, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"},
    "3_Dense/config.json": {"in_features": 6, "out_features": 5, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"},
    "sentence_bert_config.json": {"max_seq_length": 8, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {"query": "query: "}, "default_prompt_name": None},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "m", LLAMA, llama_weights())
    for inner, tensors in {"2_Dense": LINEAR, "3_Dense": SECOND}.items():
        (tmp_path / "m" / inner).mkdir()
        save_file(tensors, tmp_path / "m" / inner / "model.safetensors")
    for name, content in FILES.items():
        write(tmp_path / "m", name, content)
    return tmp_path / "m"


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def head(model: ph.Model, ids: torch.Tensor) -> torch.Tensor:
    return model.net(Tokens(ids))


def test_two_layers_after_the_pooling(folder: Path, tmp_path: Path) -> None:
    model, ids = ph.load(folder), torch.tensor([[1, 2, 3], [4, 5, 6]])
    x = model.net.hidden(Tokens(ids))[0].mean(1)
    expected = torch.nn.functional.normalize((x @ LINEAR["linear.weight"].T + LINEAR["linear.bias"]).tanh() @ SECOND["linear.weight"].T)
    assert torch.allclose(head(model, ids), expected, atol=1e-6)
    assert model.spec == read_architecture(folder)
    model.save(tmp_path / "out", to="hf")
    for inner, tensors in {"2_Dense": LINEAR, "3_Dense": SECOND}.items():
        out = load_file(tmp_path / "out" / inner / "model.safetensors")
        assert out.keys() == tensors.keys() and all(torch.equal(out[name], tensors[name]) for name in out)
    again = ph.load(tmp_path / "out")
    assert again.spec == model.spec and again.meta["sentences"] == model.meta["sentences"] and torch.equal(head(again, ids), head(model, ids))


@pytest.mark.parametrize("switch, expected", [
    ("pooling_mode_cls_token", lambda x: x[:, 0]), ("pooling_mode_max_tokens", lambda x: x.amax(1)), ("pooling_mode_lasttoken", lambda x: x[:, -1]),
    ("pooling_mode_mean_sqrt_len_tokens", lambda x: x.sum(1) / 3**0.5),
    ("pooling_mode_weightedmean_tokens", lambda x: (x * torch.tensor([1.0, 2.0, 3.0]).unsqueeze(-1)).sum(1) / 6),
], ids=["cls", "max", "last", "sqrt", "weighted"])  # fmt: skip
def test_every_pooling(folder: Path, tmp_path: Path, switch: str, expected: Any) -> None:
    write(folder, "modules.json", FILES["modules.json"][:2])
    write(folder, "1_Pooling/config.json", {"word_embedding_dimension": 16, switch: True, "pooling_mode_mean_tokens": True})
    model, ids = ph.load(folder), torch.tensor([[1, 2, 3], [4, 5, 6]])
    x = model.net.hidden(Tokens(ids))[0]
    parts = [expected(x), x.mean(1)] if switch in ("pooling_mode_cls_token", "pooling_mode_max_tokens") else [x.mean(1), expected(x)]
    assert torch.allclose(head(model, ids), torch.cat(parts, -1), atol=1e-6)
    model.save(tmp_path / "out", to="hf")
    assert ph.load(tmp_path / "out").spec == model.spec


def test_the_older_layout_has_the_transformer_in_a_folder_of_its_own(folder: Path) -> None:
    model, ids = ph.load(folder), torch.tensor([[1, 2, 3], [4, 5, 6]])
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "sentence_bert_config.json"):
        (folder / name).rename(folder / "0_Transformer" / name)
    first, *rest = FILES["modules.json"]
    write(folder, "modules.json", [{**first, "path": "0_Transformer"}, *rest])
    again = ph.load(folder)
    assert again.spec == model.spec == folder_architecture(folder) and again.meta == model.meta
    assert (head(again, ids) - head(model, ids)).abs().max() < 1e-6


def test_what_a_folder_cannot_say_is_refused(folder: Path, tmp_path: Path) -> None:
    model = ph.load(folder)
    heads = {"embed": model.spec.heads["embed"].model_copy(update={"scale": 2.0})}
    other = ph.Model(model.spec.model_copy(update={"heads": heads}).build(seed=0), None, meta=model.meta)
    with pytest.raises(UserError, match=r"heads\.embed\.scale"):
        other.save(tmp_path / "out", to="hf")
    assert not (tmp_path / "out" / "config.json").exists()


def _modules(**changes: Any) -> list[dict[str, Any]]:
    return [*FILES["modules.json"][:1], {**FILES["modules.json"][1], **changes}, *FILES["modules.json"][2:]]


DENSE = FILES["2_Dense/config.json"]
HOSTILE = {
    "a list": ("modules.json", {"a": 1}, "content"),
    "rows": ("modules.json", [1, 2], "content"),
    "thousands": ("modules.json", FILES["modules.json"] * 1000, "content"),
    "up": ("modules.json", _modules(path="../x"), "path"),
    "root": ("modules.json", _modules(path="/etc"), "path"),
    "path of numbers": ("modules.json", _modules(path=[1]), "path"),
    "unknown": ("modules.json", _modules(type="os.system"), "system"),
    "unknown kind": ("modules.json", _modules(type="sentence_transformers.models.CNN"), "CNN"),
    "no type": ("modules.json", _modules(type=None), "None"),
    "three": ("modules.json", [*FILES["modules.json"][:4], *FILES["modules.json"][3:]], "Dense"),
    "order": ("modules.json", FILES["modules.json"][::-1], "Normalize, Dense"),
    "no pooling": ("modules.json", FILES["modules.json"][:1], "Pooling"),
    "width": ("1_Pooling/config.json", {"word_embedding_dimension": 10**12}, "word_embedding_dimension"),
    "pool": ("1_Pooling/config.json", {"pooling_mode": "os"}, "pooling_mode"),
    "pool of numbers": ("1_Pooling/config.json", {"pooling_mode": [[1]]}, "pooling_mode"),
    "prompt": ("1_Pooling/config.json", {"include_prompt": False}, "include_prompt"),
    "pooling, a list": ("1_Pooling/config.json", [1], "config.json"),
    "huge": ("2_Dense/config.json", {**DENSE, "out_features": 10**30}, "out_features"),
    "large": ("2_Dense/config.json", {**DENSE, "out_features": 2**31 - 1}, "in_features"),
    "negative": ("2_Dense/config.json", {**DENSE, "out_features": -1}, "out_features"),
    "fraction": ("2_Dense/config.json", {**DENSE, "out_features": 6.5}, "out_features"),
    "in": ("2_Dense/config.json", {**DENSE, "in_features": "16"}, "in_features"),
    "bias": ("2_Dense/config.json", {**DENSE, "bias": "no"}, "bias"),
    "activation": ("2_Dense/config.json", {**DENSE, "activation_function": "os.system"}, "activation_function"),
    "activation of two": ("3_Dense/config.json", {**DENSE, "in_features": 6}, "activation_function"),
    "residual": ("2_Dense/config.json", {**DENSE, "use_residual": True}, "use_residual"),
    "of tokens": ("2_Dense/config.json", {**DENSE, "module_input_name": "token_embeddings"}, "module_input_name"),
    "length": ("sentence_bert_config.json", {"max_seq_length": -1}, "max_seq_length"),
    "length in words": ("sentence_bert_config.json", {"max_seq_length": "8"}, "max_seq_length"),
    "task": ("sentence_bert_config.json", {"transformer_task": "any-to-any"}, "transformer_task"),
    "prompts": ("config_sentence_transformers.json", {"prompts": [1]}, "prompts"),
    "prompt of numbers": ("config_sentence_transformers.json", {"prompts": {"a": 1}}, "prompts"),
    "columns": ("config_sentence_transformers.json", {"truncate_dim": 0}, "truncate_dim"),
    "usual": ("config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": "a"}, "default_prompt_name"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_modules(folder: Path, name: str) -> None:
    file, content, word = HOSTILE[name]
    write(folder, file, content)
    refused(folder, word, file if name != "large" else "3_Dense")


@pytest.mark.parametrize("name, weights", [
    ("shape", {**LINEAR, "linear.weight": torch.zeros(6, 15)}), ("missing", {"linear.weight": LINEAR["linear.weight"]}), ("more", {**LINEAR, "evil": torch.zeros(1)}),
], ids=["shape", "missing", "more"])  # fmt: skip
def test_hostile_weights_of_a_layer(folder: Path, name: str, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    refused(folder, "2_Dense/")


def test_pickled_weights_of_a_layer_are_not_opened(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    refused(folder, "2_Dense")


def test_a_link_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "1_Pooling").rename(tmp_path / "elsewhere")
    try:
        (folder / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("no symbolic links here")
    refused(folder, "1_Pooling")


def refused(folder: Path, *words: str) -> None:
    with swift(), pytest.raises(UserError) as caught:
        ph.load(folder)
    text = str(caught.value)
    assert all(word in text for word in words) and len(text) < 1500, text
    assert caught.value.expected and all(letter.isprintable() or letter == "\n" for letter in text)
