"""Counts of work, chains and memory, against what one can count by hand."""

import pytest
import torch
from torch import nn

from polyhead.lab.counting import flops, peak_bytes, slope, span


def test_a_product_costs_two_operations_per_term():
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    assert flops(lambda: a @ b) == 2 * 3 * 4 * 5


def test_what_can_run_side_by_side_is_no_longer_chain():
    a, b = torch.randn(8, 8), torch.randn(8, 8)
    product = 1 + 3  # 8 terms: three levels of additions
    assert span(lambda: a @ b) == product
    assert span(lambda: (a @ b) + (b @ a)) == product + 1
    assert span(lambda: a @ b @ a) == 2 * product
    assert span(lambda: a.T.reshape(-1)) == 0


def test_a_recurrence_waits_for_itself():
    cell, x = nn.LSTMCell(8, 8), torch.randn(2, 16, 8)

    def run(n: int) -> None:
        state = None
        for t in range(n):
            state = cell(x[:, t], state)

    four, eight, sixteen = (span(lambda n=n: run(n)) for n in (4, 8, 16))
    assert four < eight and sixteen - eight == 2 * (eight - four)


def test_the_peak_counts_what_is_alive_together_and_a_storage_once():
    x = torch.zeros(1000)

    def run() -> torch.Tensor:
        a = x + 1
        for _ in range(3):
            a = a + 1  # the old one is let go once the new one is there
        return a.view(10, 100).T

    assert peak_bytes(run) == 2 * 4000
    assert peak_bytes(lambda: x.view(10, 100)) == 0
    assert peak_bytes(lambda: [x + 1, x + 2, x + 3]) == 3 * 4000


def test_slope_is_the_exponent():
    assert slope([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
