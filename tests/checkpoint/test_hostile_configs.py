"""Configs from a stranger (H33-H44, H49, H50), loaded for real: refused at once by file and key, before anything is allocated."""

from __future__ import annotations

import json
import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError, UserError
from polyhead.families import recipes

from ..swift import swift
from .folders import LLAMA, llama_weights, put

resource = pytest.importorskip("resource")

SIZES = ["hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads", "num_key_value_heads", "intermediate_size",
         "max_position_embeddings", "head_dim", "n_embd", "n_layer", "n_head", "n_positions", "n_inner", "d_model", "d_ff", "d_kv",
         "num_layers", "num_heads", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads",
         "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim", "dim", "hidden_dim", "n_layers", "n_heads", "embedding_size", "image_size",
         "patch_size", "num_channels", "num_mel_bins", "num_local_experts", "num_experts", "n_routed_experts", "max_position",
         "moe_intermediate_size", "sliding_window", "type_vocab_size", "num_decoder_layers", "rotary_dim", "kv_lora_rank"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(tmp_path / "m", LLAMA, llama_weights())


def changed(folder: Path, **keys: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(LLAMA | keys))
    return folder


def peak() -> int:
    """The most memory this process has had so far, in kilobytes, where the system says so."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if sys.platform == "linux" else 0


def attempt(folder: Path) -> UserError | None:
    """The error that loading meets, if any, of the kinds a stranger's folder may cause; at once, and for little memory."""
    before = peak()
    try:
        with swift(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ph.load(folder)
        return None
    except UserError as error:
        return error
    finally:
        assert peak() - before < 100_000


def refused(folder: Path, *words: str) -> None:
    error = attempt(folder)
    assert error is not None, "it was loaded"
    text = str(error)
    assert all(word in text for word in ("config.json", *words)), text
    assert all(letter.isprintable() or letter == "\n" for letter in text) and len(text) < 2000


def test_the_folder_that_is_changed_below_is_sound(folder: Path) -> None:
    assert attempt(folder) is None


@pytest.mark.parametrize("size", [10**12, 10**9, 10**6, 17, 32])
def test_h33_hidden_size(folder: Path, size: int) -> None:
    refused(changed(folder, hidden_size=size))


@pytest.mark.parametrize("layers", [10**12, 10**9, 10**5, 9_999, 3])
def test_h34_layers_are_refused_before_any_is_built(folder: Path, layers: int) -> None:
    refused(changed(folder, num_hidden_layers=layers), "num_hidden_layers")


@pytest.mark.parametrize("size", [2**63, 2**31, 2**31 - 1, 10**6])
def test_h35_vocab_size(folder: Path, size: int) -> None:
    refused(changed(folder, vocab_size=size), "vocab_size")


@pytest.mark.parametrize("heads", [3, 5, 32, 0, -4, 2**40])
def test_h36_heads_that_do_not_divide(folder: Path, heads: int) -> None:
    refused(changed(folder, num_attention_heads=heads))


@pytest.mark.parametrize("heads", [8, 3, 0, -1, 2**40])
def test_h37_key_heads(folder: Path, heads: int) -> None:
    refused(changed(folder, num_key_value_heads=heads))


@pytest.mark.parametrize("eps", ["NaN", "Infinity", "-Infinity", "1e400", "1e-400", "-1e-6", '"1e-6"', "1e30"])
def test_h38_eps(folder: Path, eps: str) -> None:
    text = json.dumps(LLAMA).replace("1e-06", eps)
    (folder / "config.json").write_text(text)
    refused(folder, "rms_norm_eps")


@pytest.mark.parametrize(
    "keys",
    [{"rope_theta": 0}, {"rope_theta": -10000.0}, {"rope_theta": "10000"}, {"rope_theta": True}, {"rope_theta": 1e300}]
    + [{"rope_scaling": {"rope_type": "linear", "factor": factor}} for factor in (1e300, 0, -2, "2", None, [2])]
    + [{"rope_scaling": value} for value in ("linear", 3, [], ["linear"], {"rope_type": "os.system", "factor": 2}, {"rope_type": ["linear"]})]
    + [{"rope_parameters": {"rope_type": "default", "rope_theta": theta}} for theta in (0, -1, "x", [1], {})],
    ids=str,
)  # fmt: skip
def test_h39_rope(folder: Path, keys: dict[str, Any]) -> None:
    refused(changed(folder, **keys), "rope")


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads", "intermediate_size", "rms_norm_eps"])
def test_h40_wrong_types(folder: Path, key: str) -> None:
    for value in (str(LLAMA[key]), True, False, [LLAMA[key]], {"a": 1}, 2.5 if key != "rms_norm_eps" else "x", "", "x" * 10**5):
        refused(changed(folder, **{key: value}), key)


@pytest.mark.parametrize("value", ["os.system", "__import__", "eval", "torch.nn.SiLU", "../silu", "", 3, ["silu"], {"silu": 1}, True])
def test_h41_activations_are_chosen_by_name_from_a_list(folder: Path, value: Any) -> None:
    refused(changed(folder, hidden_act=value), "hidden_act")


@pytest.mark.parametrize("value", ["os.system", 3, None, [], {}, "\x1b[31mllama", "llama\0", "x" * 10**6])
def test_h41_model_types_and_classes_are_chosen_by_name_from_a_list(folder: Path, value: Any) -> None:
    refused(changed(folder, model_type=value), "model_type")
    if value not in (None, []):
        refused(changed(folder, architectures=[value]), "architectures")


def sums(folder: Path) -> list[float]:
    return [float(p.detach().double().sum()) for p in ph.load(folder).net.parameters()]


def test_h42_keys_that_name_code_are_read_by_nobody(folder: Path) -> None:
    (folder / "modeling_evil.py").write_text("raise SystemExit('ran')")
    evil = {"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    plain = sums(folder)
    changed(folder, auto_map=evil, trust_remote_code=True, _attn_implementation_internal="evil/kernel", _attn_implementation="evil/kernel",
            custom_pipelines={"x": {"impl": "modeling_evil.Evil"}}, text_config={"trust_remote_code": True, "auto_map": evil})  # fmt: skip
    assert sums(folder) == plain
    ph.load(folder).save(folder.parent / "out", to="hf")
    written = (folder.parent / "out" / "config.json").read_text()
    assert "auto_map" not in written.split("text_config")[0] and "_attn_implementation" not in written


def test_h49_a_tie_that_the_weights_deny(folder: Path) -> None:
    net = ph.load(changed(folder, tie_word_embeddings=True)).net
    kept = dict(net.named_parameters())
    assert any(torch.equal(p, llama_weights()["lm_head.weight"]) for p in kept.values()), "the file's own output matrix was dropped"
    assert any(torch.equal(p, llama_weights()["model.embed_tokens.weight"]) for p in kept.values())
    bare = put(folder.parent / "bare", LLAMA, {n: t for n, t in llama_weights().items() if n != "lm_head.weight"})
    error = attempt(bare)
    assert error is not None and "lm_head" in str(error)


Q = "model.layers.0.self_attn.q_proj.weight"
WRONG = {
    "whole numbers": {Q: torch.zeros(16, 16, dtype=torch.int8)}, "truth values": {Q: torch.zeros(16, 16, dtype=torch.bool)},
    "rows": {Q: torch.zeros(15, 16)}, "turned": {"model.layers.1.mlp.up_proj.weight": torch.zeros(16, 24)}, "more": {"model.layers.2.evil": torch.zeros(1)},
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_h49_weights_that_are_not_of_the_config(folder: Path, kind: str) -> None:
    name = next(iter(WRONG[kind]))
    put(folder, LLAMA, llama_weights() | WRONG[kind])
    error = attempt(folder)
    assert error is not None and name in str(error) and str(folder) in str(error)


@pytest.mark.parametrize("key", ["pad_token_id", "eos_token_id", "bos_token_id"])
def test_h50_ids_outside_the_vocabulary(folder: Path, key: str) -> None:
    for value in (20, -1, 2**40, "2", [2, 99], [[2]], list(range(1000)), {"a": 2}, 2.5, True, [], [2, 3]):
        changed(folder, **{key: value})
        if attempt(folder) is None and value in (20, -1, "2", [2, 99]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert ph.load(folder).generate(ids=[1, 2], max_tokens=1, seed=0) is not None


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("value", ["x", 2.0, True, [2, "2"], {"a": 2}], ids=str)
def test_an_end_that_is_no_id_is_refused_by_file_and_key(folder: Path, file: str, value: Any) -> None:
    (folder / file).write_text(json.dumps((LLAMA if file == "config.json" else {}) | {"eos_token_id": value}))
    error = attempt(folder)
    assert isinstance(error, ConfigError) and f"{file}: eos_token_id" in error.message and error.received == repr(value)


def test_an_end_beyond_the_vocabulary_is_left_out_with_a_warning(folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 5000]}))
    with pytest.warns(UserWarning, match=r"generation_config.json: eos_token_id \[1, 5000\] is not in the vocabulary"):
        assert ph.load(folder).meta["eos"] == 1


@pytest.mark.parametrize("keys", [
    {"hidden_act": None}, {"dtype": "float7"}, {"torch_dtype": "float7"}, {"dtype": ["float32"]}, {"dtype": "nn"}, {"is_encoder_decoder": True},
])  # fmt: skip
def test_nonsense_is_refused_by_its_key(folder: Path, keys: dict[str, Any]) -> None:
    assert attempt(changed(folder, dtype="bfloat16", torch_dtype="torch.float16", is_encoder_decoder=False)) is None
    error = attempt(changed(folder, **keys))
    assert isinstance(error, ConfigError) and f"config.json: {next(iter(keys))}" in error.message and error.expected


def families() -> Iterator[str]:
    for recipe in recipes().values():
        yield from recipe.get("hf", {}).get("types", [])


@pytest.mark.parametrize("value", [10**12, 500, 0, -1, "12", True, [4]], ids=str)
def test_h33_to_h40_sizes_of_every_family(tmp_path: Path, value: Any) -> None:
    for kind in dict.fromkeys(families()):
        place = put(tmp_path / kind, {"model_type": kind, **dict.fromkeys(SIZES, value)}, llama_weights())
        assert attempt(place) is not None, kind


def test_random_damage_to_a_config_is_never_another_error(folder: Path) -> None:
    draw = random.Random(0)
    values = [None, True, 0, -1, 1, 3, 2**31, 10**30, 0.5, 1e300, "", "x", "12", [], [1], ["x"], {}, {"rope_type": "yarn"}, {"a": []}]
    keys = [*LLAMA, "rope_scaling", "head_dim", "sliding_window", "layer_types", "attention_bias", "quantization_config", "id2label"]
    caught = sum(
        attempt(changed(folder, **{key: draw.choice(values) for key in draw.sample(keys, draw.randint(1, 3))})) is not None
        for _ in range(100)
    )
    assert caught > 50


@pytest.mark.parametrize("kind, name", [
    ("bert", "BertLMHeadModel"), ("vit", "ViTForMaskedImageModeling"), ("gpt2", "GPT2DoubleHeadsModel"), ("bart", "BartForCausalLM"),
    ("whisper", "WhisperForAudioClassification"), ("llama", "__import__"),
])  # fmt: skip
def test_a_class_that_is_not_read_is_named(folder: Path, kind: str, name: str) -> None:
    refused(changed(folder, model_type=kind, architectures=[name]), "architectures", name)
