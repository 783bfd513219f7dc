"""Replaced-token detection (ELECTRA, Clark et al. 2020, arXiv 2003.10555): a small generator fills in hidden tokens, and the
model says of every token whether it is the original one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from polyhead.data import Masked, Objective
from polyhead.errors import ConfigError
from polyhead.families import check_shape, override, with_head
from polyhead.nn import Batch, ModelSpec, Transformer

from ..loss import loss_sum
from .base import Given, Learner, ObjectiveSpec, Sums, accuracy, real

TABLES = ("token", "types", "position")  # what generator and model read texts with, shared (§3.2)


class ReplacedSpec(ObjectiveSpec):
    """The loss is the generator's, in nats per hidden token, + weight · the model's, over all tokens (§2; λ = 50, §A).

    rate: hidden tokens, 85 % of them as <mask> and the others as they are, as in the authors' code. generator: its width
    (heads and inner width too) as a share of the model's (§3.3: 1/4 to 1/2). The generator does not learn to fool the model:
    what it writes is drawn, and no gradient passes. It is left beside the run in the folder generator/.
    """

    kind: Literal["replaced"] = "replaced"
    asks: ClassVar[str] = "a generator for the hidden tokens; the model, of every token, whether it is still the original one"
    figures: ClassVar[tuple[str, ...]] = ("accuracy", "recall", "generator_loss")
    rate: float = Field(0.15, gt=0, lt=1)
    weight: float = Field(50.0, gt=0)
    generator: float = Field(0.25, gt=0, le=1)

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "encoder", self.kind)
        return with_head(spec, "rtd", 1)

    def dataset(self, file: Any, given: Given) -> Objective:
        return Masked(file, given.context, given.words, rate=self.rate, split=(0.85, 0.0, 0.15), documents=given.documents)

    def learner(self, net: Transformer, config: Any) -> Learner:
        return ReplacedLearner(net, config, self)


def generator_spec(spec: ModelSpec, share: float) -> ModelSpec:
    """The generator of a model: as deep, `share` as wide, with a table of the model's own width in front."""
    encoder = spec.encoder
    assert encoder is not None, "the objective takes an encoder alone"
    changes: dict[str, Any] = {}
    counts = {name: block.attention.heads.heads for name, block in encoder.blocks.items()}
    heads = {name: max(1, round(n * share)) for name, n in counts.items()}
    first = next(iter(counts))
    width = encoder.width // counts[first] * heads[first]
    for name, block in encoder.blocks.items():
        place, own = f"encoder.blocks.{name}", block.attention.heads
        if own.kind != "grouped" or encoder.width % own.heads:
            raise ConfigError("objective replaced makes no generator for these heads", expected="grouped heads that divide the width", received=own.kind)
        changes[f"{place}.attention.heads.heads"] = heads[name]
        if own.kv_heads is not None:
            changes[f"{place}.attention.heads.kv_heads"] = next(k for k in range(min(own.kv_heads, heads[name]), 0, -1) if heads[name] % k == 0)
        if (inner := getattr(block.ffn, "inner", None)) is not None:
            changes[f"{place}.ffn.inner"] = max(1, round(inner * share))
    table = encoder.embedding.table_width(encoder.width)
    changes |= {"encoder.width": width, "encoder.embedding.width": None if table == width else table}
    changes["encoder.embedding.project"] = "none" if table == width else "sum" if encoder.embedding.project == "none" else encoder.embedding.project
    states = {"states": {"task": "embed"}}
    bare = ModelSpec.model_validate(spec.model_dump(mode="json") | {"heads": states})
    return with_head(override(bare, changes, "the generator"), "mlm", spec.top.embedding.vocab)


class ReplacedLearner(Learner):
    """net: the discriminator. beside: the generator, whose tables are the net's own."""

    random: ClassVar[bool] = True
    told = True
    counts: ClassVar[tuple[str, ...]] = ("right", "found", "replaced", "generator_nats", "hidden")

    def __init__(self, net: Transformer, config: Any, spec: ReplacedSpec) -> None:
        super().__init__(net, config)
        self.factor = spec.weight
        generator = generator_spec(net.spec, spec.generator).build(1)
        for name in TABLES:
            theirs = getattr(net.top.embed, name, None)
            if theirs is not None:
                setattr(generator.top.embed, name, theirs)
        self.beside: nn.Module = generator
        self.generator: Transformer = generator

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        filled, balance, replaced, logits = self._both(batch)
        valid = real(batch.inputs, logits.shape[1]).expand_as(logits)
        judged = F.binary_cross_entropy_with_logits(logits[valid], replaced[valid].float())
        more = self.factor * judged
        return filled, more if balance is None else more + balance

    def _both(self, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """(the generator's summed nats, balance losses, (B, T) bool which tokens differ from the original, their logits)."""
        hidden = batch.weights > 0
        x, balance = self.generator.hidden(batch.inputs)
        states, wanted = x[hidden], batch.targets[hidden]
        filled = loss_sum(states, self.generator.logits, wanted, batch.weights[hidden], drop_untrained=False)
        ids = batch.targets.clone()
        ids[hidden] = self._drawn(states.detach())
        x, more = self.net.hidden(batch.inputs._replace(ids=ids))
        logits = self.net.logits(x).squeeze(-1)
        balance = more if balance is None else balance if more is None else balance + more
        return filled, balance, ids != batch.targets, logits

    @torch.no_grad()
    def _drawn(self, states: Tensor) -> Tensor:
        """(n,) ids drawn from what the generator holds probable: argmax of logits + Gumbel noise."""
        logits = self.generator.logits(states).float()
        noise = torch.empty_like(logits).exponential_().clamp_(min=torch.finfo(torch.float32).tiny).log_()
        return (logits - noise).argmax(-1)

    def measure(self, batch: Batch) -> Sums:
        """nats: the model's, over all tokens; the same draw at every call."""
        devices = [batch.targets.device] if batch.targets.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            filled, _, replaced, logits = self._both(batch)
        valid = real(batch.inputs, logits.shape[1]).expand_as(logits)
        nats = F.binary_cross_entropy_with_logits(logits[valid], replaced[valid].float(), reduction="sum")
        right = ((logits > 0) == replaced)[valid].sum()
        found = ((logits > 0) & replaced)[valid].sum()
        return {
            "nats": nats, "weight": valid.sum(), "right": right, "found": found, "replaced": replaced[valid].sum(),
            "generator_nats": filled, "hidden": batch.weights.sum(),
        }  # fmt: skip

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        """accuracy over all tokens; recall: replaced ones that were found; the generator's loss per hidden token."""
        out = accuracy(sums)
        out |= {"recall": sums["found"] / sums["replaced"]} if sums["replaced"] else {}
        return out | ({"generator_loss": sums["generator_nats"] / sums["hidden"]} if sums["hidden"] else {})
