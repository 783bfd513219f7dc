"""A decoder beside conversations it has not seen: how probable it finds what the assistant says, and which of two answers.

The rows are those of training (data/objectives: Instruct, Prefer), so a number here is the number of the run's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..data import Instruct, Prefer
from ..errors import DataError
from ..nn import Batch, Tokens
from .bootstrap import bootstrap
from .metrics import SEED, N, Score
from .rows import evaluating


def said(model: Any, data: Instruct, batch: int, limit: int | None = None) -> tuple[int, int, Score]:
    """(tokens, examples, score): of the tokens the assistant says, ends of turns included, loss (nats per token), perplexity
    and accuracy (the most probable token is the right one), with intervals over conversations."""
    chosen = _chosen(data, limit)
    sums = np.zeros((len(chosen), 3))
    for places, part in _batches(data, chosen, batch, model.net):
        rows, logits, targets = _asked(model.net, part)
        nats = F.cross_entropy(logits, targets, reduction="none")
        found = torch.stack([nats, (logits.argmax(-1) == targets).to(nats.dtype), torch.ones_like(nats)], 1)
        sums[places] = _by_row(found, rows, len(places))

    def loss(total: np.ndarray) -> np.ndarray:
        return total[:, 0] / total[:, 2]

    def perplexity(total: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(loss(total), 700))

    def accuracy(total: np.ndarray) -> np.ndarray:
        return total[:, 1] / total[:, 2]

    ways = {"loss": loss, "perplexity": perplexity, "accuracy": accuracy}
    whole = sums.sum(0, keepdims=True)
    score = Score({name: float(way(whole)[0]) for name, way in ways.items()}, {name: bootstrap(sums, way, N, SEED) for name, way in ways.items()})
    return int(whole[0, 2]), len(chosen), score


def preferred(model: Any, data: Prefer, batch: int, limit: int | None = None, reference: Any = None, beta: float = 0.1) -> tuple[int, Score]:
    """(preferences, score). With a reference, what DPO calls rewards (Rafailov et al. 2023, §4): accuracy, how often β·log π/ref
    is greater for the chosen answer, margin, the mean difference, and loss. Without: the same of log π alone, in nats, and no loss."""
    chosen = _chosen(data, limit)
    gap = _gaps(model, data, chosen, batch)
    if reference is not None:
        gap = beta * (gap - _gaps(reference, data, chosen, batch))
    found = {"accuracy": (gap > 0).astype(np.float64), "margin": gap}
    if reference is not None:
        found["loss"] = np.logaddexp(0, -gap)

    def mean(total: np.ndarray) -> np.ndarray:
        return total[:, 0] / len(gap)

    return len(gap), Score({name: float(row.mean()) for name, row in found.items()}, {name: bootstrap(row, mean, N, SEED) for name, row in found.items()})


def _gaps(model: Any, data: Prefer, chosen: np.ndarray, batch: int) -> np.ndarray:
    """(n,) log π of the chosen answer less that of the rejected one."""
    out = np.zeros(len(chosen))
    for places, part in _batches(data, chosen, batch, model.net):
        rows, logits, targets = _asked(model.net, part)
        nats = F.cross_entropy(logits, targets, reduction="none")
        both = _by_row(-nats[:, None], rows, 2 * len(places))[:, 0]
        out[places] = both[: len(places)] - both[len(places) :]
    return out


def _chosen(data: Instruct | Prefer, limit: int | None) -> np.ndarray:
    count = len(data) if limit is None else min(limit, len(data))
    if not count:
        raise DataError("there is nothing to measure", expected="an answer that fits the model's context", received="none", change="see the notes above")
    return np.arange(count)


def _batches(data: Instruct | Prefer, chosen: np.ndarray, batch: int, net: Any) -> Iterator[tuple[np.ndarray, Batch]]:
    """Like lengths together: (places in `chosen`, the batch on the network's device)."""
    device = next(net.parameters()).device
    order = np.argsort(data.lengths(chosen)[0], kind="stable")[::-1]
    for first in range(0, len(order), batch):
        places = order[first : first + batch]
        part = data.make(chosen[places], 0, 0)
        assert part.inputs.ids is not None, "rows are ids"
        yield places, Batch(Tokens(part.inputs.ids.to(device)), part.targets.to(device), part.weights.to(device))


@torch.inference_mode()
def _asked(net: Any, part: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(row, logits in fp32, target) of every token that is asked for."""
    with evaluating(net):
        x, _ = net.hidden(part.inputs)
        kept = part.weights > 0
        return kept.nonzero()[:, 0], net.logits(x[kept]).float(), part.targets[kept]


def _by_row(values: torch.Tensor, rows: torch.Tensor, count: int) -> np.ndarray:
    """(count, k): the sums of the values (n, k) of each row."""
    out = np.zeros((count, values.shape[1]))
    np.add.at(out, rows.cpu().numpy(), values.double().cpu().numpy())
    return out
