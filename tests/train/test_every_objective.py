"""A tiny run of each objective: resumed it leaves the same bits, and the folder it leaves does its task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import polyhead as ph

from .tiny import OBJECTIVES, Halt, halt_at, learn, rows, same_run, write_objectives

CLASSES = {"calm", "glad", "sad"}


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_objectives(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="session")
def whole(tables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(objective: str) -> Path:
        if objective not in made:
            made[objective] = tmp_path_factory.mktemp(objective) / "run"
            learn(objective, tables, made[objective])
        return made[objective]

    return of


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_resumed_it_leaves_the_same_bits(objective: str, tables: dict[str, str], whole: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(Halt):
        learn(objective, tables, tmp_path / "run", tell=halt_at(3))
    torch.manual_seed(9)
    learn(objective, tables, tmp_path / "run", resume=True)
    same_run(tmp_path / "run", whole(objective))


def test_preferences_resumed_are_measured_against_the_model_they_began_with(tables: dict[str, str], whole: Callable[[str], Path], tmp_path: Path) -> None:
    begin = str(whole("instruct"))
    learn("prefer", tables, tmp_path / "whole", model=begin)
    with pytest.raises(Halt):
        learn("prefer", tables, tmp_path / "cut", model=begin, tell=halt_at(3))
    learn("prefer", tables, tmp_path / "cut", model=begin, resume=True)
    same_run(tmp_path / "cut", tmp_path / "whole")
    assert float.fromhex(rows(tmp_path / "whole")[0]["loss"]) == pytest.approx(np.log(2), rel=1e-3)


def _classes(model: Any) -> bool:
    found = model.classify(["ab cd", "ef"])
    return {one.label for one in found} <= CLASSES and model.meta["problem"] == "single" and abs(sum(p for _, p in found[0].scores) - 1) < 1e-5


def _vectors(model: Any) -> bool:
    ranked = model.rank("ab cd", ["ef gh", "ab cd"])
    return model.embed(["ab"]).shape == (1, 16) and ranked[0].text == "ab cd" and ranked[0].score == pytest.approx(1, abs=1e-4) and "problem" not in model.meta


def _tags(model: Any) -> bool:
    return {word.tag for word in model.tag(["ab cd ef"])[0].words} <= {"O", "B-X", "I-X"} and len(model.tag(["ab cd ef"])[0].words) == 3


def _answers(model: Any) -> bool:
    found = model.answer(["who"], ["ab cd ef gh"])[0]
    return found.text in "ab cd ef gh" and found.best[0].begin <= found.best[0].end


def _pictures(model: Any) -> bool:
    found = model.classify_images([np.zeros((8, 8), np.uint8)])[0]
    return {name for name, _ in found} == {"round", "square"} and model.meta["preprocessor"] is not None


def _writes(model: Any) -> bool:
    return isinstance(model.generate("ab", max_tokens=4, temperature=0.0).text, str) and model.objective == "causal"


DOES = {"classify": _classes, "similar": _vectors, "contrast": _vectors, "tag": _tags, "answer": _answers, "image": _pictures, "instruct": _writes, "prefer": _writes}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_folder_does_its_task(objective: str, whole: Callable[[str], Path]) -> None:
    assert DOES[objective](ph.load(whole(objective)))
    assert "val_loss" in rows(whole(objective))[-1]
