"""stories260K, a real model of the LLaMA shape: greedy tokens equal to those of its original program (llama2.c)."""

from __future__ import annotations

import json

import pytest
import torch

import polyhead as ph
from polyhead.nn import Tokens

from .data import reference_data


@pytest.fixture(scope="module")
def stories() -> tuple[ph.Model, dict]:
    folder = reference_data("stories260k")
    return ph.load(folder / "hf_layout"), json.loads((folder / "reference.json").read_text())


def test_greedy_ids_are_those_of_the_original_program(stories: tuple[ph.Model, dict]) -> None:
    model, reference = stories
    expected = reference["greedy_token_ids"]
    answer = model.generate(ids=expected[:1], temperature=0, max_tokens=len(expected) - 1)
    assert answer.ids == expected


@torch.no_grad()
def test_logits_and_loss(stories: tuple[ph.Model, dict]) -> None:
    model, reference = stories
    logits = model.net(Tokens(torch.tensor([reference["first32_ids"]])))[0, -1]
    assert (logits - torch.tensor(reference["logits_last_of_first32"])).abs().max() < 2e-5
    losses = model.score(ids=reference["greedy_token_ids"])
    assert abs(float(losses.mean()) - reference["mean_nll_first200"]) < 1e-5
