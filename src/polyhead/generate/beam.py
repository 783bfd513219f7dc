"""Beam search: the answer with the best log-probability, normalised for its length, among the few best prefixes.

A hypothesis Y is ranked by log P(Y | X) / lp(Y) with lp(Y) = ((5 + |Y|) / 6)^α (Wu et al. 2016, arXiv 1609.08144, eq. 14);
|Y| counts generated tokens alone, the eos included, prompt and padding never. A finished hypothesis leaves the beam and
keeps its place (Sutskever et al. 2014, arXiv 1409.3215 §3.2), so that a beam of 1 is greedy decoding for every α; a row
ends once no living prefix can overtake its best answer, which changes no result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from .engine import Engine
from .options import Options
from .rules import Rules
from .sample import check_choice
from .stop import Limits, Reason


class Beam(Options):
    """beams: prefixes kept per row. length_penalty: α; 0 ranks by log-probability, larger prefers longer answers."""

    beams: int = Field(default=4, ge=1, le=256)
    length_penalty: float = Field(default=0.6, ge=-10, le=10)


class Hypothesis(NamedTuple):
    """ids: generated, without the eos. score: log-probability in nats over lp."""

    ids: list[int]
    score: float
    reason: Reason


class _Search:
    """The beam of one prompt, as lists: `trail` holds per step the surviving (parent place, token) pairs."""

    def __init__(self, row: int, beam: Beam, limits: Limits) -> None:
        self.row, self.beam, self.limits = row, beam, limits
        self.trail: list[list[tuple[int, int]]] = []
        self.scores: list[float] = []  # of the survivors
        self.finished = 0
        self.best: Hypothesis | None = None

    def lp(self, length: int) -> float:
        return ((5 + length) / 6) ** self.beam.length_penalty

    def advance(self, scores: list[float], parents: list[int], tokens: list[int]) -> None:
        """Take the candidates of one step, best first."""
        length, survivors = len(self.trail) + 1, []
        self.scores = []
        for score, parent, token in list(zip(scores, parents, tokens, strict=True))[: self.beam.beams - self.finished]:
            if score == float("-inf"):
                break
            if token in self.limits.eos or length == self.limits.max_tokens:
                self._finish(score, parent, token, length)
            else:
                survivors.append((parent, token))
                self.scores.append(score)
        self.trail.append(survivors)

    def _finish(self, score: float, parent: int, token: int, length: int) -> None:
        self.finished += 1
        ranked = score / self.lp(length)
        if self.best is not None and ranked <= self.best.score:
            return
        ended = token in self.limits.eos
        ids = [] if ended else [token]
        for survivors in reversed(self.trail):
            parent, token = survivors[parent]
            ids.append(token)
        self.best = Hypothesis(ids[::-1], ranked, self.limits.ending(length) if ended else "length")

    @property
    def done(self) -> bool:
        """No survivor is left, or none can overtake: log-probabilities only fall, so a living prefix ends at most at
        its present one over the largest lp ahead of it."""
        if not self.scores or self.best is None:
            return not self.scores
        ahead = max(self.lp(len(self.trail) + 1), self.lp(self.limits.max_tokens))
        return self.best.score >= max(self.scores) / ahead


@torch.inference_mode()
def beam_search(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    beam: Beam,
    limits: Limits,
    *,
    source: Sequence[Sequence[int]] | None = None,
    allowed: Tensor | None = None,
    rules: Rules | None = None,
    extrapolate: bool = False,
) -> list[Hypothesis]:
    """The best hypothesis of each prompt. allowed: (V,) bool of tokens that may be produced, and rules what may follow
    what; their log-probabilities stay those of the whole vocabulary; an id that the limits force is certain, and costs nothing.
    `limits.stop` has no meaning here. Errors as in Engine.prefill and sample."""
    state, logits = engine.prefill(prompts, limits.max_tokens, source, extrapolate=extrapolate)
    searches = [_Search(row, beam, limits) for row in range(len(prompts))]
    answers: dict[int, Hypothesis] = {}
    living, width = searches, 1
    scores = torch.zeros(len(prompts), 1, dtype=torch.float64, device=engine.home)
    written: list[list[int]] = [list(prompt) for prompt in prompts]  # by row of the batch
    while True:
        may, place = allowed, len(living[0].trail)
        if rules is not None and not rules.empty:
            may = rules.allowed(written, [place] * len(written), allowed, logits)
        best, parents, tokens = _candidates(logits, scores, beam.beams, may, limits.forced(place))
        for search, *lists in zip(living, best.tolist(), parents.tolist(), tokens.tolist(), strict=True):
            search.advance(*lists)
            if search.done and search.best is not None:
                answers[search.row] = search.best
        kept = [i for i, search in enumerate(living) if not search.done]
        if not kept:
            return [answers[row] for row in range(len(prompts))]
        living, places = [living[i] for i in kept], width
        width = max(len(search.scores) for search in living)
        index, ids, scores = _survivors(living, kept, places, width, engine.home)
        if index != list(range(len(logits))):
            engine.reorder(state, torch.tensor(index, device=engine.home))
        written = [[*written[parent], number] for parent, number in zip(index, ids.tolist(), strict=True)]
        logits = engine.step(state, ids)


def _candidates(
    logits: Tensor, scores: Tensor, beams: int, allowed: Tensor | None, forced: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(scores, parent places, tokens), each (R, ≤ beams), best first, from logits (R·W, V) and scores (R, W)."""
    logp = logits.log_softmax(-1)
    if forced is not None:
        logp = torch.full_like(logp, float("-inf"))
        logp[:, forced] = 0.0
    elif allowed is not None:
        logp = logp.masked_fill(~allowed, float("-inf"))
    top, ids = logp.topk(min(beams, logp.shape[-1]))
    check_choice(top[:, :1], allowed)
    total = (scores[:, :, None] + top.double().view(*scores.shape, -1)).flatten(1)
    best, place = total.topk(min(beams, total.shape[1]))
    return best, place // top.shape[1], ids.view(len(scores), -1).gather(1, place)


def _survivors(
    living: list[_Search], kept: list[int], places: int, width: int, device: torch.device
) -> tuple[list[int], Tensor, Tensor]:
    """(row each of the R·W new rows continues, its next id (R·W,), scores (R, W)); empty places repeat the first
    survivor with a score of −inf."""
    index, ids, scores = [], [], []
    for i, search in zip(kept, living, strict=True):
        last = search.trail[-1]
        filled = last + last[:1] * (width - len(last))
        index += [i * places + parent for parent, _ in filled]
        ids += [token for _, token in filled]
        scores.append(search.scores + [float("-inf")] * (width - len(last)))
    return index, torch.tensor(ids, device=device), torch.tensor(scores, dtype=torch.float64, device=device)
