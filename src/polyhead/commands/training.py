"""train: from words to a run, and what is said at its end."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import ConfigError

from .output import emit, note, say, visible
from .progress import Progress, held_out

if TYPE_CHECKING:
    from polyhead.generate import Model
    from polyhead.train import RunConfig

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")


def split_words(words: list[str | None]) -> tuple[list[str], list[str]]:
    """(names, overrides): `field=value` wherever it stands, unless a file is called so."""
    given = [word for word in words if word is not None]
    overrides = [word for word in given if _OVERRIDE.match(word) and not Path(word).exists()]
    return [word for word in given if word not in overrides], overrides


def run_training(words: list[str | None], out: Path | None, resume: bool, dry: bool, examples: int | None, as_json: bool) -> int:
    """The verb train; returns the exit code."""
    from polyhead.train import parse_overrides

    names, pairs = split_words(words)
    if len(names) > 2:
        raise ConfigError(
            f"{names[2]!r} is one word too many", expected="a model, data, then field=value", received=" ".join(names),
            change=f"two parallel files are one word: {names[1]},{names[2]}",
        )  # fmt: skip
    if dry and examples is not None:
        raise ConfigError("--dry-run makes steps and --show makes none", expected="one of them", received="both", change="run them one after the other")
    if out is None and not dry and examples is None:
        raise ConfigError("where shall the run go?", expected="-o FOLDER", received="nothing", change="add -o runs/a")
    config = _config(names, parse_overrides(pairs), out, resume)
    if dry:
        from .rehearsal import rehearse

        return rehearse(config, as_json)
    if examples is not None:
        from .examples import show_examples

        return show_examples(config, examples, as_json)
    assert out is not None
    return train_and_tell(config, out, resume, as_json)


def _config(names: list[str], overrides: dict[str, Any], out: Path | None, resume: bool) -> RunConfig:
    """The configuration asked for; on resume the folder's own, with what was said now on top."""
    from polyhead.train import build_config
    from polyhead.train.settings import place, read_config, validate

    if resume and out is not None and (out / "config.yaml").exists() and len(names) < 2:
        own = read_config(out)
        if names and names[0] != own.model:
            raise ConfigError(f"{out} trains {own.model}", expected=own.model, received=names[0], change="leave the model out")
        tree = own.model_dump(mode="json")
        for key, value in overrides.items():
            place(tree, key, value)
        return validate(tree)
    if not names:
        received = f"{out}, which holds no run" if resume else "nothing"
        raise ConfigError("what shall be trained?", expected="a preset, spec or recipe", received=received, change="polyhead train gpt-nano text.txt -o runs/a")
    notes: list[str] = []
    config = build_config(names[0], names[1] if len(names) > 1 else None, overrides, notes)
    for text in notes:
        note(f"note: {text}")
    return config


def train_and_tell(config: RunConfig | None, folder: Path, resume: bool, as_json: bool, stream: Any = None) -> int:
    """Train, with the status line; then say what came out."""
    from polyhead.train import train_run

    with Progress(stream or (sys.stderr if as_json else sys.stdout)) as progress:
        model = train_run(config, folder, resume=resume, tell=progress)
    if not _speaks():
        return 0
    finish(model, folder, progress, as_json)
    return 0


def _speaks() -> bool:
    """Under torchrun only the first of several processes speaks."""
    import os

    return os.environ.get("RANK", "0") == "0"


def finish(model: Model, folder: Path, progress: Progress, as_json: bool) -> None:
    """The words at the end, or one JSON object."""
    from polyhead.train.settings import read_config

    tokens = read_config(folder).training.objective.tokens
    written = closing_words(model, folder) if progress.last else []  # a run that was finished already has said its words
    if as_json:
        row = progress.last
        facts: dict[str, Any] = {"folder": str(folder), "report": str(folder / "report.html"), "step": row.get("step", model.meta.get("step"))}
        facts |= {"params": model.spec.params().total, "loss": row.get("loss"), "seconds": row.get("seconds")}
        facts |= {name: progress.held.get(name) for name in ("val_loss", "val_bpb")}
        told = facts["val_loss"] is not None and tokens
        facts["perplexity"] = math.exp(min(facts["val_loss"], 700)) if told else None
        emit(facts | {"best": model.meta.get("best"), "written": written})
        return
    say()
    if progress.held:
        say(f"validation {held_out(progress.held, tokens)}")
    if best := model.meta.get("best"):
        say(f"best {best['name'].replace('_', ' ')} {best['value']:.4f} at step {best['step']:,}: the model has the weights of that step")
    for one in written:
        body = visible(one["prompt"] + one["joint"] + one["text"]).strip("\n")
        say("\n".join(["", *("  " + line for line in body.split("\n")), ""]))
    say(f"run     {folder}")
    say(f"report  {folder / 'report.html'}")
    say("next")
    say("\n".join(f"  {line}" for line in next_commands(model, folder)))


def closing_words(model: Model, folder: Path) -> list[dict[str, str]]:
    """A continuation as long as the context, or the answers to two held-out sources; nothing where nothing is written."""
    from polyhead.data import PairFile, TokenFile
    from polyhead.train.packed import openings
    from polyhead.train.sampling import sample_prompt
    from polyhead.train.settings import read_config

    training = read_config(folder).training
    if training.objective.writes == "nothing" or model.tokenizer is None:
        return []
    held, room = folder / "data" / "valid.tokens", model.text_spec.context - 1
    if training.objective.writes == "answers":
        sources = openings(PairFile(held), model.tokenizer, room, 2)
        answers = model.generate(sources, max_tokens=min(100, model.text_spec.context))
        return [{"prompt": s, "joint": "\n→ ", "text": a.text} for s, a in zip(sources, answers, strict=True)]
    example = openings(TokenFile(held), model.tokenizer, room) if "text" in training.objective.takes else []
    prompt = sample_prompt(training, model.tokenizer, next(iter(example), None))
    made = model.generate(prompt, max_tokens=None, temperature=0.7, top_p=0.95, seed=1)
    return [{"prompt": prompt, "joint": "", "text": made.text}]


_USES = {
    "classify": (' "a text"',), "tag": (' "a text"',), "answer": (' "a question" --context FILE',),
    "embed": (' "a text"', ' --query "a text" --in FILE'), "images": (" PICTURE",),
}  # fmt: skip
_TWO = """ '{"text": "one", "second": "another"}'"""


def next_commands(model: Model, folder: Path) -> list[str]:
    """What can be done with the model now; words in capitals stand for files."""
    from polyhead.tasks.reading import does
    from polyhead.train.settings import read_config

    name, training = shlex.quote(str(folder)), read_config(folder).training
    what, after = does(model.net), [f"polyhead eval {name}", f"polyhead show {name}"]
    if what in _USES:
        uses = (_TWO,) if what == "classify" and _paired(folder) else _USES[what]
        return [*(f"polyhead run {name}{use}" for use in uses), *after]
    if training.objective.writes == "nothing":  # what was learnt of hidden tokens is there to go on from
        return [f"polyhead train {name} DATA -o FOLDER", *(after if what == "fill" else after[1:])]
    answers = training.objective.writes == "answers"
    prompt = json.dumps(training.sample_prompt or ("a sentence" if answers else "Once upon a time"))
    more = [] if answers else [f"polyhead chat {name}"]
    return [f"polyhead run {name} {prompt}", *more, *after]


def _paired(folder: Path) -> bool:
    """Whether the run's texts are two and two."""
    from polyhead.data import ExampleFile

    path = folder / "data" / "train.tokens"
    return path.exists() and len(ExampleFile(path).array("second")) > 0
