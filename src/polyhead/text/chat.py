"""Chat templates: messages → the text a model was trained to read, and its ids.

A template comes with a tokenizer's files and is never taken from a request. It is rendered by `chat_worker.py`, in a
process of its own that is killed after a second; one such process is kept, and a new one started when it is gone.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polyhead.errors import RunError, TokenizerError

SECONDS, START_SECONDS = 1.0, 60.0
MAX_TEMPLATE, MAX_MESSAGES = 1_000_000, 4_000_000  # characters, of JSON for the messages
_TOGETHER = 32  # conversations rendered in one go
_WORKER = Path(__file__).with_name("chat_worker.py")
_MARKS = [chr(number) for number in range(0xFDD2, 0xFDF0)]  # noncharacters: no text needs them


class Rendered(NamedTuple):
    """text: what the template writes. spans: the (start, end) of what `{% generation %}` encloses."""

    text: str
    spans: list[tuple[int, int]]


class Worker:
    """A process that renders, restarted whenever it had to be killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._lock, self._owner = threading.Lock(), os.getpid()

    def render(self, template: str, variables: Mapping[str, Any], where: str) -> Rendered:
        return _told(self._ask([_request(template, variables)], where)[0], where)

    def render_all(self, asked: Sequence[tuple[str, Mapping[str, Any]]], where: str) -> list[Rendered | TokenizerError]:
        """`render` of each (template, variables), or its error; one way there and back for all of them."""
        try:
            answers = self._ask([_request(*one) for one in asked], where)
        except TokenizerError as error:  # one of them takes too long, or all together
            if len(asked) == 1:
                return [error]
            half = len(asked) // 2
            return self.render_all(asked[:half], where) + self.render_all(asked[half:], where)
        return [_result(answer, where) for answer in answers]

    def _ask(self, requests: list[str], where: str) -> list[dict[str, Any]]:
        with self._lock:
            self._start()
            return self._exchange(requests, where)

    def close(self) -> None:
        """End the process, if there is one of ours."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()

    def _start(self) -> None:
        if self._owner != os.getpid():  # after a fork the process is the parent's
            self._process, self._owner = None, os.getpid()
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        import jinja2
        import markupsafe

        homes = {str(Path(module.__file__ or "").parent.parent) for module in (jinja2, markupsafe)}
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", str(_WORKER), *sorted(homes)], stdin=subprocess.PIPE, creationflags=flags,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", env=_environment(),
            start_new_session=True)  # fmt: skip
        self._lines = queue.Queue()
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        try:
            if self._lines.get(timeout=START_SECONDS) != "ready\n":
                raise queue.Empty
        except queue.Empty:
            self.close()
            raise RunError("the process that renders chat templates did not start", expected="jinja2 ≥ 3.1.6",
                           change="pip install --upgrade jinja2") from None  # fmt: skip

    def _exchange(self, requests: list[str], where: str) -> list[dict[str, Any]]:
        process, fault = self._process, f"no answer within {SECONDS:g} s"
        assert process is not None and process.stdin is not None
        try:
            # A worker that does not read would block a long write, so the clock covers both.
            timer = threading.Timer(SECONDS, process.kill)
            timer.start()
            process.stdin.write("".join(requests))
            process.stdin.flush()
            answers = [json.loads(self._lines.get(timeout=2 * SECONDS + 10)) for _ in requests]  # the end is no JSON
        except (OSError, ValueError, queue.Empty):
            answers = []
        finally:
            timer.cancel()
            timer.join()
        if answers and all(isinstance(answer, dict) for answer in answers):
            return answers
        self.close()
        raise TokenizerError(f"{where}: the chat template takes too long or too much memory", received=fault,
                             expected=f"at most {SECONDS:g} s", change="use another template") from None  # fmt: skip


def _request(template: str, variables: Mapping[str, Any]) -> str:
    return json.dumps({"template": template, "variables": variables}) + "\n"


def _told(answer: dict[str, Any], where: str) -> Rendered:
    if "error" in answer:
        raise TokenizerError(f"{where}: the chat template is refused: {answer['error']}",
                             received=str(answer.get("received")), change="use messages it expects, or another template")  # fmt: skip
    return Rendered(answer["text"], [(start, end) for start, end in answer["spans"]])


def _result(answer: dict[str, Any], where: str) -> Rendered | TokenizerError:
    try:
        return _told(answer, where)
    except TokenizerError as error:
        return error


def _read(stream: Any, lines: queue.Queue[str]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except (OSError, ValueError):
        pass
    lines.put("")


def _environment() -> dict[str, str]:
    """No variable of ours, which may be secrets, but what an interpreter needs to start, and the time zone."""
    kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ}


_worker = Worker()
atexit.register(_worker.close)


def render(
    templates: Mapping[str, str], name: str | None, messages: Sequence[Mapping[str, Any]], where: str, **variables: Any
) -> Rendered:
    """Render one of `templates` for a conversation. See `Tokenizer.render`."""
    return _worker.render(*_asked(templates, name, messages, where, variables), where)


def render_all(
    templates: Mapping[str, str], asked: Sequence[Mapping[str, Any]], where: str, roles: Mapping[str, str]
) -> list[Rendered | TokenizerError]:
    """`render` of each of `asked`, {"messages": …, and variables}, or its error. Many are faster together than one by one."""
    out: list[Rendered | TokenizerError] = []
    for first in range(0, len(asked), _TOGETHER):
        group: list[tuple[str, dict[str, Any]]] = []
        faults: dict[int, TokenizerError] = {}
        for place, one in enumerate(asked[first : first + _TOGETHER]):
            given = {"tools": None, "documents": None, "add_generation_prompt": False, **roles, **one}
            try:
                group.append(_asked(templates, None, given.pop("messages"), where, given))
            except TokenizerError as error:
                faults[place] = error
        answers = iter(_worker.render_all(group, where) if group else [])
        out += [faults[place] if place in faults else next(answers) for place in range(len(group) + len(faults))]
    return out


def _asked(
    templates: Mapping[str, str], name: str | None, messages: Sequence[Mapping[str, Any]], where: str, variables: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The template and what it is given, checked."""
    template = _choose(templates, name, variables.get("tools"), where)
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise TokenizerError(f"message {place} is no message", expected='{"role": …, "content": …}',
                                 received=repr(message)[:120])  # fmt: skip
    try:
        plain = json.loads(json.dumps({**variables, "messages": list(messages)}, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TokenizerError("the messages are not plain data", expected="what JSON can hold", received=str(error)[:200]) from None  # fmt: skip
    if _size(plain) > MAX_MESSAGES:
        raise TokenizerError("the messages are too long", expected=f"at most {MAX_MESSAGES:,} characters", received="more")
    return template, plain


def _choose(templates: Mapping[str, str], name: str | None, tools: Any, where: str) -> str:
    if name is None:
        name = "tool_use" if tools and "tool_use" in templates else "default"
    if name not in templates:
        named = " | ".join(sorted(templates)) or "a tokenizer whose files have a chat_template"
        raise TokenizerError(f"{where} has no chat template {name!r}", expected=named, received=repr(name),
                             change="a model without one takes plain text" if not templates else None)  # fmt: skip
    if len(templates[name]) > MAX_TEMPLATE:
        raise TokenizerError(f"{where}: the chat template {name!r} is too long", received=f"{len(templates[name]):,}",
                             expected=f"at most {MAX_TEMPLATE:,} characters")  # fmt: skip
    return templates[name]


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(_size(item) for item in inner)


# -- special tokens in what people write --------------------------------------------------------------------------


def unspecial(value: Any, names: Iterable[str]) -> tuple[Any, str]:
    """A copy of messages in which every special token that a person wrote is broken by a mark after its first letter;
    and that mark, a character that the messages do not hold."""
    held = json.dumps(value, ensure_ascii=False)
    mark = next((mark for mark in _MARKS if mark not in held), None)
    if mark is None:
        raise TokenizerError("the messages hold every noncharacter there is", expected="text")
    longest_first = sorted((name for name in names if len(name) > 1), key=len, reverse=True)
    found = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def broken(item: Any) -> Any:
        if isinstance(item, str):
            return found.sub(lambda match: match[0][0] + mark + match[0][1:], item)
        if isinstance(item, Mapping):
            return {key: broken(inner) for key, inner in item.items()}
        return [broken(inner) for inner in item] if isinstance(item, (list, tuple)) else item

    return broken(value), mark


def at_marks(text: str, mark: str) -> list[str]:
    """The parts of a rendered text between marks, which a template may have written as JSON does."""
    return re.split(f"{mark}|{re.escape(json.dumps(mark)[1:-1])}", text)
