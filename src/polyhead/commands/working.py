"""run for models that do not write: classes, tags, answers, vectors and ranks, as tables for people and JSON for programs."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import ConfigError, DataError

from .inputs import TEXT, asked, read_rows, text_of, text_or_pair, text_or_words
from .output import aligned, emit, is_terminal, note, say, visible

if TYPE_CHECKING:
    from polyhead.generate import Model

_ROWS, _WIDE, _AROUND = 256, 100, 60  # inputs of a file at a time; columns of a line; characters around an answer


@dataclass(frozen=True)
class Ask:
    """The options of run that are for models that do not write. context: of questions. query: rank the inputs for it.
    labels: texts that a pair of towers chooses among. top: classes or answers to show."""

    context: Path | None = None
    query: str | None = None
    labels: tuple[str, ...] = ()
    top: int | None = None


class Work(ABC):
    """One kind of work: `read` an input, do them all together, tell one as JSON and as text."""

    def __init__(self, model: Model, ask: Ask) -> None:
        self.model, self.ask = model, ask

    def read(self, row: Any, where: str) -> Any:
        return text_or_pair(row, where)

    @abstractmethod
    def do(self, inputs: list[Any]) -> list[Any]:
        """What the model finds in each."""

    @abstractmethod
    def record(self, given: Any, found: Any) -> dict[str, Any]:
        """One finding as JSON data."""

    @abstractmethod
    def told(self, given: Any, found: Any, alone: bool) -> str:
        """For people; alone: it is the only one, so there is room."""


class Classify(Work):
    def do(self, inputs: list[Any]) -> list[Any]:
        return self.model.classify(inputs, top=self.ask.top)  # type: ignore[return-value]

    def record(self, given: Any, found: Any) -> dict[str, Any]:
        texts = {"text": given} if isinstance(given, str) else {"text": given[0], "second": given[1]}
        return texts | {"label": found.label, "scores": dict(found.scores)}

    def told(self, given: Any, found: Any, alone: bool) -> str:
        if alone:
            return "\n".join(aligned([(visible(name), f"{score:.4f}") for name, score in found.scores], ""))
        label = f"{found.label:.4f}" if isinstance(found.label, float) else found.label if isinstance(found.label, str) else " ".join(found.label) or "-"
        share = "" if isinstance(found.label, float) else f"  {found.scores[0][1]:.4f}"
        return f"{visible(label)}{share}  {visible(_short(given if isinstance(given, str) else ' | '.join(given)))}"


class Fill(Work):
    def read(self, row: Any, where: str) -> Any:
        from polyhead.tasks.fill import gap

        text = row if isinstance(row, str) else text_of(row, TEXT, where)
        assert self.model.tokenizer is not None, "run_work has looked"
        if gap(text, self.model.tokenizer) is None:
            raise DataError(f"{where}: there is nothing to fill", expected="[MASK] or <mask> in the text", received=repr(text[:80]), change="write one where a word is missing")
        return text

    def do(self, inputs: list[Any]) -> list[Any]:
        return self.model.fill(inputs, top=self.ask.top or 5)  # type: ignore[return-value]

    def record(self, given: Any, found: Any) -> dict[str, Any]:
        return {"text": given, "best": found.best, "gaps": [[one._asdict() for one in gap] for gap in found.gaps]}

    def told(self, given: Any, found: Any, alone: bool) -> str:
        if not alone:
            return visible(found.best)
        parts = [aligned([(visible(one.token.strip()) or repr(one.token), f"{one.score:.4f}") for one in gap], "  ") for gap in found.gaps]
        return "\n".join([visible(found.best), *(line for part in parts for line in ([""] if len(parts) > 1 else []) + part)])


class Tag(Work):
    def read(self, row: Any, where: str) -> Any:
        return text_or_words(row, where)

    def do(self, inputs: list[Any]) -> list[Any]:
        return self.model.tag(inputs)  # type: ignore[return-value]

    def record(self, given: Any, found: Any) -> dict[str, Any]:
        return {"text": found.text, "words": [word._asdict() for word in found.words], "entities": [one._asdict() for one in found.entities]}

    def told(self, given: Any, found: Any, alone: bool) -> str:
        rows = _side_by_side([(visible(word.text), visible(word.tag)) for word in found.words])
        spans = [(visible(one.label), f"{visible(one.text)}  {one.score:.4f}") for one in found.entities]
        return "\n".join([*rows, *aligned(spans)]) or "(no words)"


class AnswerQuestions(Work):
    def __init__(self, model: Model, ask: Ask) -> None:
        super().__init__(model, ask)
        from polyhead.text import read_text

        self.context = None if ask.context is None else read_text(ask.context)

    def read(self, row: Any, where: str) -> Any:
        return asked(row, where, self.context)

    def do(self, inputs: list[Any]) -> list[Any]:
        questions, contexts = [one for one, _ in inputs], [other for _, other in inputs]
        return self.model.answer(questions, contexts, top=self.ask.top or 1)  # type: ignore[return-value]

    def record(self, given: Any, found: Any) -> dict[str, Any]:
        best = [one._asdict() for one in found.best]
        first = {("answer" if name == "text" else name): value for name, value in best[0].items()}
        return {"question": given[0], **first, "none": found.none, "best": best}

    def told(self, given: Any, found: Any, alone: bool) -> str:
        rows = [(visible(one.text) or "(no answer)", f"{one.score:.4f}  {visible(_around(given[1], one.begin, one.end))}".rstrip()) for one in found.best]
        return "\n".join(([] if alone else [visible(given[0])]) + aligned(rows, "" if alone else "  "))


class Embed(Work):
    def read(self, row: Any, where: str) -> Any:
        return row if isinstance(row, str) else text_of(row, ("text", "prompt", "sentence", "input", "source"), where)

    def do(self, inputs: list[Any]) -> list[Any]:
        return self.model.embed(inputs).tolist()

    def record(self, given: Any, found: Any) -> dict[str, Any]:
        return {"text": given, "vector": found}

    def told(self, given: Any, found: Any, alone: bool) -> str:
        return " ".join(f"{number:.6f}" for number in found)


class Images(Work):
    def read(self, row: Any, where: str) -> Any:
        name = row if isinstance(row, str) else text_of(row, ("image", "file", "path"), where)
        if not Path(name).is_file():
            raise DataError(f"{where}: there is no picture {name!r}", expected="the name of a file", received=name[:200] or "nothing", change="check the path")
        return name

    def do(self, inputs: list[Any]) -> list[Any]:
        return self.model.classify_images(inputs, list(self.ask.labels) or None, top=self.ask.top)

    def record(self, given: Any, found: Any) -> dict[str, Any]:
        return {"image": given, "label": found[0][0], "scores": dict(found)}

    def told(self, given: Any, found: Any, alone: bool) -> str:
        if alone:
            return "\n".join(aligned([(visible(name), f"{share:.4f}") for name, share in found[:10]], ""))
        return f"{visible(found[0][0])}  {found[0][1]:.4f}  {visible(given)}"


WORKS: dict[str, Callable[[Model, Ask], Work]] = {
    "classify": Classify, "fill": Fill, "tag": Tag, "answer": AnswerQuestions, "embed": Embed, "images": Images, "compare": Images,
}  # fmt: skip


def run_work(model: Model, what: str, text: str | None, ask: Ask, given: Path | None, out: Path | None, as_json: bool) -> int:
    """What a model's head does with INPUT, standard input, or the lines of a file. Returns the exit code."""
    if ask.query is not None:
        return _run_rank(model, what, ask, given, out, as_json)
    _check(what, ask)
    work = WORKS[what](model, ask)
    rows = read_rows(given) if given is not None else iter([_typed(text)])
    found = _done(work, [work.read(row, where) for where, row in rows])  # all are read before one is answered
    return _write(work, found, given is None, out, as_json)


