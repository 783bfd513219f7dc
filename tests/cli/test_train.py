"""polyhead train: words to a run, its folder's contract, dry runs, resuming and stopping."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from pathlib import Path

import pytest

from polyhead.commands.training import split_words
from tests import processes
from tests.tiny import SMALL, SMALL_ENCODER, TRAINING

TINY = [*TRAINING, *SMALL]


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_settings_stand_anywhere_after_the_model(folder: Path) -> None:
    words = ["gpt-nano", "training.steps=500", "book.txt", None, "seed=7"]
    assert split_words(words) == (["gpt-nano", "book.txt"], ["training.steps=500", "seed=7"])
    (folder / "a=b.txt").write_text("x")
    assert split_words(["gpt-nano", "a=b.txt"]) == (["gpt-nano", "a=b.txt"], [])


def test_one_command_gives_a_run_and_says_so(polyhead, folder: Path) -> None:
    result = polyhead("train", "gpt-nano", "book.txt", "-o", "runs/a", *TINY, "seed=7")
    assert result.code == 0 and result.err == ""
    for name in ("config.yaml", "metrics.jsonl", "report.html", "checkpoints", "spec.json", "tokenizer.json"):
        assert (folder / "runs/a" / name).exists(), name
    lines = [line for line in result.out.split("\n") if line.startswith("step ")]
    assert len(lines) == 4
    for part in ("loss", "bits/byte", "tokens/s", "ETA", "cpu fp32 eager"):
        assert part in lines[0], part
    for part in ("written at step 2", "validation loss", "runs/a/report.html", "polyhead run runs/a", "training.compile=off"):
        assert part in result.out, part


def test_metrics_are_one_object_a_line(polyhead, folder: Path) -> None:
    polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY)
    rows = metrics(folder / "a")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(math.isfinite(row["loss"]) and row["tokens_per_s"] > 0 for row in rows)
    assert ["val_loss" in row for row in rows] == [False, True, False, True]


def test_json_gives_one_object_and_keeps_words_off_standard_output(polyhead, folder: Path) -> None:
    result = polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY, "--json")
    found = json.loads(result.out)
    assert found["step"] == 4 and found["folder"] == "a" and found["perplexity"] == pytest.approx(math.exp(found["val_loss"]))
    assert found["written"][0]["text"] and "step 4/4" in result.err


def test_bits_per_byte_follow_from_the_loss(polyhead, folder: Path) -> None:
    result = polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY)
    first = next(line for line in result.out.split("\n") if line.startswith("step 1/4"))
    loss, bits = (float(first.split(mark)[i].split()[-1 if i == 0 else 0]) for mark, i in (("loss", 1), (" bits/byte", 0)))
    assert bits == pytest.approx(loss / math.log(2), rel=2e-3)  # raw bytes: a token is a byte, but for the end


def test_parallel_files_train_an_encoder_decoder(polyhead, folder: Path) -> None:
    words = [*TRAINING, *SMALL, *SMALL_ENCODER, "tokenizer.vocab_size=300"]
    result = polyhead("train", "transformer-nano", "train.de,train.en", "-o", "a", *words)
    assert result.code == 0 and "→" in result.out and "bits/byte" not in result.out
    assert all(row["prompt"].startswith("das ist") for row in map(json.loads, (folder / "a/samples.jsonl").read_text().splitlines()))


def test_a_recipe_brings_its_own_data(polyhead, folder: Path) -> None:
    recipe = "model: gpt-nano\ndata: {path: book.txt}\ntraining: {steps: 2}\n"
    (folder / "recipe.yaml").write_text(recipe)
    assert polyhead("train", "recipe.yaml", "-o", "a", *TINY[1:]).code == 0
    assert metrics(folder / "a")[-1]["step"] == 2


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["gpt-nano", "book.txt", "more.txt", "-o", "a"], "one word too many"),
        (["gpt-nano", "book.txt"], "-o"),
        (["-o", "a"], "what shall be trained"),
        (["--resume", "-o", "a"], "holds no run"),
        (["gpt-nano", "-o", "a"], "no data"),
    ],
)
def test_a_command_with_a_part_missing_says_which(polyhead, folder: Path, words: list[str], needle: str) -> None:
    result = polyhead("train", *words)
    assert result.code == 2 and needle in result.err and not (folder / "a").exists()


# ---------------------------------------------------------------- dry run


def test_a_dry_run_tells_and_writes_nothing(polyhead, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    result = polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY, "--dry-run")
    assert result.code == 0 and sorted(folder.rglob("*")) == before
    for part in ("parameters", "4 steps of 4 × 32 tokens", "activations", "measured peak", "ms per step", "times over the data"):
        assert part in result.out, part


def test_a_dry_run_in_json_counts_as_the_run_does(polyhead, folder: Path) -> None:
    found = json.loads(polyhead("train", "gpt-nano", "book.txt", *TINY, "--dry-run", "--json").out)
    polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY)
    rows = metrics(folder / "a")
    assert found["tokens"] == rows[-1]["tokens"] and found["first_loss"] == pytest.approx(rows[0]["loss"], rel=1e-6)
    assert found["seconds_per_step"] > 0 and sum(found["parts"].values()) == found["parameters"]


# ---------------------------------------------------------------- resume


def test_an_existing_run_is_refused_without_resume(polyhead, folder: Path) -> None:
    polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY)
    before = (folder / "a/metrics.jsonl").read_bytes()
    result = polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY)
    assert result.code == 2 and "--resume" in result.err and (folder / "a/metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("words", [[], ["gpt-nano"], ["gpt-nano", "book.txt", *TINY]])
def test_resume_on_a_finished_run_says_so(polyhead, folder: Path, words: list[str]) -> None:
    polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY)
    result = polyhead("train", *words, "-o", "a", "--resume")
    assert result.code == 0 and "finished" in result.out


def test_resume_on_an_empty_folder_starts_fresh(polyhead, folder: Path) -> None:
    (folder / "a").mkdir()
    assert polyhead("train", "gpt-nano", "book.txt", "-o", "a", "--resume", *TINY).code == 0
    assert metrics(folder / "a")[-1]["step"] == 4


def test_more_steps_go_on_and_cut_torn_lines_off(polyhead, folder: Path) -> None:
    polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY, "training.schedule=constant")
    report = (folder / "a/report.html").read_text()
    with (folder / "a/metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 1.0}\n{"step": 6, "lo')
    result = polyhead("train", "-o", "a", "--resume", "training.steps=6")
    assert result.code == 0, result.err
    assert [row["step"] for row in metrics(folder / "a")] == [1, 2, 3, 4, 5, 6]
    assert metrics(folder / "a")[4]["loss"] != 1.0
    assert (folder / "a/report.html").read_text() != report


def test_another_model_on_resume_is_refused(polyhead, folder: Path) -> None:
    polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY)
    result = polyhead("train", "gpt-micro", "-o", "a", "--resume")
    assert result.code == 2 and "gpt-nano" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_and_its_exit_code(polyhead, folder: Path, number: int, code: int) -> None:
    words = [*TINY, "training.steps=100000", "training.eval_every=100000"]
    child = processes.polyhead(folder / "said", "train", "gpt-nano", folder / "book.txt", "-o", folder / "a", *words)
    while "\nstep" not in (child.out.read_text() if child.out.exists() else ""):
        assert child.poll() is None, child.wait()
        time.sleep(0.01)
    child.send_signal(number)
    found, error = child.wait()
    assert found == code and "Traceback" not in error and "--resume" in error
    steps = [int(path.name.split("-")[-1]) for path in (folder / "a/checkpoints").iterdir() if path.name.startswith("step")]
    last = max(steps)
    result = polyhead("train", "-o", "a", "--resume", f"training.steps={last + 2}")
    assert result.code == 0 and f"going on after step {last:,}" in result.out
