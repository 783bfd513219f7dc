"""The tiny folders, each made and opened once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import polyhead as ph
from tests.cli.conftest import folder, polyhead

from .tiny import TAGS, names, published

__all__ = ["folder", "polyhead"]

_MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "single": ("SequenceClassification", names(["calm", "glad", "sad"])),
    "multi": ("SequenceClassification", {"problem_type": "multi_label_classification", **names(["a", "b", "c", "d"])}),
    "number": ("SequenceClassification", {"problem_type": "regression", "num_labels": 1}),
    "one": ("SequenceClassification", {"num_labels": 1}),
    "tag": ("TokenClassification", names(TAGS)),
    "answer": ("QuestionAnswering", {}),
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    pytest.importorskip("transformers", minversion="5.0")
    root = tmp_path_factory.mktemp("published")

    def make(family: str, task: str) -> Path:
        place = root / f"{family}-{task}"
        return place if place.exists() else published(place, family, _MADE[task][0], **_MADE[task][1])

    return make


@pytest.fixture(scope="session")
def opened(made: Callable[[str, str], Path]) -> Callable[[str, str], ph.Model]:
    done: dict[tuple[str, str], ph.Model] = {}

    def load(family: str, task: str) -> ph.Model:
        if (family, task) not in done:
            done[family, task] = ph.load(made(family, task))
        return done[family, task]

    return load
