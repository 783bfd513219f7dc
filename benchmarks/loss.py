"""A head with its loss and their gradients, on one thread of this processor: the logits whole, and in chunks of several sizes.

    python benchmarks/loss.py

Processor time of a step, the quickest of each size's turns; `*` marks the size that `at_once` chooses.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from polyhead.train.loss import at_once, loss_sum

SHAPES = ((256, 128, 2048), (6000, 192, 4300), (14_000, 128, 600), (33_278, 128, 2048), (33_278, 256, 2048), (30_522, 512, 1024), (50_257, 768, 512))
WHOLE, SIZES = 2**30, (2**24, 15 * 2**19, 2**22, 2**21, 2**20)
ROUNDS, SECONDS = 3, 1.0


def step(hidden: Tensor, table: Tensor, targets: Tensor, most: int) -> None:
    hidden.grad = table.grad = None
    loss_sum(hidden * 1.0, lambda x: x @ table.T, targets, torch.ones(len(targets)), smoothing=0.1, limit_elements=most).backward()


def measured(vocabulary: int, width: int, rows: int, most: int) -> float:
    """Milliseconds of a step."""
    hidden, table = torch.randn(rows, width, requires_grad=True), (0.02 * torch.randn(vocabulary, width)).requires_grad_()
    targets = torch.randint(vocabulary, (rows,))
    step(hidden, table, targets, most)
    began, count = time.process_time(), 0
    while time.process_time() - began < SECONDS:
        step(hidden, table, targets, most)
        count += 1
    return 1e3 * (time.process_time() - began) / count


def main() -> None:
    torch.set_num_threads(1)
    for vocabulary, width, rows in SHAPES:
        chosen = at_once(True, vocabulary, width)
        sizes = (WHOLE, *sorted({chosen, *SIZES}, reverse=True))
        best = dict.fromkeys(sizes, float("inf"))
        for _ in range(ROUNDS):
            best = {most: min(found, measured(vocabulary, width, rows, most)) for most, found in best.items()}
        told = "  ".join(f"{most / 2**20:.0f}M{'*' * (most == chosen)} {best[most]:.0f} ms" for most in sizes[1:])
        print(f"{rows:,} rows of {width} to {vocabulary:,}: whole {best[WHOLE]:.0f} ms  {told}  ratio {best[WHOLE] / best[chosen]:.2f}", flush=True)


if __name__ == "__main__":
    main()
