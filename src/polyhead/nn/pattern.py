"""AXIS pattern: who sees whom. A pattern is a pure predicate on coordinates; `attend.py` alone turns it into a mask,
a flag, blocks, or nothing.

Contract of a choice
    allows(q, k)      elementwise tensor algebra on At fields that broadcast: True where query q may look at key k
    reach()           how many other positions it can see (back, ahead); None = without limit
    simplify(q, n)    an equal pattern from static facts: no segments, no marks, n keys that ARE the queries
    covers(n)         one query that is the newest of n consecutive keys: does it see all n?
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

import torch
from pydantic import Field
from torch import Tensor

from .at import At
from .spec import Spec

Reach = tuple[int | None, int | None]


class Full(Spec):
    """Everybody sees everybody (Vaswani et al. 2017, the encoder)."""

    kind: Literal["full"] = "full"

    def allows(self, q: At, k: At) -> Tensor:
        return (q.pos == q.pos) & (k.pos == k.pos)

    def reach(self) -> Reach:
        return None, None

    def simplify(self, q: At, n: int | None) -> Pattern:
        return self

    def covers(self, n: int) -> bool:
        return True


class Causal(Spec):
    """A token sees itself and what came before (Vaswani et al. 2017 §3.2.3)."""

    kind: Literal["causal"] = "causal"

    def allows(self, q: At, k: At) -> Tensor:
        return k.pos <= q.pos

    def reach(self) -> Reach:
        return None, 0

    def simplify(self, q: At, n: int | None) -> Pattern:
        return self

    def covers(self, n: int) -> bool:
        return True


class Prefix(Spec):
    """Causal, but marked (prefix) tokens are seen by all: the prefix is bidirectional (T5, arXiv 1910.10683 §3.2.1)."""

    kind: Literal["prefix"] = "prefix"

    def allows(self, q: At, k: At) -> Tensor:
        causal = k.pos <= q.pos
        return causal if k.mark is None else causal | k.mark

    def reach(self) -> Reach:
        return None, None

    def simplify(self, q: At, n: int | None) -> Pattern:
        return CAUSAL if q.mark is None else self

    def covers(self, n: int) -> bool:
        return True


class Window(Spec):
    """A token sees `back` others before it and `ahead` after it (Longformer, arXiv 2004.05150 §3.1; Mistral).

    Mistral's sliding_window W counts the token itself: back = W − 1.
    """

    kind: Literal["window"] = "window"
    back: int = Field(ge=0)
    ahead: int = Field(0, ge=0)

    def allows(self, q: At, k: At) -> Tensor:
        near = q.pos - k.pos
        return (near <= self.back) & (near >= -self.ahead)

    def reach(self) -> Reach:
        return self.back, self.ahead

    def simplify(self, q: At, n: int | None) -> Pattern:
        if n is None or q.segment is not None:
            return self
        if self.back >= n - 1 and self.ahead == 0:
            return CAUSAL
        return FULL if min(self.back, self.ahead) >= n - 1 else self

    def covers(self, n: int) -> bool:
        return self.back >= n - 1


class Document(Spec):
    """Tokens of one packed document see each other. The stack adds it by itself whenever a batch carries segments."""

    kind: Literal["document"] = "document"

    def allows(self, q: At, k: At) -> Tensor:
        if q.segment is None or k.segment is None:
            return FULL.allows(q, k)
        return q.segment == k.segment

    def reach(self) -> Reach:
        return None, None

    def simplify(self, q: At, n: int | None) -> Pattern:
        return FULL if q.segment is None else self

    def covers(self, n: int) -> bool:
        return False


class And(Spec):
    """Allowed by every part."""

    kind: Literal["and"] = "and"
    parts: tuple[Pattern, ...] = Field(min_length=1)

    def allows(self, q: At, k: At) -> Tensor:
        out = self.parts[0].allows(q, k)
        for part in self.parts[1:]:
            out = out & part.allows(q, k)
        return out

    def reach(self) -> Reach:
        back, ahead = zip(*(p.reach() for p in self.parts), strict=True)
        return _least(back), _least(ahead)

    def simplify(self, q: At, n: int | None) -> Pattern:
        parts = tuple(dict.fromkeys(p.simplify(q, n) for p in self.parts))
        parts = tuple(p for p in parts if not isinstance(p, Full))
        if not parts:
            return FULL
        return parts[0] if len(parts) == 1 else self if _same(parts, self.parts) else And(parts=parts)

    def covers(self, n: int) -> bool:
        return all(p.covers(n) for p in self.parts)


class Or(Spec):
    """Allowed by at least one part."""

    kind: Literal["or"] = "or"
    parts: tuple[Pattern, ...] = Field(min_length=1)

    def allows(self, q: At, k: At) -> Tensor:
        out = self.parts[0].allows(q, k)
        for part in self.parts[1:]:
            out = out | part.allows(q, k)
        return out

    def reach(self) -> Reach:
        back, ahead = zip(*(p.reach() for p in self.parts), strict=True)
        return _most(back), _most(ahead)

    def simplify(self, q: At, n: int | None) -> Pattern:
        parts = tuple(dict.fromkeys(p.simplify(q, n) for p in self.parts))
        if any(isinstance(p, Full) for p in parts):
            return FULL
        return parts[0] if len(parts) == 1 else self if _same(parts, self.parts) else Or(parts=parts)

    def covers(self, n: int) -> bool:
        return any(p.covers(n) for p in self.parts)


def _same(a: tuple[Pattern, ...], b: tuple[Pattern, ...]) -> bool:
    """The very same objects: a graph being compiled cannot build specs."""
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _least(sides: tuple[int | None, ...]) -> int | None:
    return min((s for s in sides if s is not None), default=None)


def _most(sides: tuple[int | None, ...]) -> int | None:
    return None if any(s is None for s in sides) else max(s for s in sides if s is not None)


def allowed(pattern: Pattern, q: At, k: At) -> Tensor:
    """(B|1, 1, T, S) bool: the pattern, and no padding on either side."""
    rows, cols = q.rows(), k.cols()
    out = pattern.allows(rows, cols)
    if k.padded:
        out = out & (cols.pos >= 0)
    if q.padded:
        out = out & (rows.pos >= 0)
    return out


def within_documents(pattern: Pattern, q: At) -> Pattern:
    """A batch's segments are always respected."""
    return pattern if q.segment is None else And(parts=(pattern, Document()))


def causal_only(pattern: Pattern) -> bool:
    """No key after the query, ever, when there are no marks: what a cache needs."""
    empty = At(torch.empty(0))
    return pattern.simplify(empty, None).reach()[1] == 0


Pattern = Annotated[
    Union[Full, Causal, Prefix, Window, Document, And, Or],  # noqa: UP007 - a closed, recursive union
    Field(discriminator="kind"),
]
And.model_rebuild()
Or.model_rebuild()
FULL, CAUSAL = Full(), Causal()  # built once: a graph being compiled cannot build specs
