"""Law 10: stopped anywhere, by whatever, and resumed, a run leaves the same bits."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polyhead.checkpoint import latest
from polyhead.errors import CheckpointError, ConfigError, DataError, DiskError
from polyhead.train import run, train

from ..processes import Process, polyhead
from .tiny import ADAMW, GPT, LOOP, SHAPES, Halt, bits, go, halt_at, rows, same_run

WINDOWS = os.name == "nt"


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Callable[[str], Path]:
    """The folder of each shape's uninterrupted run, made once."""
    made: dict[str, Path] = {}

    def of(shape: str) -> Path:
        if shape not in made:
            made[shape] = tmp_path_factory.mktemp(shape) / "whole"
            go(shape, data, made[shape])
        return made[shape]

    return of


# ---------------------------------------------------------------- stopped in this process


@pytest.mark.parametrize("shape", SHAPES)  # b6: 10 steps see more than an epoch of the pairs
def test_stopped_three_times_leaves_the_same_bits(shape: str, data, whole, tmp_path: Path) -> None:
    """Before the first checkpoint, between two, and after the last but one; the global random state is disturbed."""
    out = tmp_path / "run"
    for number, step in enumerate((2, 5, 9)):
        with pytest.raises(Halt):
            go(shape, data, out, resume=number > 0, tell=halt_at(step))
        torch.manual_seed(number)
    go(shape, data, out, resume=True)
    same_run(out, whole(shape))


@pytest.mark.parametrize("step", [3, 6])
def test_stopped_right_after_a_save(step: int, data, whole, tmp_path: Path) -> None:
    with pytest.raises(Halt):
        go("muon", data, tmp_path / "run", tell=halt_at(step, "save"))
    told: list[Any] = []
    go("muon", data, tmp_path / "run", resume=True, tell=lambda name, fields: told.append((name, fields.get("step"))))
    assert told[0] == ("resume", step)
    assert [s for name, s in told if name == "step"] == list(range(step + 1, 11))
    same_run(tmp_path / "run", whole("muon"))


def test_same_seed_same_run_and_another_seed_another(data, whole, tmp_path: Path) -> None:
    go("adamw-dropout-ema-accumulate", data, tmp_path / "again")
    same_run(tmp_path / "again", whole("adamw-dropout-ema-accumulate"))
    go("adamw-dropout-ema-accumulate", data, tmp_path / "other", seed=8, training__steps=2)
    assert rows(tmp_path / "other")[0] != rows(whole("adamw-dropout-ema-accumulate"))[0]


def test_b7_batches_and_dropout_do_not_depend_on_the_random_state_around(data, whole, tmp_path: Path) -> None:
    """Something between two steps draws random numbers: an evaluation, a sample, a listener."""

    def draw(name: str, fields: dict[str, Any]) -> None:
        torch.rand(fields.get("step", 1) % 7 + 1)
        random.random()

    go("adamw-dropout-ema-accumulate", data, tmp_path / "run", tell=draw)
    same_run(tmp_path / "run", whole("adamw-dropout-ema-accumulate"))


def test_more_or_fewer_samples_and_evaluations_do_not_change_the_weights(data, whole, tmp_path: Path) -> None:
    shape = "adamw-dropout-ema-accumulate"
    go(shape, data, tmp_path / "run", training__eval_every=2, training__sample_every=0, training__save_every=7)
    assert bits(tmp_path / "run") == bits(whole(shape))
    assert not (tmp_path / "run" / "samples.jsonl").exists()


def test_samples_are_what_the_model_of_that_step_writes(data, tmp_path: Path) -> None:
    """Not of an earlier step's weights, nor of the weights beside the average."""
    import polyhead as ph

    for number, extra in enumerate(({}, {"training__ema": 0.5})):
        out = tmp_path / str(number)
        with pytest.raises(Halt):
            go("muon", data, out, tell=halt_at(10, "save"), training__eval_every=5, training__save_every=5, training__sample_tokens=14, **extra)
        model, last = ph.load(out), json.loads((out / "samples.jsonl").read_text().splitlines()[-1])
        assert last["step"] == 10
        assert model.generate(last["prompt"], max_tokens=14, temperature=0.8, seed=0).text == last["text"]


