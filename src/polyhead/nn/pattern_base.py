"""What every pattern is: the defaults of the contract (pattern.py states it), and the two patterns everybody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from torch import Tensor

from .at import At
from .spec import Spec

if TYPE_CHECKING:
    from .pattern import Pattern

Reach = tuple[int | None, int | None]


class Hubs(NamedTuple):
    """Which tokens are seen from far, and which see far."""

    keys: Tensor | None = None
    queries: Tensor | None = None


class PatternSpec(Spec):
    """What a pattern promises when it promises nothing."""

    def reach(self) -> Reach:
        return None, None

    def simplify(self, q: At, n: int | None) -> Pattern:
        return self  # type: ignore[return-value]  # every choice is a member of that union; their base cannot know

    def covers(self, n: int) -> bool:
        return False

    def hubs(self, at: At) -> Hubs:
        return Hubs()

    def near(self) -> Reach:
        return self.reach()


class Full(PatternSpec):
    """Everybody sees everybody (Vaswani et al. 2017, the encoder)."""

    kind: Literal["full"] = "full"

    def allows(self, q: At, k: At) -> Tensor:
        return (q.pos == q.pos) & (k.pos == k.pos)

    def covers(self, n: int) -> bool:
        return True


class Causal(PatternSpec):
    """A token sees itself and what came before (Vaswani et al. 2017 §3.2.3)."""

    kind: Literal["causal"] = "causal"

    def allows(self, q: At, k: At) -> Tensor:
        return k.pos <= q.pos

    def reach(self) -> Reach:
        return None, 0

    def covers(self, n: int) -> bool:
        return True


FULL, CAUSAL = Full(), Causal()  # built once: a graph being compiled cannot build specs
