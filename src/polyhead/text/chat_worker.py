"""Run as a program by `chat.py`: renders chat templates, one JSON line in and one out, and imports nothing of polyhead.

A template is a stranger's program. It runs in Jinja's sandbox, without loaders, in this process, which holds nothing of
value, has bounded memory, opens no file, and is killed when it takes too long.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

sys.path += sys.argv[1:]  # where the parent process found jinja2

from jinja2 import TemplateError, nodes  # noqa: E402
from jinja2.exceptions import SecurityError  # noqa: E402
from jinja2.ext import Extension, loopcontrols  # noqa: E402
from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: E402
from jinja2.utils import Namespace  # noqa: E402

MAX_OUTPUT = 1_000_000  # characters
_MEMORY = 256 << 20  # bytes of addresses; the longest conversation takes a third
_START, _END = (f"\ufdd0{os.urandom(8).hex()}{side}" for side in "<>")  # around what {% generation %} encloses
_MARKS = re.compile(f"({_START}|{_END})")


class Refused(Exception):
    pass


class Generation(Extension):
    """`{% generation %} … {% endgeneration %}` marks what the assistant says."""

    tags = {"generation"}

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        return f"{_START}{caller()}{_END}"


class Names(Namespace):
    """A namespace without names that lead into Python itself."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # As in Jinja's own class, so that `namespace(self=1)` works.
        self, args = args[0], args[1:]
        for name in dict(*args, **kwargs):
            _public(name)
        Namespace.__init__(self, *args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _public(name)
        Namespace.__setitem__(self, name, value)


def _public(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"the name {name!r} begins with an underscore")


class Sandbox(ImmutableSandboxedEnvironment):
    """Products and powers are bounded too: one step of the interpreter cannot be stopped, only the process."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "*" and not all(isinstance(side, (int, float)) for side in (left, right))):
            sizes = [len(side) if hasattr(side, "__len__") else abs(side) for side in (left, right)]
            if operator == "**" and (sizes[1] > 64 or sizes[0] > 1e9):
                raise SecurityError("a power that is too large")
            if operator == "*" and sizes[0] * sizes[1] > MAX_OUTPUT:
                raise SecurityError("a repetition that is too long")
        return super().call_binop(context, operator, left, right)


def _raise(message: object) -> None:
    raise TemplateError(str(message))


def _to_json(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:  # fmt: skip
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment() -> Sandbox:
    made = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = _to_json
    made.globals |= {"raise_exception": _raise, "namespace": Names,
                     "strftime_now": lambda form: datetime.now().strftime(form)}  # fmt: skip
    return made


def render(template: Any, variables: Mapping[str, Any]) -> tuple[str, list[list[int]]]:
    """(text, spans of what the assistant says). Stops as soon as the text is too long."""
    parts: list[str] = []
    size = 0
    for part in template.generate(**variables):
        size += len(part)
        if size > MAX_OUTPUT:
            raise Refused(f"more than {MAX_OUTPUT:,} characters")
        parts.append(part)
    spans: list[list[int]] = []
    begins: list[int] = []
    text = ""
    for mark in _MARKS.split("".join(parts)):
        if mark == _START:
            begins.append(len(text))
        elif mark == _END and begins:
            spans.append([begins.pop(), len(text)])
        else:
            text += mark
    return text, sorted(spans)


def answer(line: str, compiled: dict[str, Any], made: Sandbox) -> dict[str, Any]:
    request = json.loads(line)
    try:
        source = request["template"]
        if source not in compiled:
            compiled.clear()
            compiled[source] = made.from_string(source)
        text, spans = render(compiled[source], request["variables"])
        text.encode()  # half a character is not text
        return {"text": text, "spans": spans}
    except Refused as error:
        return {"error": "its text is too long", "received": str(error)}
    except MemoryError:
        return {"error": "it takes too much memory", "received": "a MemoryError"}
    except SecurityError as error:
        return {"error": "it asks for what a template may not have", "received": str(error)[:300]}
    except TemplateError as error:
        line_number = getattr(error, "lineno", None)
        where = f" (line {line_number})" if line_number else ""
        return {"error": "it cannot be rendered", "received": f"{error}{where}"[:300]}
    except RecursionError:
        return {"error": "it is nested too deeply", "received": "a RecursionError"}
    except Exception as error:  # whatever an operation of the template's raises
        return {"error": "it fails", "received": f"{type(error).__name__}: {error}"[:300]}


def limit() -> None:
    """What the system can promise: memory, files, processes. Windows has none of these calls."""
    try:
        import resource
    except ImportError:
        return
    for kind, size in (("RLIMIT_AS", _MEMORY), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        try:
            resource.setrlimit(getattr(resource, kind), (size, size))
        except (AttributeError, ValueError, OSError):
            continue


def main() -> None:
    made = environment()
    compiled: dict[str, Any] = {}
    made.from_string("{% for x in y %}{{ x | tojson }}{% endfor %}").render(y=[1])  # imports what is imported late
    limit()
    out = sys.stdout
    out.write("ready\n")
    out.flush()
    for line in sys.stdin:
        out.write(json.dumps(answer(line, compiled, made)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
