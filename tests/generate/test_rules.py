"""What a generation_config.json bars: unit by unit, and against transformers' greedy search, id by id."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError
from polyhead.generate import Model
from polyhead.generate.rules import Rules, read_rules

from .nets import VOCAB, decoder, lively


def test_what_is_barred_after_a_row() -> None:
    ends = frozenset({2})
    assert Rules(ends).empty and not Rules(ends, ngram=2).empty
    assert Rules(ends, never=(5,)).barred([1], 0) == {5}
    assert [Rules(ends, not_first=(4,)).barred([1] * n, n) for n in (0, 1)] == [{4}, set()]
    assert [Rules(ends, not_first=(4,), forced_first=True).barred([1] * (n + 1), n) for n in (0, 1, 2)] == [set(), {4}, set()]
    assert [Rules(ends, new=2).barred([7, 7, 7, *[8] * n], n) for n in (1, 2)] == [{2}, set()]
    assert [Rules(ends, length=5).barred([7, 7, 7, *[8] * n], n) for n in (1, 2)] == [{2}, set()]
    phrases = Rules(ends, phrases=((9,), (3, 4), (3, 3, 5)))
    assert [phrases.barred(row, 0) for row in ([1], [1, 3], [3, 3], [3, 3, 1])] == [{9}, {9, 4}, {9, 4, 5}, {9}]
    assert [Rules(ends, ngram=1).barred(row, 0) for row in ([], [1, 3])] == [set(), {1, 3}]
    assert [Rules(ends, ngram=3).barred(row, 0) for row in ([1, 2], [1, 2, 3, 1, 2], [1, 1, 1])] == [set(), {3}, {1}]


def test_reading_names_the_key_and_warns_of_what_is_not_followed() -> None:
    assert read_rules({"suppress_tokens": [-1, 3, 900], "bad_words_ids": [[900], [2], [4, 5]]}, 10, {2}) == Rules(
        frozenset({2}), never=(3,), phrases=((4, 5),)
    )
    assert read_rules({"min_new_tokens": 3, "min_length": 9}, 10, ()).length == 0  # as in transformers
    for key, value in (("suppress_tokens", 3), ("bad_words_ids", [3]), ("min_length", -1), ("no_repeat_ngram_size", "2"), ("begin_suppress_tokens", [True])):
        with pytest.raises(ConfigError, match=f"config.json: {key} is not possible"):
            read_rules({key: value}, 10, (), "config.json")
    with pytest.warns(UserWarning, match="guidance_scale, stop_strings"):
        read_rules({"guidance_scale": 1.5, "stop_strings": ["."], "sequence_bias": None}, 10, ())
    with pytest.warns(UserWarning, match="typical_p"):
        read_rules({"do_sample": True, "typical_p": 0.9}, 10, ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_rules({"guidance_scale": 1.0, "typical_p": 0.9, "num_beam_groups": 1, "max_length": 20, "num_beams": 4}, 10, ())


@pytest.mark.parametrize("beams", [1, 3])
def test_beams_and_draws_keep_them_too(beams: int) -> None:
    told = {"no_repeat_ngram_size": 2, "suppress_tokens": [3, 4], "min_new_tokens": 9}
    model = Model(lively(decoder()), meta={"eos": list(range(5, VOCAB)), "huggingface": {"generation": told}})
    assert len(Model(model.net, meta={"eos": list(range(5, VOCAB))}).generate(ids=[1], max_tokens=9, beams=beams, seed=0).new_ids) < 9
    if beams == 1:
        with pytest.raises(ConfigError, match="no token is allowed"):  # 0, 1 and 2 make nine pairs, and soon a dead end
            model.generate(ids=[1, 0, 0, 2, 0, 1, 1, 2, 2, 1], max_tokens=3, temperature=0)
    new = model.generate(ids=[1], max_tokens=6, beams=beams, seed=0).new_ids
    row = [1, *new]
    assert len(new) == 6 and set(new) <= {0, 1, 2} and len(set(zip(row, row[1:], strict=False))) == 6


TOLD: list[dict[str, Any]] = [
    {}, {"repetition_penalty": 1.7}, {"no_repeat_ngram_size": 2, "repetition_penalty": 1.2}, {"suppress_tokens": [5, 6, 9, 17, 20]},
    {"begin_suppress_tokens": list(range(3, 20))}, {"min_new_tokens": 9}, {"min_length": 12},
    {"forced_bos_token_id": 1, "forced_eos_token_id": 2, "begin_suppress_tokens": list(range(3, 20))},
    {"bad_words_ids": [[7], [3, 4], [2], *([i, j] for i in range(3, 24) for j in (5, 6, 8, i))]},
]  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """A decoder and an encoder–decoder of transformers."""
    t = pytest.importorskip("transformers")
    torch.manual_seed(0)
    ids = {"vocab_size": 24, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 64}
    bart = {f"{s}_{k}": n for s in ("encoder", "decoder") for k, n in (("layers", 1), ("attention_heads", 4), ("ffn_dim", 40))}
    models = {
        "llama": t.LlamaForCausalLM(t.LlamaConfig(**ids, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4)),
        "bart": t.BartForConditionalGeneration(t.BartConfig(**ids, **bart, d_model=32, decoder_start_token_id=2, forced_eos_token_id=None)),
    }
    found = {}
    for name, model in models.items():
        for p in model.parameters():
            p.data.add_(torch.randn_like(p) * 0.3)
        found[name] = model.eval(), tmp_path_factory.mktemp(name)
        model.save_pretrained(found[name][1])
    return found


@pytest.mark.parametrize("name", ["llama", "bart"])
def test_greedy_search_follows_what_transformers_follows(name: str, published: dict[str, tuple[Any, Path]]) -> None:
    theirs, folder = published[name]
    asked = torch.randint(3, 24, (6, 6), generator=torch.Generator().manual_seed(1))
    plain: list[list[int]] = []
    for told in (told for told in TOLD if name == "bart" or "forced_bos_token_id" not in told):
        said = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **({"decoder_start_token_id": 2} if name == "bart" else {}), **told}
        theirs.generation_config = type(theirs.generation_config)(**said)
        (folder / "generation_config.json").write_text(json.dumps(said))
        wanted = [theirs.generate(row[None], max_new_tokens=12, do_sample=False)[0, 1 if name == "bart" else 6 :].tolist() for row in asked]
        wanted = [row[: row.index(2)] if 2 in row else row for row in wanted]
        answers = ph.load(folder).generate(ids=asked, max_tokens=12, temperature=0)
        assert [answer.new_ids for answer in answers] == wanted, told
        plain = plain or wanted
        assert told == {} or name == "bart" and "min" in str(told) or wanted != plain, f"{told} changes nothing here"
