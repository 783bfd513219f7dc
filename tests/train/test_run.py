"""The life of a run: its folder, its log, its choices, and what goes wrong in it."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import polyhead as ph
from polyhead.checkpoint import latest
from polyhead.data import TokenFile
from polyhead.errors import ConfigError, NonFiniteError, Stopped
from polyhead.families import preset
from polyhead.train import Trainer, TrainingConfig, build_config, run, train
from polyhead.train.interrupt import Interrupt, interruptible
from polyhead.train.log import RunLog
from polyhead.train.machine import compiler_trouble, settle
from polyhead.train.run import Run, due

from .tiny import GPT, LOOP, SHAPES, Halt, go, halt_at, raw, rows, same_run

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_leaves_a_whole_folder_that_loads(shape: str, data, tmp_path: Path) -> None:
    told: list[str] = []
    model = go(shape, data, tmp_path / "run", tell=lambda name, fields: told.append(name))
    there = {path.name for path in (tmp_path / "run").iterdir()}
    assert there >= {"config.yaml", "spec.json", "tokenizer.json", "meta.json", "metrics.jsonl", "data", "checkpoints", "report.html"}
    assert ".lock" not in there and ("samples.jsonl" in there) == (shape not in ("masked", "layer-decay", "replaced"))
    assert told.count("step") == 10 and told[-1] == "report" and told.count("save") == 4
    loaded = ph.load(tmp_path / "run")
    assert loaded.meta["step"] == model.meta.get("best", {"step": 10})["step"] and loaded.objective == model.objective
    mine = {name: raw(p) for name, p in model.net.named_parameters()}
    assert mine == {name: raw(p) for name, p in loaded.net.named_parameters()}, "the average, if one was kept, in both"


def test_a_text_from_its_beginning_begins_where_texts_of_the_training_began(data, tmp_path: Path) -> None:
    """Behind an <eos>: a <bos>, which the tokenizer has too, was never read."""
    model = go("muon", data, tmp_path / "run", training__steps=2)
    own = model.tokenizer
    assert own.bos is not None and model.meta["start"] == ph.load(tmp_path / "run").meta["start"] == own.eos != own.bos
    assert model.generate(max_tokens=4, seed=0).new_ids == model.generate(ids=[own.eos], max_tokens=4, seed=0).new_ids


def test_metrics_hold_what_is_promised(data, tmp_path: Path) -> None:
    go("muon", data, tmp_path / "run", training__log_every=4, training__eval_batches=None)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in lines] == [1, 4, 5, 8, 10]
    made = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    config = TrainingConfig.model_validate(made["training"])
    for row in lines:
        assert row["lr"] == config.optimizer.lr * config.schedule.factor(row["step"] - 1, 10)
        assert row["tokens"] == row["step"] * 4 * 16 and row["grad_norm"] > 0 and row["seconds"] >= 0
    held = TokenFile(tmp_path / "run" / "data" / "valid.tokens")
    for row in (lines[2], lines[4]):
        assert row["val_bpb"] == pytest.approx(row["val_loss"] * (len(held) - 1) / math.log(2) / held.bytes, rel=1e-9)
    assert [name for name in lines[0] if name.startswith("val")] == []


def test_the_learning_curve_falls_and_the_first_loss_is_ln_v(data, tmp_path: Path) -> None:
    go("muon", data, tmp_path / "run", training__steps=60, training__eval_every=60, training__save_every=60)
    losses = [float.fromhex(row["loss"]) for row in rows(tmp_path / "run")]
    assert losses[0] == pytest.approx(math.log(263), rel=0.02) and losses[-1] < 0.6 * losses[0]


def test_t13_a_nan_in_a_run_keeps_the_checkpoint_and_the_run_goes_on(data, tmp_path: Path, monkeypatch) -> None:
    genuine, calls = Trainer._forward, []

    def spoilt(self: Trainer, batch: Any) -> Any:
        calls.append(1)
        total, balance = genuine(self, batch)
        return (total * math.nan if len(calls) == 8 else total), balance

    monkeypatch.setattr(Trainer, "_forward", spoilt)
    with pytest.raises(NonFiniteError, match="step 8"):
        go("muon", data, tmp_path / "run")
    monkeypatch.undo()
    saved = latest(tmp_path / "run" / "checkpoints")
    assert saved is not None and saved.step == 6 and not saved.skipped
    go("muon", data, tmp_path / "run", resume=True)
    go("muon", data, tmp_path / "whole")
    same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("kind", ["chars", "words", "byte_bpe"])
def test_a_corpus_without_the_usual_prompt_still_gives_samples(kind: str, tmp_path: Path) -> None:
    """One line: its characters hold no line feed, which samples begin with."""
    (tmp_path / "one.txt").write_text("the cat sat on the mat and ate a rat that had a hat " * 40)
    options = LOOP | GPT | {"tokenizer.kind": kind, "tokenizer.vocab_size": None if kind == "chars" else 300}
    train("gpt-nano", str(tmp_path / "one.txt"), tmp_path / "run", options | {"training.steps": 2})
    assert (tmp_path / "run" / "samples.jsonl").exists()


def test_choices_are_recorded_and_reused(data, tmp_path: Path) -> None:
    go("muon", data, tmp_path / "run", training__steps=2)
    saved = latest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert saved.state["choices"] == {"compile": False, "threads": 1, "precision": "fp32"}
    config = run.read_config(tmp_path / "run")
    free = config.model_copy(update={"training": config.training.model_copy(update={"threads": None})})
    one = Run(free, tmp_path, run.Ranks())
    torch.set_num_threads(2)
    one.set_threads(saved)
    assert torch.get_num_threads() == 1
    saved.state["choices"]["compile"] = True
    assert one.compiles(preset("gpt-nano"), None, saved) == (True, "as before the resume")  # type: ignore[arg-type]


def test_compiling_is_chosen_where_it_pays_and_works(monkeypatch) -> None:
    class Data:
        context = 256

    def choice(**changes: Any) -> tuple[bool, str]:
        made = build_config("gpt-nano", "x", {f"training.{key}": value for key, value in changes.items()})
        return Run(made, Path("x"), run.Ranks()).compiles(preset("gpt-nano"), Data(), None)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "compiler_trouble", lambda device: "")
    monkeypatch.setattr(run, "has_compiler", lambda device: True)
    assert choice(steps=10) == (False, choice(steps=10)[1]) and choice(steps=10**6)[0]
    assert choice(steps=10**6, compile="off") == (False, "training.compile=off")
    assert choice(steps=1, compile="on") == (True, "training.compile=on")
    assert not choice(steps=10**6, objective="seq2seq")[0]
    monkeypatch.setattr(run, "compiler_trouble", lambda device: "no Python.h")
    assert choice(steps=10**6) == (False, "torch.compile does not work here: no Python.h")
    with pytest.raises(ConfigError, match="does not work here"):
        choice(compile="on")
    monkeypatch.setattr(run, "has_compiler", lambda device: False)
    assert choice(steps=10**6) == (False, "no C++ compiler here")


def test_a_compiler_that_fails_is_told_in_a_line(monkeypatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("cannot find Python.h\nlong traceback")

    compiler_trouble.cache_clear()
    monkeypatch.setattr(torch, "compile", broken)
    assert compiler_trouble(CPU) == "RuntimeError: cannot find Python.h"
    compiler_trouble.cache_clear()


def test_small_decisions() -> None:
    assert [n for n in range(1, 11) if due(n, 4, 10)] == [4, 8, 10]
    assert not any(due(n, 0, 10) for n in range(11))
    assert settle(TrainingConfig(), CPU).precision == "fp32"
    assert settle(TrainingConfig(precision="bf16"), CPU).precision == "bf16"


def test_the_second_signal_stops_at_once_and_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.signum == signal.SIGTERM
        with pytest.raises(Stopped) as caught:
            signal.raise_signal(signal.SIGINT)
        assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGTERM) == before
    assert Interrupt().signum is None


def test_a_signal_during_the_last_step_ends_a_finished_run(data, tmp_path: Path) -> None:
    def last(name: str, fields: dict[str, Any]) -> None:
        if name == "step" and fields["step"] == 10:
            signal.raise_signal(signal.SIGTERM)

    go("muon", data, tmp_path / "run", tell=last)
    assert (tmp_path / "run" / "report.html").exists()


def test_the_log_is_closed_and_cut(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for start in (0, 2):
        with RunLog(tmp_path, start, tensorboard=True) as log:
            for step in range(start + 1, 5):
                log.row({"step": step, "loss": 1.0 / step})
                log.sample({"step": step, "text": "é"})
        assert log.metrics._descriptor is None
    assert [row["step"] for row in rows(tmp_path)] == [row["step"] for row in rows(tmp_path, "samples.jsonl")] == [1, 2, 3, 4]
    with RunLog(tmp_path / "other", 0, active=False) as log:
        log.row({"step": 1})
        log.sample({"step": 1})
    assert not (tmp_path / "other").exists()


def test_tensorboard_gets_the_scalars(data, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    go("muon", data, tmp_path / "run", training__tensorboard=True, training__steps=3)
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
    assert events.Scalars("loss")[2].value == pytest.approx(float.fromhex(rows(tmp_path / "run")[2]["loss"]), rel=1e-6)


@pytest.mark.slow
def test_a_compiled_run_resumes_to_the_same_bits(data, tmp_path: Path) -> None:
    shape = "adamw-dropout-ema-accumulate"
    settings = {"training__compile": "on", "training__checkpointing": False}
    go(shape, data, tmp_path / "whole", **settings)
    with pytest.raises(Halt):
        go(shape, data, tmp_path / "run", tell=halt_at(5), **settings)
    torch._dynamo.reset()
    go(shape, data, tmp_path / "run", resume=True, **settings)
    same_run(tmp_path / "run", tmp_path / "whole")
