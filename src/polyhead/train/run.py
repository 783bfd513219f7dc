"""A run from its config to its folder: prepare, train, evaluate, sample, save, resume.

    runs/a/  config.yaml  spec.json  tokenizer.json  meta.json  metrics.jsonl  data/  checkpoints/  report.html
What happens is told as events, (name, fields), to whoever listens; this file prints nothing.
"""

from __future__ import annotations

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml

from polyhead.checkpoint import Saved, latest, lock, save, write_json, write_text
from polyhead.errors import ConfigError, DataError, Stopped, UserError
from polyhead.generate import Engine, Model, load
from polyhead.generate.folder import read_json, read_spec
from polyhead.nn import ModelSpec, PairSpec, Transformer
from polyhead.report import write_report

from .config import RunConfig
from .interrupt import Interrupt, interruptible
from .log import RunLog
from .loop import Rate, Trainer, batches
from .machine import compiler_trouble, has_compiler, machine, settle
from .memory import explain_memory
from .parallel import Ranks, join_ranks
from .prepare import Prepared, prepare
from .sampling import sample_room, sample_text
from .settings import read_config, settled
from .start import Start, is_model
from .trained import apply, count

Listener = Callable[[str, dict[str, Any]], None]
LOCK = ".lock"
BEFORE = {LOCK, "corpus"}  # what may lie in the folder of a run that has not begun
COMPILE_FLOPS = 2e13  # on a CPU a compiled step wins back the half minute it costs only on runs beyond this


def quiet(name: str, fields: dict[str, Any]) -> None:
    """The listener that says nothing."""


