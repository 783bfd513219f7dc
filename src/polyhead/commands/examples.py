"""train --show: the first examples that the run would learn from, decoded, with what is learnt of them marked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import aligned, emit, say
from .rehearsal import Ready, ready

if TYPE_CHECKING:
    from polyhead.data.showing import Line
    from polyhead.train import RunConfig

_STYLE = "bold green"


def show_examples(config: RunConfig, count: int, as_json: bool) -> int:
    """Prepare the run in a temporary folder and print its first `count` examples; nothing is trained, nothing left behind."""
    with tempfile.TemporaryDirectory(prefix="polyhead-", ignore_cleanup_errors=True) as scratch:
        one = ready(config, Path(scratch))
        found, examples = head(one), drawn(one, count)
    if as_json:
        emit(found | {"examples": [as_object(lines) for lines in examples]})
        return 0
    say("\n".join(_told(found)))
    for number, lines in enumerate(examples, 1):
        say(f"\nexample {number}")
        for name, text in lines:
            _say_marked(f"  {name:<9} {text}".rstrip())
    return 0


def head(one: Ready) -> dict[str, Any]:
    """What stands above the examples: the objective and why, the data, the size of a row."""
    training, prepared = one.run.training, one.prepared
    return {
        "model": one.run.config.model, "objective": training.objective.model_dump(mode="json"), "why": one.why, "asks": training.objective.asks,
        "kind": prepared.kind, "path": one.run.config.data.path, "labels": prepared.facts.get("labels"), "data": prepared.sizes,
        "notes": prepared.notes, "context": prepared.context,
        "vocabulary": None if prepared.tokenizer is None else prepared.tokenizer.vocab_size,
    }  # fmt: skip


def drawn(one: Ready, count: int) -> list[list[Line]]:
    """The lines of the first `count` samples in the order they are trained in; fewer where an epoch has fewer."""
    from polyhead.data.showing import told

    data, training, seed = one.prepared.train, one.run.training, one.run.config.seed
    batch, kind = min(training.batch, len(data)), training.objective.kind
    options = {"labels": one.prepared.facts.get("labels"), "task": kind if kind in ("tag", "prefer") else None}
    out: list[list[Line]] = []
    for start in range(0, min(count, len(data)), batch):
        epochs, indices = data.order(start, batch, seed)
        for i in range(min(batch, count - start, len(data) - start)):
            sample = data.make(indices[i : i + 1], epochs[i : i + 1], seed)
            out.append(told(sample, 0, one.prepared.tokenizer, **options))
    return out


def as_object(lines: Sequence[Line]) -> dict[str, Any]:
    """{name: text with ⟦ ⟧}, a list where a name comes twice (chosen and rejected are read one after the other), a drawing as
    one text; "trained": {name: what is marked in it}."""
    from polyhead.data.showing import BEGIN, CLOSE, END, OPEN

    joined: list[tuple[str, str]] = []
    for name, text in lines:
        if name:
            joined.append((name, text))
        else:
            joined[-1] = (joined[-1][0], f"{joined[-1][1]}\n{text}")
    out: dict[str, Any] = {}
    trained: dict[str, list[str]] = {}
    for name, text in joined:
        plain = text.replace(BEGIN, OPEN).replace(END, CLOSE)
        out[name] = [out[name], plain] if name in out else plain
        if BEGIN in text:
            trained.setdefault(name, []).extend(part.split(END)[0] for part in text.split(BEGIN)[1:])
    return out | {"trained": trained}


def _told(found: dict[str, Any]) -> list[str]:
    constants = ", ".join(f"{name} {value}" for name, value in found["objective"].items() if name != "kind" and value is not None)
    path, sizes, labels = found["path"], found["data"], found["labels"]
    words = "" if found["vocabulary"] is None else f", vocabulary {found['vocabulary']:,}"
    what = "pictures" if found["vocabulary"] is None else "tokens"
    rows = [
        ("objective", f"{found['objective']['kind']}, because {found['why']}"),
        ("asks", found["asks"] + (f" ({constants})" if constants else "")),
        ("data", f"{found['kind']} from {path if isinstance(path, str) else ', '.join(path)}: {sizes['train_samples']:,} samples to train on, "
                 f"{sizes['validation_samples']:,} held out; {sizes['train_tokens']:,} {what}"),
        *([("labels", _listed(labels))] if labels else []),
        *(("note", text) for text in found["notes"]),
        ("context", f"{found['context']:,} {'patches' if found['vocabulary'] is None else 'tokens'}{words}"),
    ]  # fmt: skip
    return ["nothing is trained or written: examples of the training part", *aligned([(name, _escaped(text)) for name, text in rows])]


def _listed(labels: Sequence[str], most: int = 20) -> str:
    more = f" … {len(labels):,} in all" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _say_marked(text: str) -> None:
    """What is trained in colour where the terminal has it, between ⟦ and ⟧ elsewhere."""
    from rich.console import Console
    from rich.text import Text

    from polyhead.data.showing import BEGIN, CLOSE, END, OPEN

    console = Console()
    if console.color_system is None:
        say(text.replace(BEGIN, OPEN).replace(END, CLOSE))
        return
    first, *marked = text.split(BEGIN)
    line = Text(first)
    for part in marked:
        inside, _, rest = part.partition(END)
        line.append(inside, style=_STYLE).append(rest)
    console.print(line, soft_wrap=True)
