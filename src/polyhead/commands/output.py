"""Words and JSON on their way out: to a terminal, a pipe or a program."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, TextIO


def say(text: str = "", *, to: TextIO | None = None) -> None:
    """One line for people, at once."""
    print(text, file=to or sys.stdout, flush=True)


def note(text: str) -> None:
    """A remark that is not the answer: to standard error, so that pipes stay clean."""
    say(text, to=sys.stderr)


def emit(value: Any) -> None:
    """One JSON value for programs; NaN and infinities become null, so that every reader takes it."""
    say(json.dumps(finite(value), ensure_ascii=False))


def finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def is_terminal(stream: TextIO) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)())


def visible(text: str) -> str:
    """Text that a model wrote, safe for a terminal: control characters cannot move the cursor or change colours."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def quantity(n: float) -> str:
    """13245.6 → "13.2k"."""
    for unit in ("", "k", "M", "G", "T"):
        if abs(n) < 999.5 or unit == "T":
            return f"{n:.0f}" if not unit else f"{n:.3g}{unit}"
        n /= 1000
    raise AssertionError


def aligned(rows: list[tuple[str, str]], indent: str = "  ") -> list[str]:
    """Two columns, the first as wide as its widest entry."""
    wide = max((len(name) for name, _ in rows), default=0)
    return [f"{indent}{name:<{wide}}  {value}".rstrip() for name, value in rows]