class Run:
    """One run's folder and everything in it. `go` trains to the end or to an orderly stop."""

    def __init__(self, config: RunConfig, folder: Path, ranks: Ranks, tell: Listener = quiet) -> None:
        self.config, self.folder, self.ranks = config, folder, ranks
        self.tell: Listener = tell if ranks.first else quiet
        self.training = settle(config.training, ranks.device)
        self.checkpoints = folder / "checkpoints"

    def go(self, saved: Saved | None = None) -> Model:
        """Train from the start, or from a checkpoint; returns the trained model."""
        self.set_threads(saved)
        if self.ranks.first:  # first of all: from here on the folder can be resumed
            self._write_config()
        begins = saved is None or self.training.objective.anchored
        start = Start(self.config.model) if is_model(self.config.model) and begins else None
        prepared = prepare(self.config, self.folder, self.ranks, self.tell, start, None if saved is None else self._saved_spec())
        if saved is not None:
            self._same_data(prepared, saved)
        spec = prepared.spec
        kind = self.training.objective.makes(spec)
        self.count_steps(prepared, saved)
        if self.training.objective.writes != "nothing" and self.training.every("sample_every"):
            assert prepared.tokenizer is not None, "what writes has one"
            sample_room(self.training, spec, prepared.tokenizer, prepared.example)  # found out now, not at the first sample
        compiled, why = self.compiles(spec, prepared, saved)
        meta = self._meta(prepared, start, compiled, kind)
        if self.ranks.first and saved is None:
            self._write_head(spec, prepared, meta)
        with explain_memory(spec, self.training, self.ranks):
            net = spec.build(self.config.seed)
            if start is not None:
                for head in start.give(net):
                    self.tell("note", {"text": f"the head {head} begins anew"})
            apply(self.training.trained, net, self.config.seed)
            trainer = Trainer(net, self.training, seed=self.config.seed, ranks=self.ranks, compiled=compiled)
            if saved is not None:
                trainer.load(saved.load, saved.state)
            model = Model(net, prepared.tokenizer, objective=kind, meta=meta)
            if self.training.objective.writes != "nothing":
                model.engine = Engine(net)  # samples along the way read the weights as they are
            self.tell("start", self._facts(spec, prepared, compiled, saved.step if saved else 0) | {"why": why})
            with interruptible() as interrupt:
                self._loop(trainer, model, prepared, saved, interrupt, meta)
        trainer.conclude()
        net.eval()
        if self.ranks.first:
            self.tell("report", {"path": write_report(self.folder)})
            self._leave_beside(trainer, prepared)
        return Model(net, prepared.tokenizer, objective=kind, meta=meta | trainer.state())

    def _saved_spec(self) -> ModelSpec:
        """What a run that goes on began with, whatever became of the file or the model it came from."""
        spec = read_spec(self.folder / "spec.json")
        if isinstance(spec, PairSpec):
            raise DataError(
                "spec.json is not of this run", expected="one model", received="a pair of towers",
                change="restore the file in the run's folder, or start a new run with another -o",
            )  # fmt: skip
        return spec

    def _same_data(self, prepared: Prepared, saved: Saved) -> None:
        """A run that goes on must meet the data it began with: a text that was edited meanwhile would change it without a word."""
        if saved.state.get("data", prepared.mark) != prepared.mark:
            raise DataError(
                "the text is not the one this run began with", expected="the same tokens to train on and held out",
                received=f"others, {prepared.sizes['train_tokens']:,} to train on, from {self.config.data.path}",
                change="restore the text and the files in the run's folder, or start a new run with another -o",
            )  # fmt: skip

    def set_threads(self, saved: Saved | None) -> None:
        """Resume sums in the same order only with the same number of threads."""
        threads = self.training.threads
        if threads is None and saved is not None:
            threads = saved.state.get("choices", {}).get("threads")
        if threads is not None and self.ranks.device.type == "cpu":
            torch.set_num_threads(threads)

    def count_steps(self, prepared: Prepared, saved: Saved | None) -> None:
        """Times over the data become steps, kept in the config, so that a run that goes on has as many."""
        training = self.training
        if training.epochs is None or saved is not None:
            return
        steps = max(1, math.ceil(training.epochs * prepared.sizes["train_samples"] / training.batch))
        self.training = training.model_copy(update={"steps": steps})
        self.config = self.config.model_copy(update={"training": self.config.training.model_copy(update={"steps": steps})})
        if self.ranks.first:
            self._write_config()

    def _write_config(self) -> None:
        write_text(self.folder / "config.yaml", yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False))

    def _meta(self, prepared: Prepared, start: Start | None, compiled: bool, kind: str) -> dict[str, Any]:
        """What a model of this run says of itself; what it went on from said the rest."""
        kept = read_json(self.folder / "meta.json") if start is None and (self.folder / "meta.json").exists() else {}
        meta: dict[str, Any] = (start.meta if start is not None else kept) | {"format": 1, "objective": kind}
        meta |= {"choices": self._choices(compiled), "preset": self.config.model, "seed": self.config.seed}
        facts = {name: prepared.facts[name] for name in ("labels", "problem", "preprocessor", "no_answer") if prepared.facts.get(name) is not None}
        own = None if prepared.tokenizer is None else prepared.tokenizer.eos
        if "start" not in meta and not meta.get("bos") and prepared.facts.get("start") is not None:
            facts["start"] = prepared.facts["start"]
        return meta | {"machine": machine(self.ranks.device)} | facts | ending(meta.get("eos"), own, prepared.facts.get("eos"))

    def _leave_beside(self, trainer: Trainer, prepared: Prepared) -> None:
        """What was trained beside the model, as a model of its own: ELECTRA's generator."""
        beside = trainer.learner.beside
        if isinstance(beside, Transformer):
            Model(beside.eval(), prepared.tokenizer, objective="masked").save(self.folder / "generator", to="native")

    def _choices(self, compiled: bool) -> dict[str, Any]:
        return {"compile": compiled, "threads": torch.get_num_threads(), "precision": self.training.precision}

    def compiles(self, spec: ModelSpec, prepared: Prepared, saved: Saved | None) -> tuple[bool, str]:
        """Whether the step is compiled (as asked, as before, or where it pays), and why."""
        asked = self.training.compile
        if saved is not None and "choices" in saved.state:
            return bool(saved.state["choices"]["compile"]), "as before the resume"
        if asked == "on" and (trouble := compiler_trouble(self.ranks.device)):
            raise ConfigError(
                "training.compile=on, but torch.compile does not work here", expected="a compiler that torch finds",
                received=trouble, change="training.compile=off",
            )  # fmt: skip
        if asked != "auto":
            return asked == "on", f"training.compile={asked}"
        if not self.training.objective.fixed:
            return False, "shapes differ from batch to batch"
        if not has_compiler(self.ranks.device):
            return False, "no C++ compiler here"
        flops = 3 * spec.flops(prepared.context, self.training.batch).total * self.training.steps
        pays = self.ranks.device.type == "cuda" or flops > COMPILE_FLOPS
        if pays and (trouble := compiler_trouble(self.ranks.device)):
            return False, f"torch.compile does not work here: {trouble}"
        if self.ranks.device.type == "cuda":
            return True, "it pays on a GPU"
        return pays, f"compiling pays beyond {COMPILE_FLOPS:.0e} FLOPs, this run is {flops:.0e}"

    def _write_head(self, spec: ModelSpec, prepared: Prepared, meta: dict[str, Any]) -> None:
        write_text(self.folder / "spec.json", spec.model_dump_json(indent=1, exclude_defaults=False))
        if prepared.tokenizer is not None:
            prepared.tokenizer.save(self.folder / "tokenizer.json")
        write_json(self.folder / "meta.json", meta)

    def _facts(self, spec: ModelSpec, prepared: Prepared, compiled: bool, start: int) -> dict[str, Any]:
        return {
            "params": spec.params(), "learns": count(self.training.trained, spec), "spec": spec, "prepared": prepared, "compiled": compiled, "start": start,
            "steps": self.training.steps, "device": str(self.ranks.device), "precision": self.training.precision,
            "folder": self.folder, "world": self.ranks.world, "training": self.training,
        }  # fmt: skip

    def _loop(
        self, trainer: Trainer, model: Model, data: Prepared, saved: Saved | None, interrupt: Interrupt, meta: dict[str, Any]
    ) -> None:
        config, total = self.training, self.training.steps
        start, tokens = (0, 0) if saved is None else (saved.step, saved.state.get("tokens", 0))
        stream = batches(data.train, config, self.config.seed, self.ranks, start)
        rate, began = Rate(), time.perf_counter()
        with RunLog(self.folder, start, tensorboard=config.tensorboard, active=self.ranks.first) as log, closing(stream):
            for number, micros in enumerate(stream, start + 1):
                done = trainer.step(micros, number - 1)
                speed, tokens = rate.add(done.tokens), tokens + done.tokens
                row: dict[str, Any] = {"step": number, "loss": done.loss, "grad_norm": done.norm}
                row |= {"lr": config.optimizer.lr * config.schedule.factor(number - 1, total), "tokens": tokens}
                row |= {"tokens_per_s": round(speed, 1), "seconds": round(time.perf_counter() - began, 3)}
                if due(number, config.every("eval_every"), total):
                    row |= (found := self._evaluate(trainer, data))
                    trainer.offer(number, {name.removeprefix("val_"): value for name, value in found.items()})
                if "val_loss" in row or number % config.log_every == 0 or number in (1, total):
                    log.row(row)
                self.tell("step", row)
                if due(number, config.every("sample_every"), total) and self.ranks.first:
                    self._sample(trainer, model, number, data.example, log)
                stop = self.ranks.any(interrupt.signum is not None)
                if stop or due(number, config.every("save_every"), total):
                    self._save(trainer, number, {"choices": meta["choices"], "tokens": tokens, "data": data.mark})
                if stop and number < total:
                    raise Stopped(interrupt.signum or signal.SIGTERM, f"stopped after step {number}; --resume goes on")
                rate.start()

    def _evaluate(self, trainer: Trainer, data: Prepared) -> dict[str, float]:
        if data.validation is None:
            return {}
        # by micro-batches, as large as training's: what fits there fits here
        parts, limit = self.training.accumulate * self.ranks.world, self.training.eval_batches
        limit = None if limit is None else limit * parts
        result = trainer.evaluate(data.validation, self.training.batch // parts, limit)
        row = {"val_loss": result.loss} | {f"val_{name}": value for name, value in result.figures.items()}
        if data.validation_bytes and self.training.objective.kind == "causal" and self.training.eval_batches is None:
            row["val_bpb"] = result.bits_per_byte(data.validation_bytes)
        return row

    def _sample(self, trainer: Trainer, model: Model, number: int, example: str | None, log: RunLog) -> None:
        """One sample with a fixed seed and prompt, so that samples along a run can be compared."""
        if self.training.objective.writes == "nothing":
            return
        with trainer.averaged():
            trainer.net.eval()
            sample = sample_text(model, self.training, example)
        log.sample({"step": number, **sample})
        self.tell("sample", {"step": number, **sample})

    def _save(self, trainer: Trainer, number: int, state: dict[str, Any]) -> None:
        if self.ranks.first:
            state |= trainer.state() | {"finished": number == self.training.steps, "world": self.ranks.world}
            warnings: list[str] = []
            save(self.checkpoints, number, trainer.tensors(), state, keep=self.training.keep, warnings=warnings)
            for text in warnings:
                self.tell("note", {"text": text})
        self.ranks.barrier()
        self.tell("save", {"step": number})


def ending(told: int | list[int] | None, own: int | None, more: int | None) -> dict[str, Any]:
    """{"eos": every id that ends a text}, where `more` is none of those a model stops at already: told, else its tokenizer's own."""
    known = told if isinstance(told, list) else [number for number in (own if told is None else told,) if number is not None]
    if more is None or more in known:
        return {}
    return {"eos": [*known, more] if known else more}


def due(number: int, every: int, total: int) -> bool:
    """Whether something done every `every` steps (0 = never), and at the end, is due after step `number`."""
    return every > 0 and (number % every == 0 or number == total)


def train_run(config: RunConfig | None, folder: str | Path, *, resume: bool = False, tell: Listener = quiet) -> Model:
    """Train a config into `folder`. resume goes on from the newest whole checkpoint there; a missing or empty folder
    starts fresh. config None takes the folder's own. Raises ConfigError when the folder holds a run already."""
    folder = Path(folder)
    if resume and (folder / "config.yaml").exists():
        config = read_config(folder, config)
    ranks = join_ranks(config.training.device if config is not None else "auto")
    saved = find_start(folder, resume, tell if ranks.first else quiet)
    if config is None:
        raise ConfigError(f"{folder} holds no run to resume", change="give a preset and data to start one")
    if saved is None:
        config = settled(config)
    if saved is not None and saved.step >= config.training.steps:
        return finished(folder, saved, ranks, tell)
    ranks.barrier()  # all have looked at the folder before the first writes into it
    with lock(folder) if ranks.first else nullcontext(), fresh_folder(folder, ranks):
        return Run(config, folder, ranks, tell).go(saved)


def finished(folder: Path, saved: Saved, ranks: Ranks, tell: Listener) -> Model:
    """Nothing is left to train: say so, and write the report if the run was killed before it."""
    if ranks.first:
        tell("finished", {"step": saved.step, "folder": folder})
        if not (folder / "report.html").exists():
            tell("report", {"path": write_report(folder)})
    return load(folder)


@contextmanager
def fresh_folder(folder: Path, ranks: Ranks) -> Iterator[None]:
    """If the input turns out wrong before a step is made in a new folder (locked already), leave nothing behind."""
    new = ranks.first and all(path.name == LOCK for path in folder.iterdir())
    try:
        yield
    except UserError:
        if new and not (folder / "metrics.jsonl").exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def find_start(folder: Path, resume: bool, tell: Listener) -> Saved | None:
    """The checkpoint to go on from, or None for a fresh start."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", expected="a new folder for a new run", received="a file", change="choose another -o")
    used, run = folder.exists() and any(p.name not in BEFORE for p in folder.iterdir()), (folder / "config.yaml").exists()
    if used and not (run and resume):  # other files are never trained into: a model's folder would be lost
        raise ConfigError(
            f"{folder} is not empty",
            expected="a new folder for a new run",
            received="an existing run" if run else "a folder with other files",
            change="add --resume to go on with it, or choose another -o" if run else "choose another -o",
        )
    saved = latest(folder / "checkpoints") if used else None
    for reason in saved.skipped if saved is not None else ():
        tell("note", {"text": f"skipped a damaged checkpoint: {reason}"})
    if saved is not None:
        tell("resume", {"step": saved.step})
    return saved
