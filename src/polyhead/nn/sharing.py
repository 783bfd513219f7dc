"""AXIS sharing: which layers use the same weights. `order(n)` names the weight set of each executed layer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .spec import Spec


class NoSharing(Spec):
    """Every layer has its own weights."""

    kind: Literal["none"] = "none"

    def order(self, layers: int) -> tuple[int, ...]:
        return tuple(range(layers))


class Groups(Spec):
    """Consecutive layers share: layer i uses set ⌊i·groups/layers⌋ (ALBERT, Lan et al. 2020, arXiv 1909.11942 §3.1).

    inner > 1: a set is a run of that many layers, so the stack has steps = layers/inner runs; layer j of run i uses set
    ⌊i·groups/steps⌋·inner + j (ALBERT's inner_group_num, whose num_hidden_layers counts the runs).
    """

    kind: Literal["groups"] = "groups"
    groups: int = Field(1, gt=0)
    inner: int = Field(1, gt=0)

    def order(self, layers: int) -> tuple[int, ...]:
        steps, over = divmod(layers, self.inner)
        if over or self.groups > steps:
            raise ValueError(
                f"groups need layers to be a multiple of inner, and at least groups · inner of them: got {layers} layers, "
                f"{self.groups} groups and inner {self.inner}; change layers to {self.groups * self.inner}"
            )
        return tuple(i * self.groups // steps * self.inner + j for i in range(steps) for j in range(self.inner))


class Cycle(Spec):
    """Layers repeat in a cycle: layer i uses set i mod period (Takase & Kiyono 2021, arXiv 2104.06022)."""

    kind: Literal["cycle"] = "cycle"
    period: int = Field(gt=0)

    def order(self, layers: int) -> tuple[int, ...]:
        return tuple(i % self.period for i in range(layers))


Sharing = Annotated[NoSharing | Groups | Cycle, Field(discriminator="kind")]
