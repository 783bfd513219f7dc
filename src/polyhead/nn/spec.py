"""The base of every spec: a frozen, typed piece of data that knows its own cost.

A spec is JSON in and out (`model_dump_json`, `model_validate_json`), refuses unknown keys, and is hashable, so that equal
choices can share what they build. Options that exclude each other are values of one type, told apart by `kind`.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Frozen, strict about names, free of NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class Counts(NamedTuple):
    """A count by part: parameters, or floating-point operations (a multiply-add counts 2)."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def __add__(self, other: object) -> Counts:
        if not isinstance(other, Counts):
            return NotImplemented
        merged = dict(self.parts)
        for name, number in other.parts.items():
            merged[name] = merged.get(name, 0) + number
        return Counts(merged)

    def times(self, n: int) -> Counts:
        return Counts({name: n * number for name, number in self.parts.items()})


def linear_params(inputs: int, outputs: int, bias: bool) -> int:
    return inputs * outputs + (outputs if bias else 0)
