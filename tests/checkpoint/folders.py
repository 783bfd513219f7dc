"""Small Hugging Face folders, sound and hostile, and what must hold of every refusal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from polyhead.checkpoint import open_source
from polyhead.errors import CheckpointError

from ..swift import swift

CONFIG = {"model_type": "gpt2", "n_layer": 2}
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 20, "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32, "hidden_act": "silu",
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "float32",
}  # fmt: skip


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "wte.weight": torch.randn(9, 4, generator=generator),
        "h.0.bias": torch.randn(6, generator=generator).to(torch.bfloat16),
        "h.1.bias": torch.arange(5),
        "ln.weight": torch.randn((), generator=generator),
    }


def llama_weights() -> dict[str, Tensor]:
    """Those that LLAMA describes."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"model.embed_tokens.weight": (20, 16), "model.norm.weight": (16,), "lm_head.weight": (20, 16)}
    inner = {"self_attn.q_proj": (16, 16), "self_attn.k_proj": (8, 16), "self_attn.v_proj": (8, 16), "self_attn.o_proj": (16, 16),
             "mlp.gate_proj": (24, 16), "mlp.up_proj": (24, 16), "mlp.down_proj": (16, 24),
             "input_layernorm": (16,), "post_attention_layernorm": (16,)}  # fmt: skip
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in inner.items()}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def put(folder: Path, config: Any = CONFIG, weights: Mapping[str, Tensor] | None = None) -> Path:
    """A folder with one weights file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(tensors() if weights is None else weights), folder / "model.safetensors", {"format": "pt"})
    return folder


def put_shards(folder: Path, weights: Mapping[str, Tensor] | None = None, places: dict[str, Any] | None = None) -> Path:
    """A folder with one tensor a shard; `places` changes entries of the weight map (None removes one)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    weights = tensors() if weights is None else weights
    files = {name: f"model-{n:05}-of-{len(weights):05}.safetensors" for n, name in enumerate(weights, 1)}
    for name, file in files.items():
        save_file({name: weights[name]}, folder / file, {"format": "pt"})
    return put_index(folder, {**files, **(places or {})})


def put_index(folder: Path, places: Any) -> Path:
    if isinstance(places, dict):
        places = {name: file for name, file in places.items() if file is not None}
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def same(left: Tensor, right: Tensor) -> bool:
    flat = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (left, right)]
    return left.dtype == right.dtype and left.shape == right.shape and torch.equal(*flat)


def holds(folder: Path, expected: Mapping[str, Tensor]) -> bool:
    source = open_source(folder)
    return set(source.tensors) == set(expected) and all(
        same(lazy.get(), expected[name]) for name, lazy in source.tensors.items()
    )


def refused(folder: Path, *words: str, call: Callable[[Path], Any] = open_source) -> str:
    """That `call` refuses the folder at once, naming each of `words`, in printable words of bounded length."""
    with swift(), pytest.raises(CheckpointError) as caught:
        call(folder)
    text = str(caught.value)
    assert caught.value.received and caught.value.expected
    for word in words:
        assert word in text, text
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert len(text) < 1500
    return text


def link(path: Path, target: str | Path) -> None:
    try:
        os.symlink(target, path)
    except OSError:
        pytest.skip("no symbolic links here")
