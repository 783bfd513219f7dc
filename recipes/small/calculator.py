"""A small language of whole numbers, and its evaluator. Nothing is ever given to Python's own.

    max ( a + 2 , b * c ) - 1      variables a, b, c; + - *; a leading minus; max and min of two; brackets
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"\s*([0-9]+|[a-z]+|[-+*(),])")
LONGEST, DEEPEST, LARGEST = 400, 40, 10**12


class Wrong(ValueError):
    """A text that is no expression, or a number beyond all bounds."""


def evaluate(text: str, values: Mapping[str, int]) -> int:
    """The number that an expression stands for. Raises Wrong."""
    if len(text) > LONGEST:
        raise Wrong("too long")
    reader = _Reader(text, values)
    value = reader.total()
    if reader.tokens:
        raise Wrong(f"something is left: {reader.tokens[0]}")
    return value


class _Reader:
    """One rule of the grammar a method; tokens are taken from the front."""

    def __init__(self, text: str, values: Mapping[str, int]) -> None:
        self.tokens, self.values, self.depth, at = [], values, 0, 0
        text = text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise Wrong(f"no token: {text[at:at + 10]!r}")
            self.tokens.append(found[1])
            at = found.end()

    def total(self) -> int:
        value = self.product()
        while self.tokens[:1] in (["+"], ["-"]):
            sign = 1 if self.tokens.pop(0) == "+" else -1
            value = _bounded(value + sign * self.product())
        return value

    def product(self) -> int:
        value = self.one()
        while self.tokens[:1] == ["*"]:
            self.tokens.pop(0)
            value = _bounded(value * self.one())
        return value

    def one(self) -> int:
        self.depth += 1
        token = self.tokens.pop(0) if self.tokens and self.depth <= DEEPEST else ""
        if token.isdigit():
            value = _bounded(int(token))
        elif token in self.values:
            value = self.values[token]
        elif token == "-":
            value = -self.one()
        elif token == "(":
            value = self.total()
            self.take(")")
        elif token in ("max", "min"):
            self.take("(")
            first = self.total()
            self.take(",")
            second = self.total()
            self.take(")")
            value = max(first, second) if token == "max" else min(first, second)
        else:
            raise Wrong(f"no value: {token!r}")
        self.depth -= 1
        return value

    def take(self, token: str) -> None:
        if not self.tokens or self.tokens.pop(0) != token:
            raise Wrong(f"{token} is missing")


def _bounded(value: int) -> int:
    if abs(value) > LARGEST:
        raise Wrong("too large")
    return value
