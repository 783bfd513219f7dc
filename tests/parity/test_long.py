"""Long rows through wide windows and blocks: computed in bands, equal to transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import polyhead as ph

from . import reference
from .cases import _BIRD, _LONG, MLM, Case
from .common import LIMITS, ask, gap

_ROWS = {"num_hidden_layers": 2, "max_position_embeddings": 1154}
LONG = [
    Case("longformer_long", "longformer", "LongformerForMaskedLM", {**_LONG, **_ROWS, "attention_window": 128}, MLM, length=1100, marks=True),
    Case("bigbird_long", "big_bird", "BigBirdForMaskedLM", {**_BIRD, **_ROWS, "block_size": 64, "num_random_blocks": 3}, MLM, length=1100),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", LONG, ids=str)
def test_long_rows_are_the_reference_s(case: Case, tmp_path: Path) -> None:
    made = reference.make(case, tmp_path)
    net = ph.load(tmp_path).net.use("banded")
    found = gap(ask(net, case, made.batch), made.answer, case, made.batch)
    assert all("linear in length" in why for why in net.encoder.last_why.values()), net.encoder.last_why
    largest = float(made.answer.heads["mlm"].abs().max())
    assert found.head <= LIMITS[torch.float32].head * max(1.0, largest / 5) and found.same_choice, (found, largest)
