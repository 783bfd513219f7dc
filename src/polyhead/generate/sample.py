"""One token per row from logits: greedy, or drawn after penalties, temperature, top-k, top-p and min-p, in that order.

All arithmetic on probabilities is in fp64 relative to the best token, so that no setting, however small, overflows.
A draw is the inverse of the cumulative distribution at one uniform number, and each row has a generator of its own:
what a row draws depends on its seed and its logits, never on its batch mates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ..errors import ConfigError, NonFiniteError
from .options import Options

_BLOCK = 64  # uniform numbers drawn at a time and row
_LIKELY = 256  # tokens sorted at first for top-p; a flatter distribution sorts them all


class Sampling(Options):
    """How a token is chosen from its distribution.

    temperature divides the logits; 0 takes the most probable token. top_k keeps the k most probable tokens, top_p the
    fewest whose probability together is at least p (Holtzman et al. 2020, arXiv 1904.09751 §3.1), min_p those with at
    least min_p times the best one's probability (Nguyen et al. 2024, arXiv 2407.01082). repetition_penalty θ divides
    positive and multiplies negative logits of every token seen, prompt included (CTRL, arXiv 1909.05858 §4.1).
    frequency_penalty and presence_penalty are taken off the logits of generated tokens, per occurrence and once.
    """

    temperature: float = Field(default=1.0, ge=0)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)
    frequency_penalty: float = Field(default=0.0, ge=-100, le=100)
    presence_penalty: float = Field(default=0.0, ge=-100, le=100)

    @property
    def penalised(self) -> bool:
        """Whether earlier tokens matter, so that a History is needed."""
        return self.repetition_penalty != 1 or self.frequency_penalty != 0 or self.presence_penalty != 0


_TOLD = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def chosen(usual: float, generation: dict[str, Any], where: str = "generation_config.json", **given: Any) -> Sampling:
    """What was given; where that is None what a published model's generation_config.json says, if it draws (do_sample);
    else the usual temperature. Of what it says, repetition_penalty counts always; a given temperature of 0 takes nothing
    else from the file, whose name is `where`. Raises ConfigError."""
    given = {name: value for name, value in given.items() if value is not None}
    draws = generation.get("do_sample") is True and given.get("temperature") != 0
    names = _TOLD if draws else ("repetition_penalty",)
    told = {name: generation[name] for name in names if generation.get(name) is not None}
    told = {name: value for name, value in told.items() if (name, value) != ("top_k", 0)}  # 0: all of them
    try:
        Sampling(**told)
    except ConfigError as error:
        error.message, error.change = f"{where}: {error.message}", "correct it there"
        raise
    return Sampling(**{"temperature": usual, **told, **given})


class History:
    """Which tokens each row has met: seen (B, V) in prompt or answer, counts (B, V) in the answer alone."""

    def __init__(self, prompts: Sequence[Sequence[int]], vocab: int, device: torch.device | str = "cpu") -> None:
        self.seen = torch.zeros(len(prompts), vocab, dtype=torch.bool, device=device)
        for row, prompt in zip(self.seen, prompts, strict=True):
            row[torch.tensor(list(prompt), dtype=torch.long, device=device)] = True
        self.counts = torch.zeros(len(prompts), vocab, device=device)

    def add(self, ids: Tensor) -> None:
        """ids (B,): the token each row has just produced."""
        self.seen.scatter_(1, ids[:, None], True)
        self.counts.scatter_add_(1, ids[:, None], self.counts.new_ones(len(ids), 1))

    def keep(self, index: Tensor) -> None:
        self.seen, self.counts = self.seen[index], self.counts[index]


class Draws:
    """A stream of uniform numbers per row, each from its own seed, 0 ≤ u < 1 in fp64."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device, self._next = device, _BLOCK

    def next(self) -> Tensor:
        """(B,) the next number of each row."""
        if self._next == _BLOCK:
            rows = [torch.rand(_BLOCK, dtype=torch.float64, generator=g) for g in self._generators]
            self._block, self._next = torch.stack(rows).to(self._device), 0
        self._next += 1
        return self._block[:, self._next - 1]

    def keep(self, index: Sequence[int]) -> None:
        self._generators = [self._generators[i] for i in index]
        if self._next < _BLOCK:
            self._block = self._block[list(index)]


