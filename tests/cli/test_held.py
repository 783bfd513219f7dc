"""eval without --on: what a run held out, read as the run read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import polyhead as ph
from polyhead.tasks.evaluating import evaluate_task
from polyhead.train.reading import open_parts
from polyhead.train.settings import read_config
from tests.train.tiny import LOOP, OBJECTIVES, go, learn, write_data, write_objectives


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny run of each objective whose last evaluation saw all that was held out."""
    place = tmp_path_factory.mktemp("held")
    objectives = write_objectives(place)
    data, made = write_data(place) | objectives, set[str]()

    def of(objective: str) -> Path:
        folder = place / "runs" / objective
        if objective not in made:
            made.add(objective)
            (learn if objective in OBJECTIVES else go)(objective, data, folder, training__eval_batches=None, training__steps=2, data__holdout=0.25)
        return folder

    return of


def last(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


@pytest.mark.parametrize(("objective", "of"), [("muon", "tokens"), ("masked", "masked tokens"), ("seq2seq-dropout", "pairs"), ("instruct", "tokens of answers in"), ("contrast", "examples")])
def test_the_loss_is_the_one_the_run_told(objective: str, of: str, polyhead, run) -> None:
    result = polyhead("eval", run(objective), "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["metrics"]["loss"] == pytest.approx(last(run(objective))["val_loss"], rel=1e-5) and found["of"].startswith(of)
    assert ("bits_per_byte" in found["metrics"]) == (objective == "muon") and ("bleu" in found["metrics"]) == (objective == "seq2seq-dropout")
    assert "not as it was" not in result.err


@pytest.mark.parametrize("objective", ["classify", "tag", "answer", "similar", "image"])
def test_the_metrics_are_those_of_the_held_out_examples(objective: str, polyhead, run) -> None:
    folder = run(objective)
    result = polyhead("eval", folder, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    held = list(open_parts(read_config(folder), "any")[2].examples())
    assert 0 < found["n"] == len(held) < 24 and "not as it was" not in result.err
    expected = evaluate_task(ph.load(folder), held)["metrics"]
    assert found["metrics"] == {name: None if value != value else pytest.approx(value) for name, value in expected.items()}


def test_preferences_too(polyhead, run) -> None:
    found = json.loads(polyhead("eval", run("prefer"), "--json").out)
    assert found["task"] == "prefer" and 0 < found["n"] < 24 and "accuracy" in found["metrics"]


def test_the_words_name_it(polyhead, run) -> None:
    folder = run("classify")
    result = polyhead("eval", folder)
    assert result.out.startswith(f"classify on the held-out part of {folder}, ") and "are held out for validation" in result.err


def test_a_part_with_a_name_and_options_of_its_own(polyhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"word {'ab'[i % 2]} {i}\t{i}\t{'xy'[i % 2]}\n" for i in range(20)]
    Path("train.tsv").write_text("".join(rows))
    Path("dev.tsv").write_text("".join(rows[:6]) + "broken\n")
    tree = {"data.columns": "0,2", "data.header": False, "data.validation": "dev.tsv", "data.max_bad": 0.5, "training.steps": 1, "training.context": 32}
    ph.train("bert-nano", "train.tsv", "run", {key: value for key, value in LOOP.items() if "steps" not in key and "context" not in key} | tree
             | {"model.encoder.layers": 1, "model.encoder.width": 16, "model.encoder.blocks.layer.attention.heads.heads": 2})  # fmt: skip
    assert json.loads(polyhead("eval", "run", "--json").out)["n"] == 6
    found = json.loads(polyhead("eval", "run", "--on", "dev.tsv", "--columns", "0,2", "--no-header", "--max-bad", "0.5", "--json").out)
    assert found == json.loads(polyhead("eval", "run", "--json").out)
    usual = polyhead("eval", "run", "--on", "dev.tsv", "--no-header", "--max-bad", "0.5", "--json")
    assert json.loads(usual.out) == found, "named data is read by the run's columns"
    Path("two.tsv").write_text("".join(f"word {'ab'[i % 2]} {i}\t{'xy'[i % 2]}\n" for i in range(4)))
    assert json.loads(polyhead("eval", "run", "--on", "two.tsv", "--no-header", "--json").out)["n"] == 4, "data without those columns by its shape"
    strict = polyhead("eval", "run", "--on", "dev.tsv", "--columns", "0,2", "--no-header")
    assert strict.code == 2 and "1 of 7 rows are broken" in strict.err
    refused = polyhead("eval", "run", "--columns", "0,2")
    assert refused.code == 2 and "--columns is of data that is named" in refused.err


def test_what_has_no_held_out_part_says_so(polyhead, run, tmp_path: Path) -> None:
    model = ph.load(run("muon")).save(tmp_path / "model", to="native")
    result = polyhead("eval", model)
    assert result.code == 2 and "is a model and no run" in result.err and "--on DATA" in result.err


def test_data_that_is_gone_or_another(polyhead, tmp_path: Path) -> None:
    data = write_data(tmp_path)
    folder = tmp_path / "run"
    go("muon", data, folder, training__steps=1)
    text = Path(data["text"])
    text.write_text(text.read_text() + "\n\nmore words\n")
    result = polyhead("eval", folder)
    assert result.code == 0 and "the data is not as it was when the run began" in result.err
    text.unlink()
    result = polyhead("eval", folder)
    assert result.code == 2 and f"the data of {folder} cannot be read" in result.err and "--on DATA" in result.err
    shutil.rmtree(folder / "data")
    text.write_text("ab cd\n\nef gh\n\nij")
    assert polyhead("eval", folder).code == 0, "the packed corpus is a copy"


def test_a_held_out_part_that_is_too_short_is_called_so(tmp_path: Path, polyhead) -> None:
    data, dev = write_data(tmp_path), tmp_path / "dev.txt"
    dev.write_text(Path(data["text"]).read_text())
    go("masked", data, tmp_path / "run", training__steps=1, data__validation=str(dev))
    dev.write_text("ab")
    result = polyhead("eval", tmp_path / "run")
    assert result.code == 2 and "the held-out part is too short for one sample" in result.err and "--on DATA" in result.err


def test_pictures_of_any_size_are_measured(polyhead, run, tmp_path: Path) -> None:
    from PIL import Image

    for i in range(4):
        at = tmp_path / "new" / ("round", "square")[i % 2] / f"{i}.png"
        at.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5 + i, 9)).save(at)
    result = polyhead("eval", run("image"), "--on", tmp_path / "new", "--json")
    assert result.code == 0 and json.loads(result.out)["n"] == 4, result.err
