"""run and chat: text in, text out, as it is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import ConfigError, UserError

from .inputs import read_rows, text_of
from .output import emit, is_terminal, note, say, visible
from .working import WORKS, Ask, run_work

if TYPE_CHECKING:
    from polyhead.generate import Generation, Model
    from polyhead.text import Tokenizer

_ROWS = 16  # prompts of a file answered together
_PROMPTS = ("prompt", "text", "source", "input")
_HELP = "/reset forgets the text so far, /text shows it, /exit or Ctrl-D leaves, Ctrl-C ends an answer"


@dataclass(frozen=True)
class Style:
    """How answers are drawn, as the options say; None leaves the choice to the model."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    beams: int = 1
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def open_model(path: str | Path, device: str) -> Model:
    from polyhead.generate import load
    from polyhead.train.parallel import pick_device

    return load(path, device=pick_device(device))


def run_model(
    path: str | Path, text: str | None, style: Style, ask: Ask, given: Path | None, out: Path | None, device: str, as_json: bool
) -> int:
    """The verb run: what the model's head does. Returns the exit code."""
    from polyhead.tasks.reading import does

    if text is not None and given is not None:
        raise ConfigError("the input is given twice", expected="INPUT or --in FILE", received="both", change="leave one out")
    model = open_model(path, device)
    what = does(model.net)
    if what in WORKS or ask.query is not None:
        _check_style(style, what)
        return run_work(model, what, text, ask, given, out, as_json)
    _check_ask(ask)
    if given is not None:
        return _run_file(model, read_prompts(given), style, out, as_json)
    if text == "-" or (text is None and not is_terminal(sys.stdin)):
        text = sys.stdin.read()
        text = text[:-1] if text.endswith("\n") else text  # the line's end belongs to the pipe, not to the text
    text = text or ""
    if out is not None:
        return _run_file(model, [("INPUT", text)], style, out, as_json)
    if is_terminal(sys.stdout) and not as_json and style.beams == 1:
        _stream(model, text, style)
        return 0
    answer = model.generate(text, **style.settings())
    if as_json:
        emit(record(answer))
    else:
        say(str(answer))
    return 0


def _check_style(style: Style, what: str) -> None:
    """Nobody's wish is passed over: a model that does not write has no use for how answers are drawn."""
    if style != Style():
        name = next(name for name, value in style.settings().items() if value != getattr(Style(), name))
        raise ConfigError(
            f"--{name.replace('_', '-')} is for models that write", expected="a model with a language head", received=f"one for {what}",
            change="leave the option out",
        )  # fmt: skip


def _check_ask(ask: Ask) -> None:
    if ask != Ask():
        name = next(name for name in ("context", "labels", "top") if getattr(ask, name) != getattr(Ask(), name))
        raise ConfigError(
            f"--{name.removesuffix('s')} is for models that do not write", expected="a model that answers, classifies or ranks",
            received="a language model", change="leave the option out",
        )  # fmt: skip


def _stream(model: Model, text: str, style: Style) -> None:
    """Whole characters as they come; a decoder's answer goes on behind its prompt."""
    pieces = model.generate(text, stream=True, **style.settings())
    if model.text_spec.encoder is None:
        sys.stdout.write(f"\033[2m{visible(text)}\033[0m")
    for piece in pieces:
        sys.stdout.write(visible(piece))
        sys.stdout.flush()
    say()


def _run_file(model: Model, rows: list[tuple[str, str]], style: Style, out: Path | None, as_json: bool) -> int:
    """rows: (where it stands, the prompt). Nothing is written before all of them can be read and one is answered."""
    from polyhead.checkpoint.files import disk_errors

    budgets = [_budget(model, where, prompt, style) for where, prompt in rows]
    lines = _answers(model, [prompt for _, prompt in rows], budgets, style)
    if out is None:
        for answer in lines:
            emit(record(answer)) if as_json else say(str(answer))
        return 0
    first = next(lines)
    with disk_errors(out, 0), out.open("w", encoding="utf-8", newline="\n") as file:
        for answer in chain([first], lines):
            file.write(json.dumps(record(answer), ensure_ascii=False) + "\n")
    if as_json:
        emit({"out": str(out), "n": len(rows)})
    else:
        note(f"{len(rows):,} answers in {out}")
    return 0


