"""The masked model's output bias has two names, one tensor beside a tied matrix and two beside an untied one, of which
transformers uses the decoder's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import polyhead as ph

from . import reference
from .cases import BY_NAME, Case
from .common import ask, check, gap, same

HEADS = {
    "bert_mlm": "cls.predictions", "bert_pretraining": "cls.predictions", "albert_mlm": "predictions", "roberta_mlm": "lm_head",
    "longformer_mlm": "lm_head", "bigbird_45": "cls.predictions", "deberta_mlm": "cls.predictions", "bert_decoder": "cls.predictions",
    "roberta_decoder": "lm_head",
}  # fmt: skip


def untied(name: str, equal: bool) -> Case:
    head, case = HEADS[name], BY_NAME[name]
    pair = (f"{head}.decoder.bias", f"{head}.bias") if equal else None
    return dataclasses.replace(case, fields={**case.fields, "tie_word_embeddings": False}, equal=pair)


def through_native(folder: Path, base: Path) -> Path:
    """The folder as transformers' again, after our own format."""
    return ph.load(ph.load(folder).save(base / "native", to="native")).save(base / "out", to="hf")


@pytest.mark.parametrize("name", HEADS)
def test_both_spellings_leave_as_they_came(name: str, tmp_path: Path) -> None:
    case = untied(name, equal=True)
    model = reference.build(case)
    model.save_pretrained(tmp_path / "in")
    before, after = load_file(tmp_path / "in" / "model.safetensors"), load_file(through_native(tmp_path / "in", tmp_path) / "model.safetensors")
    assert f"{HEADS[name]}.decoder.bias" in before
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", ["bert_mlm", "albert_mlm", "roberta_mlm"])
def test_where_they_differ_the_one_that_counts_is_both(name: str, tmp_path: Path) -> None:
    asked = reference.make(untied(name, equal=False), tmp_path / "in")
    check(gap(ask(ph.load(asked.folder).net, asked.case, asked.batch), asked.answer, asked.case, asked.batch), asked)
    theirs, info = reference.reopen(asked.case, through_native(asked.folder, tmp_path))
    assert not any(info.values()), info
    original, _ = reference.reopen(asked.case, asked.folder)
    assert same(reference.ask(original, asked.case, asked.batch), reference.ask(theirs, asked.case, asked.batch))


def test_debertas_infilling_head_is_tied_whatever_the_config_says(tmp_path: Path) -> None:
    case = BY_NAME["deberta_infill"]
    asked = reference.make(dataclasses.replace(case, fields={**case.fields, "tie_word_embeddings": False}), tmp_path / "in")
    check(gap(ask(ph.load(asked.folder).net, asked.case, asked.batch), asked.answer, asked.case, asked.batch), asked)
    before, after = load_file(tmp_path / "in" / "model.safetensors"), load_file(through_native(asked.folder, tmp_path) / "model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_a_tied_head_leaves_one(tmp_path: Path) -> None:
    reference.build(BY_NAME["bert_mlm"]).save_pretrained(tmp_path / "in")
    assert not [key for key in load_file(through_native(tmp_path / "in", tmp_path) / "model.safetensors") if "decoder" in key]
