"""The status line of a training run: one line that lives on a terminal, some thirty plain lines anywhere else."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from polyhead.report.page import duration

from .output import is_terminal, quantity, say, visible

if TYPE_CHECKING:
    from polyhead.train import TrainingConfig

_LINES = 30  # plain lines of a whole run
_SHOWN = 400  # characters of a sample


class Progress:
    """A listener of `train_run`. `last` and `facts` keep what was told, for the words at the end."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream: TextIO = stream or sys.stdout
        self.last: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.held: dict[str, float] = {}
        self.began, self.first = time.perf_counter(), 0
        self.marks: list[tuple[int, float]] = []  # (step, when) of the recent past, for the ETA
        self._line: Any = None

    def __call__(self, name: str, fields: dict[str, Any]) -> None:
        handler = getattr(self, f"_on_{name}", None)
        if handler is not None:
            handler(**fields)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the live line away; what was printed above it stays."""
        if self._line is not None:
            self._line.stop()
            self._line = None

    def say(self, text: str = "") -> None:
        if self._line is not None:
            self._line.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(text, to=self.stream)

    def _on_stage(self, text: str) -> None:
        self.say(f"{text} …")

    def _on_note(self, text: str) -> None:
        self.say(f"note: {text}")

    def _on_resume(self, step: int) -> None:
        self.say(f"going on after step {step:,}")

    def _on_finished(self, step: int, folder: Any) -> None:
        self.say(f"{folder} is finished: all {step:,} steps are made; nothing to do")

    def _on_start(self, **facts: Any) -> None:
        self.facts, training, prepared = facts, facts["training"], facts["prepared"]
        sizes = prepared.sizes
        seen = training.batch * training.steps / max(sizes["train_samples"], 1)
        shape = size_of_step(training, prepared.context)
        learn = "" if facts["learns"] == facts["params"].total else f", {facts['learns']:,} of them learn"
        words = "" if prepared.tokenizer is None else f", vocabulary {prepared.tokenizer.vocab_size:,}"
        self.say(f"model  {facts['params'].total:,} parameters{learn}, {training.objective.kind}{words}")
        self.say(f"data   {sizes['train_tokens']:,} {training.objective.reads} to train on, {sizes['validation_tokens']:,} held out")
        self.say(f"plan   {training.steps:,} steps of {shape}, {seen:.2g} times over the data")
        self.say(f"path   {self.path}, because {facts['why']}")
        for text in prepared.notes:
            self._on_note(text)
        self.began, self.first = time.perf_counter(), facts["start"]
        if is_terminal(self.stream):
            self._open()

    @property
    def path(self) -> str:
        """Which way the step takes: "cpu fp32 eager"."""
        way = "compiled" if self.facts["compiled"] else "eager"
        ranks = f" on {self.facts['world']} ranks" if self.facts["world"] > 1 else ""
        return f"{self.facts['device']} {self.facts['precision']} {way}{ranks}"

    def _open(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text = Text
        console = Console(file=self.stream)
        self._line = Live(Text("first step …"), console=console, transient=True, refresh_per_second=8, redirect_stdout=False)
        self._line.start()

    def _on_step(self, **row: Any) -> None:
        self.last = row
        if "val_loss" in row:
            self.held = {k: v for k, v in row.items() if k.startswith("val_")} | {"step": row["step"]}
        number, total = row["step"], self.facts["steps"]
        if self._line is not None:
            self._line.update(self._text(self.status(row), no_wrap=True, overflow="ellipsis"))
        if "val_loss" in row:
            self.say(self.status(row) + f"  validation {held_out(row, self.facts['training'].objective.tokens)}")
        elif self._line is None and (number % max(1, total // _LINES) == 0 or number in (1, total)):
            self.say(self.status(row))

    def status(self, row: dict[str, Any]) -> str:
        """The status line of one step."""
        number, total = row["step"], self.facts["steps"]
        wide = len(f"{total:,}")
        parts = [f"step {number:>{wide},}/{total:,}", f"loss {row['loss']:.3f}"]
        bits = self.bits_per_byte(row["loss"])
        parts += [f"{bits:.3f} bits/byte"] if bits is not None else []
        parts += [f"{quantity(row['tokens_per_s'])} {self.facts['training'].objective.reads}/s", f"ETA {self.eta(number)}", self.path]
        return "  ".join(parts)

    def bits_per_byte(self, loss: float) -> float | None:
        """A loss in nats per token as bits per byte of the training text; None where there is no one text."""
        sizes = self.facts["prepared"].sizes
        if self.facts["training"].objective.kind != "causal" or not sizes.get("train_bytes"):
            return None
        return loss / math.log(2) * sizes["train_tokens"] / sizes["train_bytes"]

    def eta(self, number: int) -> str:
        """By the clock on the wall, so that evaluations and samples count; the last quarter of what is done speaks for
        the rest, so that a slow beginning is forgotten."""
        now = time.perf_counter()
        self.marks.append((number, now))
        while len(self.marks) > 2 and self.marks[1][0] <= number - (number - self.first) // 4:
            self.marks.pop(0)
        step, then = self.marks[0] if self.marks[0][0] < number else (self.first, self.began)
        return duration((now - then) / max(number - step, 1) * (self.facts["steps"] - number))

    def _on_sample(self, step: int, prompt: str, text: str) -> None:
        if text.strip():
            shown = text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
            arrow = "\n→ " if self.facts["training"].objective.writes == "answers" else ""
            body = visible(prompt + arrow + shown).strip("\n")
            self.say("\n".join([f"── written at step {step:,} ──", *("  " + line for line in body.split("\n"))]))


def size_of_step(training: TrainingConfig, context: int) -> str:
    """"32 × 256 tokens", or what else a step is made of."""
    objective = training.objective
    if "images" in objective.takes:
        return f"{training.batch} pictures"
    if objective.fixed:
        return f"{training.batch} × {context} tokens"
    what = {"pairs": "pairs", "preferences": "preferences"}.get(objective.takes[0], "rows")
    return f"{training.batch} {what}, of at most {context} tokens"


def held_out(row: dict[str, Any], tokens: bool) -> str:
    """"loss 1.234, 1.780 bits per byte, perplexity 3.43". tokens: whether the loss is nats per token."""
    parts = [f"loss {row['val_loss']:.3f}"]
    if "val_bpb" in row:
        parts.append(f"{row['val_bpb']:.3f} bits per byte")
    more = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_") and name not in ("val_loss", "val_bpb")}
    if not more and tokens:
        parts.append(f"perplexity {math.exp(min(row['val_loss'], 700)):,.2f}")
    return ", ".join([*parts, *(f"{name.replace('_', ' ')} {value:.4f}" for name, value in more.items())])