def _budget(model: Model, where: str, prompt: str, style: Style) -> int:
    try:
        return model.budget(prompt, style.max_tokens)
    except UserError as error:
        raise type(error)(f"{where}: {error.message}", expected=error.expected, received=error.received, change=error.change) from None


def _answers(model: Model, prompts: list[str], budgets: list[int], style: Style) -> Iterator[Generation]:
    """In the prompts' order; prompt i draws with seed + i and has a budget of its own, however they are grouped."""
    for first in range(0, len(prompts), _ROWS):
        part = range(first, min(first + _ROWS, len(prompts)))
        found: dict[int, Generation] = {}
        for budget in dict.fromkeys(budgets[i] for i in part):
            alike = [i for i in part if budgets[i] == budget]
            seed = None if style.seed is None else [style.seed + i for i in alike]
            answers = model.generate([prompts[i] for i in alike], **style.settings() | {"max_tokens": budget, "seed": seed})
            found |= dict(zip(alike, answers, strict=True))
        yield from (found[i] for i in part)


def record(answer: Generation) -> dict[str, Any]:
    return {"prompt": answer.prompt, "text": answer.text, "ids": answer.ids, "reason": answer.reason, "seed": answer.seed, "score": answer.score}


def read_prompts(path: Path) -> list[tuple[str, str]]:
    """(where, prompt): one a line; of .jsonl, the field prompt, text, source or input of each row."""
    return [(where, row if isinstance(row, str) else text_of(row, _PROMPTS, where)) for where, row in read_rows(path, blank=True)]


# ---------------------------------------------------------------- chat


