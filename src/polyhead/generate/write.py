"""The loop that writes: prefill, then sample and step until every row has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..nn import Tokens
from .engine import Engine
from .rules import Rules
from .sample import Draws, History, Sampling, sample
from .stop import Row


def write(
    engine: Engine,
    rows: Sequence[Row],
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    *,
    source: Sequence[Sequence[int]] | Tokens | None = None,
    allowed: Tensor | None = None,
    first: Tensor | None = None,
    rules: Rules | None = None,
    extrapolate: bool = False,
) -> Iterator[list[str]]:
    """Fill the rows (one limit of tokens for all); yields after every token what each row may now show.

    allowed (V,) bool: the ids that may be written; first: those that may begin, None: the same; rules: what may follow
    what; an id that the limits force goes before all three. Rows that have ended ride along until half of those in the batch have, then leave it together: copying the cache
    costs about as much as a few steps, and happens log₂ B times at most.
    """
    budget = max(row.limits.max_tokens for row in rows)
    state, logits = engine.prefill(prompts, budget, source, extrapolate=extrapolate)
    history = History(prompts, engine.vocab, engine.home) if sampling.penalised else None
    draws = Draws(seeds, engine.home) if sampling.temperature > 0 else None
    living = list(range(len(rows)))
    for place in range(budget):
        may, forced = first if place == 0 and first is not None else allowed, rows[0].limits.forced(place)
        if forced is not None:
            may = torch.arange(engine.vocab, device=engine.home) == forced
        elif rules is not None and not rules.empty:
            texts = [None if rows[i].reason else [*prompts[i], *rows[i].ids] for i in living]
            may = rules.allowed(texts, [len(rows[i].ids) for i in living], may, logits)
        ids = sample(logits, sampling, history, draws, may)
        shown = [""] * len(rows)
        for i, number in zip(living, ids.tolist(), strict=True):
            if rows[i].reason is None:
                shown[i] = rows[i].push(number)
        yield shown
        keep = [place for place, i in enumerate(living) if rows[i].reason is None]
        if not keep:
            return
        if history is not None:
            history.add(ids)
        if 2 * len(keep) <= len(living):
            living, index = [living[place] for place in keep], torch.tensor(keep, device=engine.home)
            engine.reorder(state, index)
            ids = ids[index]
            if history is not None:
                history.keep(index)
            if draws is not None:
                draws.keep(keep)
        logits = engine.step(state, ids)
