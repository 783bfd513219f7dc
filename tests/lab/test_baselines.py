"""The lab's baselines are what they are called."""

import pytest
import torch

from polyhead.lab.baselines.convolution import Convolution
from polyhead.lab.baselines.recurrent import GATES, Recurrent, RecurrentModel


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_recurrent_layer_reads_what_came_before_and_nothing_after(cell):
    layer, x = Recurrent(6, cell=cell, seed=0), torch.randn(2, 5, 6, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x)[:, 2].sum(), x)
    assert (grad[:, :3] != 0).all() and (grad[:, 3:] == 0).all()
    assert torch.equal(layer.last(x), layer(x)[:, -1])
    assert sum(p.numel() for p in layer.parameters()) == GATES[cell] * (2 * 6 * 6 + 2 * 6)


def test_a_seed_gives_one_model_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    a, b = RecurrentModel(9, 4, seed=1), RecurrentModel(9, 4, seed=1)
    assert torch.equal(torch.rand(2), want)
    ids = torch.arange(9).view(1, 9)
    assert torch.equal(a(ids), b(ids)) and a(ids).shape == (1, 9, 9)


def test_a_convolution_reads_its_neighbours_alone():
    x = torch.randn(1, 9, 4, requires_grad=True)
    for causal, wanted in ((False, [2, 4, 6]), (True, [0, 2, 4])):
        (grad,) = torch.autograd.grad(Convolution(4, 3, dilation=2, causal=causal)(x)[:, 4].sum(), x)
        assert grad.abs().sum((0, 2)).nonzero().flatten().tolist() == wanted
    assert Convolution(4, 3)(x).shape == x.shape
