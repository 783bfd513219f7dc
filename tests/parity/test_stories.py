"""stories260K, a real model of the LLaMA shape: greedy tokens equal to those of its original program (llama2.c); and those of
transformers on tiny checkpoints, which are made here."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

import polyhead as ph
from polyhead.nn import Tokens

from . import reference
from .cases import BY_NAME
from .data import reference_data
from .reference import Made


@pytest.fixture(scope="module")
def stories() -> tuple[ph.Model, dict]:
    folder = reference_data("stories260k")
    return ph.load(folder / "hf_layout"), json.loads((folder / "reference.json").read_text())


def test_greedy_ids_are_those_of_the_original_program(stories: tuple[ph.Model, dict]) -> None:
    model, reference = stories
    expected = reference["greedy_token_ids"]
    answer = model.generate(ids=expected[:1], temperature=0, max_tokens=len(expected) - 1)
    assert answer.ids == expected


@pytest.mark.parametrize("name", ["llama_3", "gemma2_lm", "opt_pre", "deepseek_v3"])
def test_greedy_ids_are_those_of_transformers(name: str, made: Callable[[str], Made], opened: Callable[[str], ph.Model]) -> None:
    """The same proof on checkpoints that are made here, where the real one is not at hand."""
    theirs, _ = reference.reopen(BY_NAME[name], made(name).folder)
    prompt = made(name).batch["input_ids"][:1]
    end = theirs.generation_config.eos_token_id
    expected = theirs.generate(prompt, do_sample=False, max_new_tokens=24, pad_token_id=end)[0].tolist()
    assert len(expected) > prompt.shape[1] + 8, "ended too soon to say much"
    found = opened(name).generate(ids=prompt[0].tolist(), temperature=0, max_tokens=24).ids
    assert [i for i in found if i != end] == [i for i in expected if i != end]


@torch.no_grad()
def test_logits_and_loss(stories: tuple[ph.Model, dict]) -> None:
    model, reference = stories
    logits = model.net(Tokens(torch.tensor([reference["first32_ids"]])))[0, -1]
    assert (logits - torch.tensor(reference["logits_last_of_first32"])).abs().max() < 2e-5
    losses = model.score(ids=reference["greedy_token_ids"])
    assert abs(float(losses.mean()) - reference["mean_nll_first200"]) < 1e-5
