"""A config leaves in the words it came in, as long as they mean the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import polyhead as ph
from polyhead.families.exchange import read_config, write_config

from .test_readings import config_of

WORDS = [
    ("bert_mlm", "hidden_act", "gelu_pytorch_tanh"), ("bigbird_45", "hidden_act", "gelu_pytorch_tanh"), ("vit_classify", "hidden_act", "gelu_pytorch_tanh"),
    ("llama_2", "hidden_act", "gelu_pytorch_tanh"), ("llama_2", "hidden_act", "swish"), ("gpt2_lm", "activation_function", "gelu_fast"),
    ("gemma2_lm", "hidden_activation", "gelu"), ("bart_lm", "activation_function", "swish"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "key", "word"), WORDS, ids=[f"{case}-{word}" for case, _, word in WORDS])
def test_of_two_words_for_one_thing_the_sources_is_kept(case: str, key: str, word: str) -> None:
    source = config_of(case, **{key: word})
    spec = read_config(source).spec
    assert write_config(spec, source)[0][key] == word
    assert write_config(spec)[0][key] != word  # without a source, the published models' own


@pytest.mark.parametrize("case", ["bert_mlm", "llama_2"])
def test_a_word_for_something_else_is_not(case: str) -> None:
    source = config_of(case, hidden_act="gelu_pytorch_tanh")
    changed = read_config(config_of(case, hidden_act="relu")).spec
    assert write_config(changed, source)[0]["hidden_act"] == "relu"
    assert read_config(write_config(changed, source)[0]).spec == changed


@pytest.mark.parametrize("case", ["llama_2", "t5_lm"])
def test_where_a_decoder_starts_is_said_beside_an_encoder_alone(case: str, opened: Callable[[str], ph.Model], tmp_path: Path) -> None:
    model = opened(case)
    assert model.meta["start"] is not None
    without = {key: value for key, value in model.meta.items() if key != "huggingface"}
    for meta in (model.meta, without):
        ph.Model(model.net, meta=meta).save(tmp_path, to="hf")
        assert ("decoder_start_token_id" in json.loads((tmp_path / "config.json").read_text())) == (case == "t5_lm")
