"""eval: how good a model is on data it has not seen, by its head and its objective: data that is named, or what its run held out."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from polyhead.errors import ConfigError, DataError

from .held import config_of, held_out
from .output import aligned, emit, note, say

if TYPE_CHECKING:
    from polyhead.data import Objective, Source
    from polyhead.generate import Model
    from polyhead.train import RunConfig
    from polyhead.train.objectives.base import Learner

_KINDS = {"classify": "labelled", "tag": "tagged", "answer": "questions", "embed": "labelled", "images": "images"}


@dataclass(frozen=True)
class Asked:
    """The options of eval. limit: examples at most. columns, header, max_bad: of data that is named. beams, rouge, references: of
    answers that are written. strict: of spans."""

    batch: int = 16
    limit: int | None = None
    columns: str | None = None
    beams: int = 1
    rouge: bool = False
    strict: bool = False
    header: bool | None = None
    max_bad: float | None = None
    references: str = "target"


class On(NamedTuple):
    """What a model is measured on. name: in words. open: the source, of this kind where it can be. run: whose own part it is."""

    name: str
    open: Callable[[str | None], Source]
    run: RunConfig | None = None


def run_eval(path: str | Path, data: str | None, asked: Asked, device: str, as_json: bool) -> int:
    """The verb eval; returns the exit code. data None: what the run at `path` held out."""
    from polyhead.generate import load
    from polyhead.tasks.evaluating import check_references
    from polyhead.train.parallel import pick_device

    check_references(asked.references)
    model = load(path, device=pick_device(device))
    on = On(data, partial(_opened, data, asked, _labels(model), _columns(path))) if data is not None else _own(model, path, asked)
    with tempfile.TemporaryDirectory(prefix="polyhead-", ignore_cleanup_errors=True) as scratch:
        found = evaluate_model(model, on, Path(scratch), asked, Path(path))
    if as_json:
        emit(found)
        return 0
    ranges = found.get("intervals", {})
    rows = [(name, f"{value:,.4f}" + (f"  ({ranges[name][0]:,.4f} to {ranges[name][1]:,.4f})" if name in ranges else "")) for name, value in found["metrics"].items()]
    head = f"{found['task']} on {on.name}, {found['n']:,} {found['of']}" + ("; in brackets 95% of resamples" if ranges else "")
    say("\n".join([head, *aligned(rows), *([f"  {found['signature']}"] if "signature" in found else []), *_compared(found)]))
    return 0


def _compared(found: dict[str, Any]) -> list[str]:
    """What answers were compared with, where there was a choice."""
    if "references" not in found:
        return []
    used, least, most = found["references"].values()
    each = f"{most}" if least == most else f"{least} to {most}"
    words = {
        "target": "the target of each pair; --references annotated or all counts the list beside it", "annotated": f"the {each} of each pair, without its target",
        "all": f"the target of each pair and those beside it, {each} in all",
    }  # fmt: skip
    return [f"  references: {words[used]}"]


def _own(model: Model, path: str | Path, asked: Asked) -> On:
    """What a run held out."""
    config = config_of(path)
    named = [name for name in ("columns", "header", "max_bad") if getattr(asked, name) is not None]
    if named:
        raise ConfigError(
            f"--{named[0].replace('_', '-')} is of data that is named", expected="--on DATA beside it", received="the run's own held-out part",
            change="leave it out: that part is read as the run read it",
        )  # fmt: skip
    source = held_out(config, Path(path), model)
    return On(f"the held-out part of {path}", lambda kind: source, config)


def evaluate_model(model: Model, on: On, scratch: Path, asked: Asked | None = None, path: Path | None = None) -> dict[str, Any]:
    """{"task", "n", "of", "metrics"}, and "intervals" of metrics over examples: loss in nats per target; n counts what `of`
    names. path: where the model lies, if it is a run that may say more of itself."""
    from polyhead.tasks.reading import does

    asked = asked or Asked()
    what = does(model.net)
    if what == "compare":
        raise ConfigError(
            "there is no measure yet for texts beside images", expected="a model of texts, or of pictures with classes", received="a pair of towers",
            change="compare them in Python: model.classify_images(images, texts)",
        )  # fmt: skip
    if asked.references != "target" and (what in _KINDS or _shape(model, what) != "seq2seq"):
        raise ConfigError(
            "--references is of answers that are written", expected="an encoder–decoder and pairs", received=f"a model that does: {what}", change="leave it out"
        )
    if what in _KINDS:
        return _of_examples(model, what, on, scratch, asked)
    if what == "nothing":
        raise ConfigError(
            "there is no measure for this model's head", expected="one that predicts tokens, or says something of texts",
            received=f"the heads {', '.join(model.text_spec.heads)}", change="train one on top of it first",
        )  # fmt: skip
    if model.tokenizer is None:
        raise ConfigError("the model has no tokenizer, so it cannot read text", expected="tokenizer.json beside spec.json")
    shape = _shape(model, what)
    talk = _talk(on, asked) if shape == "causal" else None
    return _of_text(model, shape, on, scratch, asked) if talk is None else _of_talk(model, talk, scratch, asked, path)


def _of_examples(model: Model, what: str, on: On, scratch: Path, asked: Asked) -> dict[str, Any]:
    from polyhead.data.examples import KINDS
    from polyhead.tasks.evaluating import evaluate_task

    source = on.open(_KINDS[what])
    if source.kind != _KINDS[what]:
        return _of_objective(model, on, source, scratch, asked)
    found = evaluate_task(model, source.examples(), batch=asked.batch, limit=asked.limit, strict=asked.strict)
    _notes(source)
    return {"task": found["task"], "n": found["n"], "of": f"{KINDS[source.kind]}s", **found}


def _labels(model: Model) -> Literal["numbers"] | None:
    """"numbers" where the labels a model is measured by are scores: whole numbers are, too."""
    from polyhead.tasks.reading import does, problem_of

    what = does(model.net)
    if what == "classify":
        what = problem_of(model.meta, next(iter(model.text_spec.heads.values())).output or 0)
    return "numbers" if what in ("embed", "number") else None


def _shape(model: Model, what: str) -> str:
    return "masked" if what == "fill" else "seq2seq" if len(model.text_spec.stacks) == 2 else "causal"


def _of_objective(model: Model, on: On, source: Source, scratch: Path, asked: Asked) -> dict[str, Any]:
    """What a run held out where its head has no measure for it, such as pairs for vectors: the loss the run itself told."""
    from polyhead.data import pack
    from polyhead.train.objectives import Given
    from polyhead.train.prepare import context_of

    assert on.run is not None, "data that is named is of the kind asked for"
    objective, training = on.run.training.objective, on.run.training
    file = pack(source, model.tokenizer, scratch / "eval.tokens", labels=model.meta.get("labels"))
    given = Given(model.text_spec, context_of(on.run, model.text_spec), model.tokenizer, on.run.data.documents)
    data = _long_enough(objective.datasets(file, file, given)[1], on)
    _notes(source)
    batch = asked.batch if objective.tokens else training.batch // training.accumulate  # the others of a batch are part of the question
    found = _measured(model, data, batch, objective.learner(model.net, training))  # type: ignore[arg-type]
    metrics = {"loss": found.loss} | ({"perplexity": math.exp(min(found.loss, 700))} if objective.tokens else {}) | found.figures
    return _result(objective.kind, int(found.weight), "tokens" if objective.tokens else "examples", metrics)


def _measured(model: Model, data: Objective, batch: int, learner: Learner | None = None) -> Any:
    from polyhead.train import Ranks, evaluate

    return evaluate(model.net, data, batch, learner=learner, ranks=Ranks(device=next(model.net.parameters()).device))  # type: ignore[arg-type]


def _of_text(model: Model, task: str, on: On, scratch: Path, asked: Asked) -> dict[str, Any]:
    """By what is predicted: the next token, masked ones, the answer."""
    from polyhead.data import Causal, Masked, PairFile, Seq2Seq, TokenFile, pack
    from polyhead.tasks.metrics import perplexity_per_word

    assert model.tokenizer is not None  # evaluate_model has looked
    context, batch = model.text_spec.context, asked.batch
    kind = "pairs" if task == "seq2seq" else "text"
    source = on.open(kind)
    if source.kind != kind:
        return _of_objective(model, on, source, scratch, asked)
    packed = pack(source, model.tokenizer, scratch / "eval.tokens")
    _notes(source)
    if isinstance(packed, PairFile):
        found = _measured(model, Seq2Seq(packed, context, context), batch)
        return _answered(model, source, len(packed), {"loss": found.loss}, asked)
    assert isinstance(packed, TokenFile), "a source of text"
    if task == "masked":
        masked = Masked(packed, context, model.tokenizer)
        found = _measured(model, _long_enough(masked, on), batch)
        return _result(task, int(found.weight), "masked tokens", {"loss": found.loss, "accuracy": accuracy(model, masked, batch)})
    causal = Causal(packed, max(1, min(context, len(packed) - 1)), documents=on.run is not None and on.run.data.documents)
    found = _measured(model, _long_enough(causal, on), batch)
    nats = found.loss * found.weight
    metrics = {"loss": found.loss, "perplexity": math.exp(min(found.loss, 700)), "bits_per_byte": found.bits_per_byte(packed.bytes),
               "word_perplexity": perplexity_per_word(nats, _words(source))}  # fmt: skip
    return _result(task, int(found.weight), "tokens", metrics)


def _talk(on: On, asked: Asked) -> Source | None:
    """What a decoder is asked about its answers alone: conversations, preferences, prompts with completions; None for others."""
    try:
        source = on.open("pairs" if asked.columns and "," in asked.columns else None)
    except DataError:
        return None  # read as text, it may say more
    return source if source.kind in ("chat", "preferences", "pairs") else None


def _of_talk(model: Model, source: Source, scratch: Path, asked: Asked, path: Path | None) -> dict[str, Any]:
    from polyhead.data import ExampleFile, Instruct, Prefer, TokenFile, pack
    from polyhead.data.examples import KINDS
    from polyhead.tasks.talking import preferred, said

    assert model.tokenizer is not None  # evaluate_model has looked
    if source.kind != "pairs" and "default" not in model.tokenizer.templates:
        note("note: the model has no chat template; conversations are written as training would write them, in ChatML")
    packed, context = pack(source, model.tokenizer, scratch / "eval.tokens"), model.text_spec.context
    assert not isinstance(packed, TokenFile), "a source of answers"
    if source.kind == "preferences":
        assert isinstance(packed, ExampleFile)
        pairs = Prefer(packed, context)
        _notes(source, packed, pairs)
        reference, beta, where = _reference(model, path)
        count, score = preferred(model, pairs, asked.batch, asked.limit, reference, beta)
        found = _result("prefer", count, "preferences", score.metrics) | {"reference": where}
    else:
        rows = Instruct(packed, context)
        _notes(source, packed, rows)
        tokens, count, score = said(model, rows, asked.batch, asked.limit)
        found = _result("instruct", tokens, f"tokens of answers in {count:,} {KINDS[source.kind]}s", score.metrics) | {"examples": count}
    return found | {"intervals": {name: list(pair) for name, pair in score.intervals.items()}}


def _reference(model: Model, path: Path | None) -> tuple[Model | None, float, str | None]:
    """(the model that a run began with, β, its name): what answers are compared beside. Without one it is said."""
    from polyhead.errors import PolyheadError
    from polyhead.generate import load
    from polyhead.train.settings import read_config
    from polyhead.train.start import is_model

    assert model.tokenizer is not None  # evaluate_model has looked
    config = None if path is None or not (path / "config.yaml").is_file() else read_config(path)
    beta, name = float(getattr(config.training.objective, "beta", 0.1)) if config is not None else 0.1, model.meta.get("preset")
    fault = "its run began with no trained model" if isinstance(name, str) else "the model it was tuned from is not recorded"
    if isinstance(name, str) and is_model(name):
        try:
            found = load(name, device=next(model.net.parameters()).device)
            if found.tokenizer is not None and found.tokenizer.fingerprint == model.tokenizer.fingerprint:
                return found, beta, name
            fault = f"{name}, which it was tuned from, has another tokenizer now"
        except PolyheadError as error:
            fault = f"{name}, which it was tuned from, cannot be opened: {error.message}"
    note(f"note: accuracy and margin are of plain log-probabilities, with no reference: {fault}")
    return None, beta, None


def _columns(path: str | Path) -> str | None:
    """The columns that a run was told to read: other data of its kind mostly has them too."""
    return config_of(path).data.columns if (Path(path) / "config.yaml").is_file() else None


def _opened(data: str, asked: Asked, labels: Literal["numbers"] | None, usual: str | None, kind: str | None) -> Source:
    """The data that is named; usual: the columns of the run, taken where nobody asks for others and the data has them."""
    from polyhead.train import DataConfig
    from polyhead.train.reading import open_data

    given: dict[str, Any] = {name: getattr(asked, name) for name in ("columns", "header", "max_bad") if getattr(asked, name) is not None}
    size: Literal["any"] | None = "any" if kind == "images" else None  # pictures as they are: the model has a size
    if usual is not None and asked.columns is None:
        try:
            return open_data(DataConfig(path=data, labels=labels, **{**given, "columns": usual}), data, kind, size)
        except (ConfigError, DataError):
            pass  # it has not these columns: what its shape says, then
    return open_data(DataConfig(path=data, labels=labels, **given), data, kind, size)


def _notes(*told: Any) -> None:
    """Each once, whoever says it."""
    for text in dict.fromkeys(text for one in told for text in getattr(one, "notes", ())):
        note(f"note: {text}")


def _answered(model: Model, source: Source, count: int, metrics: dict[str, float], asked: Asked) -> dict[str, Any]:
    """What a model wrote beside what it should have written."""
    from polyhead.tasks.evaluating import evaluate_task

    found = evaluate_task(model, source.pairs(), limit=asked.limit, beams=asked.beams, rouge=asked.rouge, references=asked.references)
    result = _result("seq2seq", count, "pairs", metrics | found["metrics"])
    return result | {key: found[key] for key in ("intervals", "signature", "references") if key in found}


def _words(source: Source) -> int:
    """Words between blanks; a piece of a long document may end within one."""
    count, inside = 0, False
    for piece in source.pieces():
        text = piece.text
        count += len(text.split()) - (inside and bool(text) and not text[0].isspace())
        inside = not piece.ends and bool(text) and not text[-1].isspace()
    return count


def _result(task: str, n: int, of: str, metrics: dict[str, float]) -> dict[str, Any]:
    return {"task": task, "n": n, "of": of, "metrics": metrics}


def _long_enough(data: Objective, on: On) -> Objective:
    if len(data) > 0:
        return data
    error = data.too_short(1)
    if on.run is None:
        raise error
    raise DataError(
        "the held-out part is too short for one sample", expected=error.expected, received=f"{error.received} held out", change="name longer data with --on DATA"
    )


def accuracy(model: Model, masked: Objective, batch: int) -> float:
    """The share of masked tokens whose most probable filling is the right one."""
    import torch

    from polyhead.train.loop import move

    right = total = 0.0
    device = next(model.net.parameters()).device
    with torch.inference_mode():
        for part in masked.evaluation(batch):
            part = move(part, device)
            x, _ = model.net.hidden(part.inputs)
            chosen = part.weights > 0
            best = model.net.logits(x[chosen]).argmax(-1)
            right += float((best == part.targets[chosen]).sum())
            total += float(chosen.sum())
    return right / total if total else math.nan
