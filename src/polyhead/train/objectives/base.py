"""What every objective is: a frozen record of its constants, the data and the model it takes, and how a batch is judged.

To add one: a spec and, where token by token cross-entropy is not its loss, a Learner, in a file of this folder; the batches
come from a class in data/objectives. Its name then works in every recipe, and the table of docs/objectives.md is made from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from polyhead.data import Objective
from polyhead.nn import At, Batch, ModelSpec, Tokens, Transformer
from polyhead.nn.pattern import Marked, holds
from polyhead.text import Tokenizer

from ..loss import loss_sum

if TYPE_CHECKING:
    from ..config import TrainingConfig

Sums = dict[str, Tensor]


class Given(NamedTuple):
    """What a run has beside the data: spec, the architecture; context, tokens of a row at most; documents: never attend
    from one to the next."""

    spec: ModelSpec
    context: int
    tokenizer: Tokenizer | None
    documents: bool = False

    @property
    def types(self) -> bool:
        """Whether the model tells the first text of a row from the second by token types."""
        return next(iter(self.spec.stacks.values())).embedding.types > 1

    @property
    def marks(self) -> bool:
        """Whether some tokens are seen by all (Longformer)."""
        return any(holds(block.attention.pattern, Marked) for stack in self.spec.stacks.values() for block in stack.blocks.values())

    @property
    def words(self) -> Tokenizer:
        """The tokenizer of a run on text."""
        assert self.tokenizer is not None, "pictures alone have none"
        return self.tokenizer


class ObjectiveSpec(BaseModel):
    """One objective's constants, and what follows from them.

    takes: the kinds of data it trains on, the usual one first. asks: what the model must tell, in words. writes: what its models do with a prompt: they go on with it,
    answer it, or write nothing. steady: all its batches have one shape, so that a step can be compiled once. anchored: whether
    the loss looks at the model the run began with. tokens: whether the held-out loss is nats per token, so that its exponential is
    a perplexity. frames: whether a new tokenizer must put <cls> and <sep> around texts. figures: what an evaluation may tell
    beside the loss. reads: what is counted as read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    kind: str
    takes: ClassVar[tuple[str, ...]] = ("text",)
    asks: ClassVar[str]
    writes: ClassVar[Literal["continues", "answers", "nothing"]] = "nothing"
    steady: ClassVar[bool] = True
    anchored: ClassVar[bool] = False
    tokens: ClassVar[bool] = True
    frames: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[Literal["tokens", "pictures"]] = "tokens"

    @property
    def told(self) -> tuple[str, ...]:
        """The names an evaluation may tell a figure by, with these constants."""
        return ("loss", *self.figures)

    @property
    def teacher(self) -> str | None:
        """A model whose tokenizer the run must share, because it learns from it."""
        return None

    @property
    def sentinels(self) -> int:
        """How many sentinels a tokenizer that is trained for it must reserve."""
        return 0

    @property
    def fixed(self) -> bool:
        """`steady`, with these constants."""
        return self.steady

    def makes(self, spec: ModelSpec) -> str:
        """What the trained model is said to be: Model.objective."""
        return self.kind

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        """The architecture with the head that is trained. facts: of the packed data, such as its labels. ConfigError."""
        raise NotImplementedError

    def dataset(self, file: Any, given: Given) -> Objective:
        """The packed data as batches."""
        raise NotImplementedError

    def datasets(self, train: Any, held: Any, given: Given) -> tuple[Objective, Objective]:
        """Both parts; one may need to know the other."""
        return self.dataset(train, given), self.dataset(held, given)

    def meta(self, train: Objective, given: Given) -> dict[str, Any]:
        """What the trained model must know of its training data, beside the labels. eos: an id that ends what it writes."""
        return {}

    def learner(self, net: Transformer, config: TrainingConfig) -> Learner:
        return Learner(net, config)


class Learner:
    """How a batch is judged: the cross-entropy of the first head, summed over targets with their weights.

    beside: what is trained along with the model and kept in checkpoints, but is no part of it. random: whether numbers are
    drawn, so that each step must seed them. counts: what `measure` sums beside nats and weight. told: whether what is added
    to the loss is part of the loss that is logged, as the balance of experts is not.
    """

    random: ClassVar[bool] = False
    counts: ClassVar[tuple[str, ...]] = ()
    told: bool = False
    beside: nn.Module | None = None

    def __init__(self, net: Transformer, config: TrainingConfig) -> None:
        self.net, self.smoothing, self.z = net, config.label_smoothing, config.z_loss

    def weight(self, batch: Batch) -> Tensor:
        """What the summed loss of a step is divided by the sum of: the weights of the targets."""
        return batch.weights

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(Σ weighted loss, what is added as it is: a mean already, such as the balance of experts)."""
        x, balance = self.net.hidden(batch.inputs, batch.source)
        return loss_sum(x, self.net.logits, batch.targets, batch.weights, smoothing=self.smoothing, z=self.z), balance

    def measure(self, batch: Batch) -> Sums:
        """Sums over a held-out batch: nats and the weight they are summed over, and counts that `figures` reads."""
        x, _ = self.net.hidden(batch.inputs, batch.source)
        return {"nats": loss_sum(x, self.net.logits, batch.targets, batch.weights), "weight": batch.weights.sum()}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        """What the sums over the whole held-out part say beside the loss, by name, such as accuracy."""
        return {}


def accuracy(sums: dict[str, float]) -> dict[str, float]:
    """{"accuracy": right over weight}, or nothing where nothing was asked."""
    return {"accuracy": sums["right"] / sums["weight"]} if sums["weight"] else {}


def real(tokens: Tokens, width: int) -> Tensor:
    """(B, width) bool: which places hold tokens."""
    at = At.of(tokens, width)
    valid = at.valid()
    return torch.ones(1, width, dtype=torch.bool, device=at.pos.device) if valid is None else valid
