"""What each objective's tiny run can do afterwards: the commands that its closing words name, and eval and run on its data."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import polyhead as ph
from polyhead.commands.training import next_commands
from tests.train.tiny import BERT, OBJECTIVES, QUICK, go, learn, write_data, write_objectives

METRICS = {"classify": "accuracy", "tag": "f1", "answer": "f1", "similar": "spearman", "image": "accuracy"}
DATA = {"classify": "labelled", "tag": "tagged", "answer": "questions", "similar": "scored", "contrast": "pairs", "image": "images", "instruct": "text", "prefer": "text"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    scored = write_objectives(folder)
    return write_data(folder) | scored  # "pairs" of both are alike


@pytest.fixture(scope="module")
def run(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(objective: str) -> Path:
        if objective not in made:
            made[objective] = tmp_path_factory.mktemp(objective) / "a run"
            (learn if objective in OBJECTIVES else go)(objective, data, made[objective])
        return made[objective]

    return of


@pytest.mark.parametrize("objective", [*OBJECTIVES, "masked", "replaced"])
def test_the_next_commands_work_as_they_stand(objective: str, polyhead, run, data: dict[str, str], tmp_path: Path) -> None:
    folder = run(objective)
    (tmp_path / "file.txt").write_text("ab cd\nef gh\n")
    files = {"DATA": data[DATA.get(objective, "labelled")], "TEXT": data["text"], "FILE": str(tmp_path / "file.txt"),
             "PICTURE": str(next(Path(data["images"]).glob("*/*.png"))), "FOLDER": str(tmp_path / "new")}  # fmt: skip
    commands = next_commands(ph.load(folder), folder)
    verbs = [shlex.split(line)[1] for line in commands]
    assert verbs[-1] == "show" and ("eval" in verbs or objective == "replaced") and ("run" in verbs or objective in ("masked", "replaced"))
    for line in commands:
        program, verb, *words = shlex.split(line)
        assert program == "polyhead" and words[0] == str(folder) or verb == "train"
        if verb == "train":
            words += ["training.steps=1", "training.threads=1", "training.batch=2"]
        result = polyhead(verb, *(files.get(word, word) for word in words), stdin="hello\n")
        assert result.code == 0 and result.out.strip(), (line, result.err)


def test_whole_numbers_measure_a_model_of_numbers(polyhead, run, data: dict[str, str], tmp_path: Path) -> None:
    """A model of scores, of its own or by its vectors, is asked for scores: 3 is one, as 3.0 is."""
    rows = [{"sentence1": f"ab {i}", "sentence2": f"cd {i}", "score": i % 5} for i in range(12)]
    (tmp_path / "whole.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = polyhead("eval", run("similar"), "--on", tmp_path / "whole.jsonl", "--json")
    assert result.code == 0 and "spearman" in json.loads(result.out)["metrics"], result.err
    options = OBJECTIVES["classify"][1] | {"data.labels": "numbers"}
    model = ph.train("bert-nano", str(tmp_path / "whole.jsonl"), tmp_path / "run", options)
    assert model.meta["problem"] == "number"
    result = polyhead("eval", tmp_path / "run", "--on", tmp_path / "whole.jsonl", "--json")
    assert result.code == 0 and "pearson" in json.loads(result.out)["metrics"], result.err


def test_pictures_are_counted_as_pictures(polyhead, run, data: dict[str, str]) -> None:
    """In the status line, the report and the rehearsal; a loss that is not of tokens is not told as nats per token."""
    folder, options = run("image"), [f"{key}={json.dumps(value)}" for key, value in OBJECTIVES["image"][1].items()]
    assert "pictures per second" in (text := (folder / "report.html").read_text()) and "pictures seen" in text and "tokens seen" not in text
    result = polyhead("train", "vit-nano", data["images"], "--dry-run", *options)
    assert result.code == 0 and "pictures/s" in result.out and "pictures to train on" in result.out, result.err
    assert "tokens" not in result.out and "nats per token" not in result.out
    rows = {"report.html": "tokens per second"}
    assert all(word in (run("classify") / name).read_text() for name, word in rows.items())


@pytest.mark.parametrize("objective", METRICS)
def test_eval_measures_what_was_learnt(objective: str, polyhead, run, data: dict[str, str]) -> None:
    result = polyhead("eval", run(objective), "--on", data[DATA[objective]], "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    low, high = found["intervals"][METRICS[objective]]
    assert found["n"] == 24 and -1 <= low <= found["metrics"][METRICS[objective]] <= high <= 100


def test_a_classifier_of_two_texts_is_run_on_two(polyhead, data: dict[str, str], tmp_path: Path) -> None:
    """Scores that no vectors were asked for are classes' neighbours: a number for two texts."""
    model = ph.train("bert-nano", data["scored"], tmp_path / "run", BERT | QUICK)
    line = next_commands(model, tmp_path / "run")[0]
    verb, *words = shlex.split(line)[1:]
    found = json.loads(polyhead(verb, *words, "--json").out)
    assert found["text"] == "one" and found["second"] == "another" and isinstance(found["label"], float)


def test_only_a_loss_of_tokens_has_a_perplexity(run) -> None:
    from polyhead.report.page import ROWS
    from polyhead.train import TrainingConfig, objectives

    specs = [one for name in objectives.__all__ if isinstance(one := getattr(objectives, name), type) and issubclass(one, objectives.ObjectiveSpec)]
    assert {one.model_fields["kind"].default for one in specs if one is not objectives.ObjectiveSpec and not one.tokens} == ROWS
    assert TrainingConfig().objective.tokens
    for objective in ("similar", "prefer", "masked"):
        page = (run(objective) / "report.html").read_text("utf-8")
        assert ("perplexity" in page) == ("nats per token" in page) == (objective == "masked")


def test_the_closing_words_name_them(polyhead, data: dict[str, str], tmp_path: Path) -> None:
    words = [f"{key}={json.dumps(value)}" for key, value in (BERT | QUICK | {"tokenizer.kind": "chars"}).items()]
    result = polyhead("train", "bert-nano", data["labelled"], "-o", tmp_path / "run", *words)
    assert result.code == 0, result.err
    assert "validation loss" in result.out and "perplexity" not in result.out
    run = shlex.quote(str(tmp_path / "run"))
    assert f'  polyhead run {run} "a text"\n  polyhead eval {run}\n' in result.out
