"""Ids that a published encoder–decoder's files put first and last in every answer (BART's <s>, mBART's language, the </s> of an
answer that is cut), beside what transformers generates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import polyhead as ph
from polyhead.generate import Beam, Engine, Limits, beam_search

from . import reference
from .cases import BY_NAME

FIRST, EOS, NEW = 7, 2, 9
IDS = [[11, 12, 13, 14, 15, 2], [30, 31, 32, 33, 40, 2]]
KEYS = {"forced_bos_token_id": FIRST, "forced_eos_token_id": EOS}
SAID: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {  # config.json, generation_config.json
    "generation": ({"forced_bos_token_id": None, "forced_eos_token_id": None}, KEYS),
    "first": ({}, {"forced_bos_token_id": FIRST}),
    "last": ({}, {"forced_eos_token_id": EOS}),
    "any_of_two": ({}, {"forced_eos_token_id": [9, EOS]}),
    "config": (KEYS, None),
    "config_that_does_not_count": (KEYS, {"num_beams": 1}),
}


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART that never ends by itself."""
    folder = tmp_path_factory.mktemp("bart")
    model = reference.build(BY_NAME["bart_lm"])
    model.final_logits_bias[:, [EOS, FIRST]] = -30.0
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def say(bart: Path, tmp_path: Path) -> Callable[[str], Path]:
    def said(name: str) -> Path:
        changes, generation = SAID[name]
        config = {**json.loads((bart / "config.json").read_text()), **changes}
        start = {key: config[key] for key in ("decoder_start_token_id", "eos_token_id", "pad_token_id", "bos_token_id")}
        shutil.copy(bart / "model.safetensors", tmp_path)
        (tmp_path / "config.json").write_text(json.dumps(config))
        if generation is not None:
            (tmp_path / "generation_config.json").write_text(json.dumps({**start, **generation}))
        return tmp_path

    return said


def theirs(folder: Path, **how: Any) -> list[list[int]]:
    model = transformers.BartForConditionalGeneration.from_pretrained(folder).eval()
    out = model.generate(input_ids=torch.tensor(IDS), do_sample=False, **how)
    return [row[1:] for row in out.tolist()]  # less what the decoder starts from


def ours(model: ph.Model, **how: Any) -> list[list[int]]:
    """With the eos that ends an answer, which is not one of its ids."""
    found = model.generate(ids=IDS, **how)
    assert all(answer.reason == "length" for answer in found), "a forced end is not the model's"
    return [answer.new_ids + [EOS] * (len(answer.new_ids) < how["max_tokens"]) for answer in found]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", SAID)
def test_the_answer_is_that_of_transformers(name: str, beams: int, say: Callable[[str], Path]) -> None:
    folder = say(name)
    assert ours(ph.load(folder), max_tokens=NEW, beams=beams) == theirs(folder, max_new_tokens=NEW, num_beams=beams)


@pytest.mark.parametrize("length", [1, 2])
def test_an_answer_too_short_for_both_ends(length: int, say: Callable[[str], Path]) -> None:
    folder = say("generation")
    assert ours(ph.load(folder), max_tokens=length) == theirs(folder, max_new_tokens=length) == [[FIRST, EOS][-length:]] * 2


def test_the_ends_are_kept_in_our_own_format_and_back(say: Callable[[str], Path], tmp_path: Path) -> None:
    model = ph.load(say("generation"))
    native = ph.load(model.save(tmp_path / "native", to="native"))
    assert ours(native, max_tokens=NEW) == ours(model, max_tokens=NEW) != ours(ph.Model(model.net, meta={"start": EOS, "eos": EOS}), max_tokens=NEW)
    assert theirs(native.save(tmp_path / "hf", to="hf"), max_new_tokens=NEW) == ours(model, max_tokens=NEW)


def test_what_is_forbidden_is_not_forced(say: Callable[[str], Path]) -> None:
    free = ours(ph.load(say("generation")), max_tokens=NEW, forbid=[FIRST, EOS])
    assert all(FIRST not in row and EOS not in row for row in free)


def test_drawn_answers_have_the_ends_too(say: Callable[[str], Path]) -> None:
    for row in ours(ph.load(say("generation")), max_tokens=NEW, temperature=1.0, seed=1):
        assert (row[0], row[-1]) == (FIRST, EOS) and len(row) == NEW


def test_a_forced_id_costs_nothing(say: Callable[[str], Path]) -> None:
    """All that a beam's score holds is what the model chose."""
    net = ph.load(say("generation")).net
    limits = Limits(max_tokens=3, eos=frozenset([EOS]), first=FIRST, last=EOS)
    (best,) = beam_search(Engine(net), [[EOS]], Beam(beams=2, length_penalty=0.0), limits, source=IDS[:1])
    prompts = ph.nn.Tokens(torch.tensor([[EOS, FIRST]])), ph.nn.Tokens(torch.tensor(IDS[:1]))
    chosen = net(*prompts)[0, -1].log_softmax(-1).max()
    assert best.ids[0] == FIRST and len(best.ids) == 2 and best.score == pytest.approx(chosen.item(), rel=1e-5)