class Chat:
    """A conversation as one text that a decoder goes on with; an encoder–decoder answers each line by itself."""

    def __init__(self, model: Model, style: Style, budget: int) -> None:
        if model.tokenizer is None:
            raise ConfigError("the model has no tokenizer, so it cannot chat", expected="tokenizer.json beside spec.json")
        style = self.usual(style)
        _ = model.engine  # a model that cannot write says so now
        self.model, self.style, self.text, self.encode = model, style, "", model.tokenizer.encode
        self.budget = max(1, min(budget, model.text_spec.context // 2))

    def usual(self, style: Style) -> Style:
        """Of a text that has no turns: a likely answer, to the next empty line."""
        return replace(style, top_p=0.95 if style.top_p is None else style.top_p, stop=style.stop or ("\n\n",))

    @property
    def continues(self) -> bool:
        return self.model.text_spec.encoder is None

    def reset(self) -> None:
        self.text = ""

    def answer(self, line: str) -> Iterator[str]:
        """Pieces of the answer; what was written becomes part of the text, also when it is broken off."""
        prompt = self._prompt(line)
        settings = self.style.settings() | {"max_tokens": self.budget}
        if settings["seed"] is not None:
            settings["seed"] += len(self.text)  # another draw for another turn, the same in a repeated conversation
        self.text += line + "\n"
        try:
            for piece in self.model.generate(prompt, stream=True, **settings):
                self.text += piece
                yield piece
        finally:
            self.text = self.text.rstrip("\n") + "\n"

    def _prompt(self, line: str) -> str:
        """The text so far and the new line, cut at the front so that the answer has room."""
        if not self.continues:
            return line
        text, room = self.text + line + "\n", self.model.text_spec.context - self.budget
        while len(ids := self.encode(text)) > room - 2:
            text = text[max(1, len(text) * (len(ids) - room + 2) // len(ids)) :]
        return text


class Conversation(Chat):
    """Turns of two, written by the chat template that the model's tokenizer brings; what anybody types never becomes a
    special token."""

    def __init__(self, model: Model, style: Style, budget: int) -> None:
        super().__init__(model, style, budget)
        self.messages: list[dict[str, str]] = []

    def usual(self, style: Style) -> Style:
        return style  # its own tokens end an answer, its own settings draw it

    def reset(self) -> None:
        self.messages, self.text = [], ""

    def answer(self, line: str) -> Iterator[str]:
        asked = [*self.messages, {"role": "user", "content": line}]
        asked, ids = self._fitting(asked)
        settings = self.style.settings() | {"max_tokens": self.budget}
        if settings["seed"] is not None:
            settings["seed"] += len(asked)
        pieces: list[str] = []
        try:
            for piece in self.model.generate(ids=ids, stream=True, **settings):
                pieces.append(piece)
                yield piece
        finally:
            self.messages = [*asked, {"role": "assistant", "content": "".join(pieces)}]
            self.text = self._tokenizer.render(self.messages).text

    @property
    def _tokenizer(self) -> Tokenizer:
        assert self.model.tokenizer is not None
        return self.model.tokenizer

    def _fitting(self, asked: list[dict[str, str]]) -> tuple[list[dict[str, str]], list[int]]:
        """The newest turns that leave the answer room, and their ids."""
        room = self.model.text_spec.context + 1 - self.budget
        while len(ids := self._tokenizer.chat(asked, add_generation_prompt=True)) > room:
            if len(asked) < 3:
                raise UserError(
                    "the line is longer than the model's context", expected=f"at most {room} tokens with the template's own",
                    received=str(len(ids)), change="shorten it, or lower --max-tokens",
                )  # fmt: skip
            asked = asked[2:]
        return asked, ids


def open_chat(model: Model, style: Style, budget: int) -> Chat:
    """By the tokenizer's chat template where it has one, else one growing text."""
    templates = model.tokenizer.templates if model.tokenizer is not None else {}
    return (Conversation if "default" in templates and model.text_spec.encoder is None else Chat)(model, style, budget)


def run_chat(path: str | Path, style: Style, budget: int, device: str, as_json: bool) -> int:
    """The verb chat; returns the exit code."""
    model = open_model(path, device)
    chat = open_chat(model, style, budget)
    if not as_json and is_terminal(sys.stdin):
        how = "goes on with the text you both write: it was trained on plain text, not on conversations" if chat.continues else "answers each line by itself"
        how = "answers in turns, by its own chat template" if isinstance(chat, Conversation) else how
        say(f"{path} {how}.\n{_HELP}")
    while (line := _read()) is not None:
        word = line.strip()
        if word in ("/exit", "/quit"):
            break
        if word.startswith("/"):
            _command(chat, word)
        elif word:
            _turn(chat, line, as_json)
    return 0


def _read() -> str | None:
    """The next line; None when there is no more."""
    try:
        if is_terminal(sys.stdin):
            import contextlib

            with contextlib.suppress(ImportError):  # not on every system: history and editing of the line
                import readline  # noqa: F401
            return input("> ")
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None
    except (EOFError, KeyboardInterrupt):
        say()
        return None


def _command(chat: Chat, word: str) -> None:
    if word == "/reset":
        chat.reset()
        note("forgotten")
    elif word == "/text":
        say(chat.text)
    else:
        note(_HELP if word == "/help" else f"there is no {word}: {_HELP}")


def _turn(chat: Chat, line: str, as_json: bool) -> None:
    pieces: list[str] = []
    try:
        for piece in chat.answer(line):
            pieces.append(piece)
            if not as_json:
                sys.stdout.write(visible(piece) if is_terminal(sys.stdout) else piece)
                sys.stdout.flush()
    except KeyboardInterrupt:
        note("\n(broken off)")
    except UserError as error:  # too long a line, say: the conversation goes on
        note(str(error))
    if as_json:
        emit({"prompt": line, "text": "".join(pieces)})
    else:
        say()