def _check(what: str, ask: Ask) -> None:
    for name, value, whose in (("--context", ask.context, ("answer",)), ("--label", ask.labels or None, ("compare",)), ("--top", ask.top, ("classify", "fill", "answer", "images", "compare"))):
        if value is not None and what not in whose:
            raise ConfigError(f"{name} says nothing to this model", expected="a model that can use it: " + " or ".join(whose), received=f"one for {what}", change=f"leave {name} out")


def _typed(text: str | None) -> tuple[str, Any]:
    """INPUT, which may be a JSON object; - or nothing reads standard input."""
    if text == "-" or (text is None and not is_terminal(sys.stdin)):
        text = sys.stdin.read().removesuffix("\n")
    text = text or ""
    if text.lstrip().startswith("{"):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            return "INPUT", row
    return "INPUT", text


def _done(work: Work, inputs: list[Any]) -> Iterator[tuple[Any, Any]]:
    """(input, what was found) in their order, a few hundred together."""
    for first in range(0, len(inputs), _ROWS):
        part = inputs[first : first + _ROWS]
        yield from zip(part, work.do(part), strict=True)


def _write(work: Work, found: Iterator[tuple[Any, Any]], alone: bool, out: Path | None, as_json: bool) -> int:
    from polyhead.checkpoint.files import disk_errors

    if out is None:
        for given, one in found:
            emit(work.record(given, one)) if as_json else say(work.told(given, one, alone))
        return 0
    first = next(found, None)  # nothing is written before something was found
    count = 0
    with disk_errors(out, 0), out.open("w", encoding="utf-8", newline="\n") as file:
        while first is not None:
            file.write(json.dumps(work.record(*first), ensure_ascii=False) + "\n")
            count, first = count + 1, next(found, None)
    if as_json:
        emit({"out": str(out), "n": count})
    else:
        note(f"{count:,} answers in {out}")
    return 0