# ---------------------------------------------------------------- what --resume meets


def test_resume_of_a_finished_run_says_so_and_changes_nothing(data, whole, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole("muon"), out)
    (out / "report.html").unlink()  # killed between the last checkpoint and the report
    told: list[str] = []
    model = go("muon", data, out, resume=True, tell=lambda name, fields: told.append(name))
    assert "finished" in told and "step" not in told and "start" not in told
    assert (out / "report.html").exists()
    same_run(out, whole("muon"))
    assert model.generate("a", max_tokens=2, temperature=0.0).text is not None
    told.clear()
    go("muon", data, out, resume=True, training__steps=8, tell=lambda name, fields: told.append(name))
    assert "finished" in told, "fewer steps than were made are finished too"


def test_a_finished_run_goes_on_when_given_more_steps(data, whole, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole("muon"), out)
    go("muon", data, out, resume=True, training__steps=12)
    assert [row["step"] for row in rows(out)] == list(range(1, 13))


@pytest.mark.parametrize("exists", [False, True])
def test_resume_of_a_missing_or_empty_folder_starts_fresh(exists: bool, data, whole, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    if exists:
        out.mkdir(parents=True)
    go("muon", data, out, resume=True)
    same_run(out, whole("muon"))


def test_an_existing_run_is_refused_without_resume(data, whole, tmp_path: Path) -> None:
    before = bits(whole("muon"))
    with pytest.raises(ConfigError, match="--resume"):
        go("muon", data, whole("muon"))
    assert bits(whole("muon")) == before
    (tmp_path / "mine.txt").write_text("my own")
    for resume in (False, True):  # a folder of other files, a published model's say, is never trained into
        with pytest.raises(ConfigError, match="other files") as caught:
            go("muon", data, tmp_path, resume=resume)
        assert "--resume" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        go("muon", data, tmp_path / "mine.txt")


def test_wrong_input_leaves_no_folder_behind(data, tmp_path: Path) -> None:
    for changes in ({"training__batch": 10_000}, {"training__context": 10_000_000}, {"training__sample_prompt": "x" * 99}):
        with pytest.raises((DataError, ConfigError)):
            go("muon", data, tmp_path / "run", **changes)
        assert not (tmp_path / "run").exists()


def test_two_writers_are_refused_and_the_first_keeps_its_files(data, tmp_path: Path, monkeypatch) -> None:
    """The second looked at the folder when it was still empty, and comes while the first prepares."""
    refused: list[str] = []

    def second(name: str, fields: dict[str, Any]) -> None:
        if name == "stage" and not refused:
            before = sorted(out.rglob("*"))
            with monkeypatch.context() as patch, pytest.raises(CheckpointError, match="being written by"):
                patch.setattr(run, "find_start", lambda *_: None)
                go("muon", data, out)
            assert sorted(out.rglob("*")) == before
            refused.append(name)

    out = tmp_path / "run"
    go("muon", data, out, training__steps=1, tell=second)
    assert refused and (out / "config.yaml").exists()


def test_a_damaged_checkpoint_is_passed_over_and_said(data, whole, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Halt):
        go("adamw-dropout-ema-accumulate", data, out, tell=halt_at(8))
    newest = max((out / "checkpoints").iterdir()) / "optimizer.safetensors"
    raw = bytearray(newest.read_bytes())
    raw[len(raw) // 2] ^= 1
    newest.write_bytes(raw)
    notes: list[str] = []
    told: list[int] = []

    def listen(name: str, fields: dict[str, Any]) -> None:
        notes.extend([fields["text"]] if name == "note" else [])
        told.extend([fields["step"]] if name == "resume" else [])

    go("adamw-dropout-ema-accumulate", data, out, resume=True, tell=listen)
    assert told == [3] and any("step-00000006" in text for text in notes)
    same_run(out, whole("adamw-dropout-ema-accumulate"))


def test_metrics_with_a_torn_or_later_line_are_cut_back(data, whole, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Halt):
        go("muon", data, out, tell=halt_at(5))
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "loss": 1.0}\n{"step": 7, "lo')
    with (out / "samples.jsonl").open("a") as file:
        file.write('{"step": 9, "prompt": "", "text": ""}\n{"st')
    go("muon", data, out, resume=True)
    same_run(out, whole("muon"))


def test_the_spec_and_the_text_of_the_beginning_are_kept(data, tmp_path: Path) -> None:
    """An edited spec file does not change a run that goes on; an edited text is refused, the same text moved is not."""
    text, spec, out = tmp_path / "text.txt", tmp_path / "my.json", tmp_path / "run"
    text.write_bytes(Path(data["text"]).read_bytes())
    changes = {key.removeprefix("model."): value for key, value in GPT.items()}
    spec.write_text(json.dumps({"preset": "gpt-nano", **changes}))
    options = LOOP | ADAMW | {"data.split": "blank"}
    with pytest.raises(Halt):
        train(str(spec), str(text), out, options, tell=halt_at(5))
    began = json.loads((out / "spec.json").read_text())
    spec.write_text(json.dumps({"preset": "gpt-nano", **changes, "heads": {"lm": {"task": "lm", "output": 263, "softcap": 2.0}}}))
    os.utime(text, (1, 1))
    train(str(spec), str(text), out, options, resume=True, tell=lambda *_: None)
    train("gpt-nano", str(text), tmp_path / "whole", options | GPT)
    same_run(out, tmp_path / "whole")
    assert json.loads((out / "spec.json").read_text()) == began

    again = tmp_path / "again"
    with pytest.raises(Halt):
        train("gpt-nano", str(text), again, options | GPT, tell=halt_at(5))
    text.write_text(text.read_text().replace("a", "b"))
    with pytest.raises(DataError, match="not the one this run began with"):
        train("gpt-nano", str(text), again, options | GPT, resume=True)
    assert latest(again / "checkpoints") is not None


def test_disk_full_while_saving_keeps_the_checkpoint_before(data, whole, tmp_path: Path, monkeypatch) -> None:
    from polyhead.checkpoint import files

    genuine = files.Output.write

    def write(self: Any, chunk: Any) -> None:
        if "step-00000006" in self.path.parent.name and self.path.name.startswith("optimizer"):
            raise OSError(28, "No space left on device")
        genuine(self, chunk)

    monkeypatch.setattr(files.Output, "write", write)
    with pytest.raises(DiskError, match="disk is full") as caught:
        go("muon", data, tmp_path / "run")
    assert caught.value.exit_code == 1 and "bytes free" in str(caught.value)
    monkeypatch.undo()
    saved = latest(tmp_path / "run" / "checkpoints")
    assert saved is not None and saved.step == 3 and not saved.skipped
    go("muon", data, tmp_path / "run", resume=True)
    same_run(tmp_path / "run", whole("muon"))


def test_b9_keep_one_never_leaves_none(data, tmp_path: Path) -> None:
    seen: list[int] = []

    def count(name: str, fields: dict[str, Any]) -> None:
        if name == "save":
            saved = latest(tmp_path / "run" / "checkpoints")
            assert saved is not None
            seen.append(saved.step)

    go("muon", data, tmp_path / "run", training__keep=1, training__save_every=2, tell=count)
    assert seen == [2, 4, 6, 8, 10]
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


# ---------------------------------------------------------------- stopped from outside


LONG = {"training.eval_every": 40, "training.eval_batches": 1}


def launch(folder: Path, data: dict[str, str], steps: int, save_every: int) -> Process:
    """The muon shape by the command line; --resume always, which starts a missing folder fresh."""
    options = SHAPES["muon"][1] | {"training.steps": steps, "training.save_every": save_every, "data.split": "blank"}
    options = options | LONG
    words = [f"{key}={'null' if value is None else value}" for key, value in options.items()]
    return polyhead(folder.parent / "said", "train", "gpt-nano", data["text"], "-o", folder, "--resume", *words)


def long_run(steps: int) -> dict[str, Any]:
    return {key.replace(".", "__"): value for key, value in LONG.items()} | {"training__steps": steps, "training__save_every": 50}


def lines(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(process: Process, reached: Callable[[], bool]) -> bool:
    """Whether it came to that before the process ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if reached():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    process.kill()
    raise AssertionError("the run does not get on")


def saving(folder: Path) -> bool:
    return any(path.name.startswith(".tmp-") for path in (folder / "checkpoints").glob(".tmp-*"))


@pytest.mark.skipif(WINDOWS, reason="signals as POSIX has them")
def test_sigterm_ctrl_c_and_two_kills_then_the_same_bits(data, tmp_path: Path) -> None:
    """One run through four deaths: SIGTERM (143), Ctrl-C (130), kill -9 between saves and inside one."""
    out, steps = tmp_path / "run", 240
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process, had = launch(out, data, steps, 50), lines(out)
        assert wait_for(process, lambda had=had: lines(out) > had + 3), process.err.read_text()
        process.send_signal(number)
        found, words = process.wait()
        assert found == code, words
        assert "Traceback" not in words
        saved = latest(out / "checkpoints")
        assert saved is not None and saved.step == rows(out)[-1]["step"] < steps, "a checkpoint of the very last step"
    for aimed in (False, True):
        process, had = launch(out, data, steps, 5 if aimed else 50), lines(out)
        assert wait_for(process, lambda had=had, aimed=aimed: lines(out) > had + 8 and (not aimed or saving(out)))
        process.kill()
        assert process.wait()[0] == -signal.SIGKILL
    for folder in (out, tmp_path / "whole"):
        go("muon", data, folder, resume=True, **long_run(steps))
    same_run(out, tmp_path / "whole")


@pytest.fixture(scope="module")
def whole_400(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("long") / "whole"
    go("muon", data, out, **long_run(400))
    return out


@pytest.mark.skipif(WINDOWS, reason="signals as POSIX has them")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_twenty_times_at_random_moments(seed: int, data, whole_400: Path, tmp_path: Path) -> None:
    """T1: 4 × 5 kills, a third inside a save, the others anywhere from the process' start on; 20 of 20 resume."""
    steps, draw, kills, number = 400, random.Random(20 + seed), 0, 0
    while kills < 5:
        out, number = tmp_path / f"run{number}", number + 1
        while kills < 5:
            process, had, more = launch(out, data, steps, 5), lines(out), draw.randint(1, 80)
            if draw.random() < 0.33:
                alive = wait_for(process, lambda out=out, had=had, more=more: lines(out) > had + more and saving(out))
            elif draw.random() < 0.3:
                time.sleep(draw.uniform(0.0, 2.0))
                alive = process.poll() is None
            else:
                alive = wait_for(process, lambda out=out, had=had, more=more: lines(out) > had + more)
            process.kill()
            code, words = process.wait()
            if not alive:
                assert code == 0, words
                break
            kills += 1
        go("muon", data, out, resume=True, **long_run(steps))
        same_run(out, whole_400)


@pytest.mark.parametrize("stage", ["training a", "packing"])
def test_killed_while_preparing(stage: str, data, whole, tmp_path: Path) -> None:
    """What a kill leaves then: the lock, the config, half a tokenizer, half-packed tokens."""
    out = tmp_path / "run"

    def stop(name: str, fields: dict[str, Any]) -> None:
        if name == "stage" and fields["text"].startswith(stage):
            raise Halt

    with pytest.raises(Halt):
        go("muon", data, out, tell=stop)
    (out / ".lock").write_text('{"pid": 999999, "host": "gone"}')
    (out / "tokenizer.json.part").write_text('{"half')
    (out / "data" / ".train.tokens.x").mkdir(parents=True, exist_ok=True)
    (out / "data" / ".train.tokens.x" / "tokens").write_bytes(b"PHTOKEN1half")
    go("muon", data, out, resume=True)
    same_run(out, whole("muon"))