@torch.inference_mode()
def sample(
    logits: Tensor,
    sampling: Sampling,
    history: History | None = None,
    draws: Draws | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """(B,) ids from logits (B, V) in fp32 or fp64.

    history is needed for penalties, draws unless the temperature is 0. allowed: (V,) or (B, V) bool, false = never.
    Raises NonFiniteError when a row's best logit is NaN or infinite, ConfigError when a row may take no token at all.
    """
    logits = adjusted(logits, sampling, history, allowed)
    best = logits.amax(-1, keepdim=True)
    check_choice(best, allowed)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if draws is None:
        raise ValueError("a temperature above 0 needs draws, one stream of random numbers per row")
    weights, ids = _candidates(((logits.double() - best) / sampling.temperature).exp(), sampling)
    pick = _inverse(weights, draws.next())
    return pick if ids is None else ids.gather(1, pick[:, None])[:, 0]


def adjusted(logits: Tensor, sampling: Sampling, history: History | None, allowed: Tensor | None) -> Tensor:
    """Logits after penalties, with −inf where a token is not allowed."""
    if sampling.penalised:
        if history is None:
            raise ValueError("penalties need the history of each row")
        if sampling.repetition_penalty != 1:
            theta = sampling.repetition_penalty
            logits = torch.where(history.seen, torch.where(logits > 0, logits / theta, logits * theta), logits)
        if sampling.frequency_penalty or sampling.presence_penalty:
            logits = logits - sampling.frequency_penalty * history.counts
            logits = logits - sampling.presence_penalty * (history.counts > 0)
    return logits if allowed is None else logits.masked_fill(~allowed, float("-inf"))


def _candidates(weights: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor | None]:
    """Weights (B, n) of the tokens that remain and their ids (B, n); None = all of the vocabulary in its order.

    weights (B, V) are probabilities up to a factor, the best one exactly 1.
    """
    ids = None
    if sampling.top_k is not None:
        weights, ids = weights.topk(min(sampling.top_k, weights.shape[-1]))
    if sampling.top_p < 1:
        enough = sampling.top_p * weights.sum(-1, keepdim=True)
        if ids is None:
            weights, ids = _by_weight(weights, enough)
        before = weights.cumsum(-1) - weights
        weights = weights.masked_fill(before >= enough, 0.0)
    return weights.masked_fill(weights < sampling.min_p, 0.0), ids


def _by_weight(weights: Tensor, enough: Tensor) -> tuple[Tensor, Tensor]:
    """The heaviest tokens of each row in descending order, as many as it takes to reach `enough` in all rows."""
    top, ids = weights.topk(min(_LIKELY, weights.shape[-1]))
    return (top, ids) if bool((top.sum(-1, keepdim=True) >= enough).all()) else weights.sort(-1, descending=True)


def _inverse(weights: Tensor, u: Tensor) -> Tensor:
    """(B,) the first place whose cumulative weight exceeds u · total; a place of weight 0 is never taken."""
    cumulative = weights.cumsum(-1)
    below = u[:, None] * cumulative[:, -1:]  # u ≤ 1 − 2⁻⁵³, so that the product rounds below the total
    return torch.searchsorted(cumulative, below, right=True)[:, 0]


def check_choice(best: Tensor, allowed: Tensor | None) -> None:
    """Raise unless every row's best logit or log-probability is finite: NonFiniteError; ConfigError where `allowed`
    leaves a row nothing."""
    if bool(torch.isfinite(best).all()):
        return
    if allowed is not None and bool((best == float("-inf")).any()):
        raise ConfigError("no token is allowed", expected="at least one that may be produced", received="none")
    raise NonFiniteError(
        "the model's logits are not finite",
        expected="finite numbers",
        received=f"a best logit of {best[~torch.isfinite(best)][0].item()}",
        change="train with a lower learning rate, or load an earlier checkpoint",
    )