def _run_rank(model: Model, what: str, ask: Ask, given: Path | None, out: Path | None, as_json: bool) -> int:
    from polyhead.checkpoint.files import disk_errors

    if what not in ("embed", "classify"):
        raise ConfigError("this model does not rank texts", expected="one that embeds, or a classifier of pairs with a single logit", received=f"one for {what}", change="leave --query out")
    if given is None:
        raise ConfigError("there is nothing to rank", expected="--in FILE, with one text a line", received="a query alone", change="name the file")
    texts = [row if isinstance(row, str) else text_of(row, ("text", "prompt", "sentence", "input", "source"), where) for where, row in read_rows(given)]
    found = model.rank(ask.query or "", texts, top=ask.top)
    records = [{"rank": i, **one._asdict()} for i, one in enumerate(found, 1)]
    if out is not None:
        with disk_errors(out, 0), out.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in records)
        note(f"{len(records):,} texts in {out}")
    elif as_json:
        emit({"query": ask.query, "ranked": records})
    else:
        say("\n".join(f"{row['score']:8.4f}  {visible(_short(str(row['text'])))}" for row in records))
    return 0


# ---------------------------------------------------------------- for people


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDE else flat[: _WIDE - 1] + "…"


def _around(context: str, begin: int, end: int) -> str:
    """The answer in brackets between what stands around it."""
    if begin == end:
        return ""
    before, behind = context[max(0, begin - _AROUND) : begin], context[end : end + _AROUND]
    left, right = "…" if begin > _AROUND else "", "…" if len(context) > end + _AROUND else ""
    return " ".join(f"{left}{before}[{context[begin:end]}]{behind}{right}".split())


def _side_by_side(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Words with their tags below them, in lines of some hundred columns."""
    lines: list[str] = []
    upper, lower = "", ""
    for one, other in pairs:
        wide = max(len(one), len(other))
        if upper and len(upper) + wide > _WIDE:
            lines += [upper.rstrip(), lower.rstrip()]
            upper = lower = ""
        upper, lower = upper + one.ljust(wide) + "  ", lower + other.ljust(wide) + "  "
    return [*lines, *([upper.rstrip(), lower.rstrip()] if upper else [])]
