"""AXIS pattern: who sees whom. A pattern is a pure predicate on coordinates; `attend.py` alone turns it into a mask,
a flag, blocks, or nothing.

Contract of a choice; only `allows` has no default
    allows(q, k)      elementwise tensor algebra on At fields that broadcast: True where query q may look at key k
    reach()           how many other positions it can see (back, ahead); None = without limit
    simplify(q, n)    an equal pattern from static facts: no segments, no marks, n keys that ARE the queries
    covers(n)         one query that is the newest of n consecutive keys: does it see all n?
    hubs(at)          tokens seen from far (keys) and tokens that see far (queries): bool like at.pos, None = none
    near()            the reach between two tokens that are no hubs
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, Union

import torch
from pydantic import Field, model_validator
from torch import Tensor

from .at import At
from .block_sparse import BlockSparse
from .pattern_base import CAUSAL, FULL, Causal, Full, Hubs, PatternSpec, Reach


class Prefix(PatternSpec):
    """Causal, but marked (prefix) tokens are seen by all: the prefix is bidirectional (T5, arXiv 1910.10683 §3.2.1)."""

    kind: Literal["prefix"] = "prefix"

    def allows(self, q: At, k: At) -> Tensor:
        causal = k.pos <= q.pos
        return causal if k.mark is None else causal | k.mark

    def simplify(self, q: At, n: int | None) -> Pattern:
        return CAUSAL if q.mark is None else self

    def covers(self, n: int) -> bool:
        return True

    def hubs(self, at: At) -> Hubs:
        return Hubs(at.mark)

    def near(self) -> Reach:
        return None, 0


class Marked(PatternSpec):
    """Global tokens: marked keys are seen by every query, marked queries see every key; nothing else is allowed, so it
    is used in an `or` (Longformer, arXiv 2004.05150 §3.1, "global attention"; BigBird-ETC).

    Longformer is Or(Window(back=w, ahead=w), Marked()). A causal model with global keys that a cache can serve is
    Or(Window(back=w), And(Causal(), Marked(queries=False))). Where a batch marks nobody, it allows nothing.
    """

    kind: Literal["marked"] = "marked"
    keys: bool = True
    queries: bool = True

    @model_validator(mode="after")
    def _someone(self) -> Marked:
        if not (self.keys or self.queries):
            raise ValueError("a marked pattern needs marked keys, marked queries, or both: got neither")
        return self

    def allows(self, q: At, k: At) -> Tensor:
        nobody = (q.pos != q.pos) & (k.pos != k.pos)
        nobody = nobody | k.mark if self.keys and k.mark is not None else nobody
        return nobody | q.mark if self.queries and q.mark is not None else nobody

    def hubs(self, at: At) -> Hubs:
        return Hubs(at.mark if self.keys else None, at.mark if self.queries else None)

    def near(self) -> Reach:
        return 0, 0


class Window(PatternSpec):
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


class Dilated(PatternSpec):
    """A window with gaps: a token sees itself, `back` others before it and `ahead` after it, each `step` positions from
    the next (Longformer, arXiv 2004.05150 §3.1, dilation = step)."""

    kind: Literal["dilated"] = "dilated"
    step: int = Field(gt=0)
    back: int = Field(ge=0)
    ahead: int = Field(0, ge=0)

    def allows(self, q: At, k: At) -> Tensor:
        near = q.pos - k.pos
        return (near <= self.back * self.step) & (near >= -self.ahead * self.step) & (near % self.step == 0)

    def reach(self) -> Reach:
        return self.back * self.step, self.ahead * self.step


class Strided(PatternSpec):
    """A token sees itself, the `back` others before it, and every `stride`-th before those: summaries of the columns of a
    picture `stride` wide (Sparse Transformer, Child et al. 2019, arXiv 1904.10509 §4.2, both heads in one; back = 0 is
    the second head alone, the first is a window)."""

    kind: Literal["strided"] = "strided"
    stride: int = Field(gt=0)
    back: int = Field(0, ge=0)

    def allows(self, q: At, k: At) -> Tensor:
        near = q.pos - k.pos
        return (near >= 0) & ((near <= self.back) | (near % self.stride == 0))

    def reach(self) -> Reach:
        return None, 0


class Chunked(PatternSpec):
    """Positions are cut into chunks of `size`; a token sees its own chunk (blockwise attention, Qiu et al. 2020, arXiv
    1911.02972). And(Causal(), Chunked(size=n)) is the local layer of Llama 4."""

    kind: Literal["chunked"] = "chunked"
    size: int = Field(gt=0)

    def allows(self, q: At, k: At) -> Tensor:
        return q.pos // self.size == k.pos // self.size

    def reach(self) -> Reach:
        return self.size - 1, self.size - 1


class Document(PatternSpec):
    """Tokens of one packed document see each other. The stack adds it by itself whenever a batch carries segments."""

    kind: Literal["document"] = "document"

    def allows(self, q: At, k: At) -> Tensor:
        if q.segment is None or k.segment is None:
            return FULL.allows(q, k)
        return q.segment == k.segment

    def simplify(self, q: At, n: int | None) -> Pattern:
        return FULL if q.segment is None else self


class And(PatternSpec):
    """Allowed by every part."""

    kind: Literal["and"] = "and"
    parts: tuple[Pattern, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_grid(self) -> And:
        if sum(isinstance(p, BlockSparse) for p in leaves(self)) > 1:
            raise ValueError("a pattern has room for one block_sparse part: got more")
        return self

    def allows(self, q: At, k: At) -> Tensor:
        out = self.parts[0].allows(q, k)
        for part in self.parts[1:]:
            out = out & part.allows(q, k)
        return out

    def reach(self) -> Reach:
        back, ahead = zip(*(p.reach() for p in self.parts), strict=True)
        return _least(back), _least(ahead)

    def simplify(self, q: At, n: int | None) -> Pattern:
        parts = _distinct(p.simplify(q, n) for p in self.parts)
        parts = tuple(p for p in parts if not isinstance(p, Full))
        for part in parts:
            if _empty(part, q):
                return part
        if not parts:
            return FULL
        return parts[0] if len(parts) == 1 else self if _keep(parts, self.parts) else And(parts=parts)

    def covers(self, n: int) -> bool:
        return all(p.covers(n) for p in self.parts)

    def hubs(self, at: At) -> Hubs:
        return _any_hub(self.parts, at)

    def near(self) -> Reach:
        back, ahead = zip(*(p.near() for p in self.parts), strict=True)
        return _least(back), _least(ahead)


class Or(PatternSpec):
    """Allowed by at least one part."""

    kind: Literal["or"] = "or"
    parts: tuple[Pattern, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_grid(self) -> Or:
        if any(isinstance(p, BlockSparse) for p in leaves(self)):
            raise ValueError("block_sparse counts some keys more than once, so it cannot stand in an or: use and")
        return self

    def allows(self, q: At, k: At) -> Tensor:
        out = self.parts[0].allows(q, k)
        for part in self.parts[1:]:
            out = out | part.allows(q, k)
        return out

    def reach(self) -> Reach:
        back, ahead = zip(*(p.reach() for p in self.parts), strict=True)
        return _most(back), _most(ahead)

    def simplify(self, q: At, n: int | None) -> Pattern:
        parts = _distinct(p.simplify(q, n) for p in self.parts)
        if any(isinstance(p, Full) for p in parts):
            return FULL
        parts = tuple(p for p in parts if not _empty(p, q)) or parts[:1]
        return parts[0] if len(parts) == 1 else self if _keep(parts, self.parts) else Or(parts=parts)

    def covers(self, n: int) -> bool:
        return any(p.covers(n) for p in self.parts)

    def hubs(self, at: At) -> Hubs:
        return _any_hub(self.parts, at)

    def near(self) -> Reach:
        back, ahead = zip(*(p.near() for p in self.parts), strict=True)
        return _most(back), _most(ahead)


def _distinct(parts: Iterable[Pattern]) -> tuple[Pattern, ...]:
    """Each once; a graph being compiled cannot compare specs, but the same object is the same there too."""
    out: list[Pattern] = []
    for p in parts:
        if not any(p is other or not torch.compiler.is_compiling() and p == other for other in out):
            out.append(p)
    return tuple(out)


def _keep(a: tuple[Pattern, ...], b: tuple[Pattern, ...]) -> bool:
    """The very same objects, or no time for others: a graph being compiled cannot build specs."""
    return torch.compiler.is_compiling() or len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _empty(pattern: Pattern, q: At) -> bool:
    """Nobody is marked, so nothing is allowed."""
    return isinstance(pattern, Marked) and q.mark is None


def _any_hub(parts: tuple[Pattern, ...], at: At) -> Hubs:
    found = [p.hubs(at) for p in parts]
    return Hubs(*(_either([hubs[side] for hubs in found]) for side in range(2)))


def _either(tensors: list[Tensor | None]) -> Tensor | None:
    out = None
    for t in tensors:
        out = t if out is None else out if t is None else out | t
    return out


def _least(sides: tuple[int | None, ...]) -> int | None:
    known = [s for s in sides if s is not None]
    return min(known) if known else None


def _most(sides: tuple[int | None, ...]) -> int | None:
    known = [s for s in sides if s is not None]
    return max(known) if len(known) == len(sides) else None


class Forms(NamedTuple):
    """One pattern, twice."""

    alone: Pattern
    packed: Pattern


def leaves(pattern: Pattern) -> list[Pattern]:
    """The choices a pattern is put together from."""
    if not isinstance(pattern, And | Or):
        return [pattern]
    return [leaf for part in pattern.parts for leaf in leaves(part)]


def holds(pattern: Pattern, choice: type[PatternSpec]) -> bool:
    """Whether a choice is part of the pattern."""
    return any(isinstance(leaf, choice) for leaf in leaves(pattern))


def blocked(pattern: Pattern) -> BlockSparse | None:
    """The part that cuts rows into blocks, if there is one."""
    for leaf in leaves(pattern):
        if isinstance(leaf, BlockSparse):
            return leaf
    return None


def placed(pattern: Pattern, q: At, k: At) -> tuple[At, At]:
    """Queries and keys that are the same tokens, with their places in the row where the pattern needs them."""
    sparse = blocked(pattern)
    if sparse is None or q.grid is not None:
        return q, k
    grid = sparse.grid(q)
    return q._replace(grid=grid), k._replace(grid=grid._replace(drawn=None))


def allowed(pattern: Pattern, q: At, k: At) -> Tensor:
    """(B|1, 1, T, S) bool: the pattern, and no padding on either side."""
    q, k = placed(pattern, q, k)
    rows, cols = q.rows(), k.cols()
    out = pattern.allows(rows, cols)
    if k.padded:
        out = out & (cols.pos >= 0)
    if q.padded:
        out = out & (rows.pos >= 0)
    return out


def forms(pattern: Pattern) -> Forms:
    """A pattern for rows of one document, and for packed rows; both are built once, outside of graphs."""
    return Forms(pattern, And(parts=(pattern, Document())))


def within_documents(pattern: Forms, q: At) -> Pattern:
    """A batch's segments are always respected."""
    return pattern.alone if q.segment is None else pattern.packed


def causal_only(pattern: Pattern) -> bool:
    """No key after the query, ever, but for marked keys of the first call: what a cache needs."""
    if isinstance(pattern, And):
        return any(causal_only(p) for p in pattern.parts)
    if isinstance(pattern, Or):
        return all(causal_only(p) for p in pattern.parts)
    if isinstance(pattern, Marked):
        return not pattern.queries
    return isinstance(pattern, Prefix) or pattern.reach()[1] == 0


Pattern = Annotated[
    Union[  # noqa: UP007 - a closed, recursive union
        Full, Causal, Prefix, Marked, Window, Dilated, Strided, Chunked, Document, BlockSparse, And, Or
    ],
    Field(discriminator="kind"),
]  # fmt: skip
And.model_rebuild()
Or.model_rebuild()
EVERYTHING = forms(FULL)
