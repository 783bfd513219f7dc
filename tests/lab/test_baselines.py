"""The lab's baselines are what they are called."""

from typing import get_args

import pytest
import torch

from polyhead.lab.baselines.convolution import Convolution, ConvolutionModel
from polyhead.lab.baselines.convolutional_translation import ConvolutionalTranslator
from polyhead.lab.baselines.hashing import buckets, together
from polyhead.lab.baselines.mixers import StaticMixing, mix
from polyhead.lab.baselines.odd_norms import with_odd_norms
from polyhead.lab.baselines.projections import Missing, with_projections
from polyhead.lab.baselines.recurrent import GATES, Recurrent, RecurrentModel
from polyhead.lab.baselines.recurrent_translation import RecurrentTranslator
from polyhead.lab.baselines.skips import without_skips
from polyhead.lab.small import small
from polyhead.nn import Tokens

MISSING = get_args(Missing)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
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


@pytest.mark.parametrize(("dilated", "reach"), [(False, 7), (True, 15)])
def test_stacked_convolutions_read_as_far_back_as_they_say_and_nothing_ahead(dilated, reach):
    model = ConvolutionModel(5, 32, 3, dilated=dilated, seed=0)
    ids = torch.zeros(1, 40, dtype=torch.long)
    rows = {}
    model.embed.register_forward_hook(lambda _, __, out: rows.update(x=out) or out.retain_grad())
    model(ids)[:, 30].sum().backward()
    seen = (rows["x"].grad[0] != 0).any(-1).nonzero().flatten().tolist()
    assert model.reach == reach and seen[-1] == 30 and seen[0] == 31 - reach


def test_a_model_without_skips_keeps_nothing_where_a_sublayer_gives_nothing():
    model = without_skips(small(7, width=8, layers=1).build(0))
    model.top.layers[0].ffn.down.weight.data.zero_()
    states, _ = model.hidden(Tokens(torch.arange(6).view(1, 6)))
    assert (states == 0).all()


def test_odd_norms_give_what_they_are_made_of():
    ids = Tokens(torch.arange(6).view(1, 6))
    plain, cut, noisy = (with_odd_norms(small(7, width=8, layers=1).build(0), change) for change in ("none", "detached", "noise"))
    assert torch.allclose(plain(ids), cut(ids), atol=1e-6)
    assert not torch.allclose(plain(ids), noisy.train()(ids), atol=1e-3) and torch.equal(plain(ids), noisy.eval()(ids))
    norm, x = cut.top.final_norm, torch.randn(1, 2, 8, requires_grad=True)
    (grad,) = torch.autograd.grad(norm(x)[0, 0, 0], x)
    assert (grad[0, 0, 1:] == 0).all() and grad[0, 0, 0] > 0  # through the mean each feature would move the others


def test_missing_projections_are_missing():
    x = torch.randn(1, 5, 8)
    heads = {missing: with_projections(small(7, width=8, layers=1, heads=1).build(0), missing).top.layers[0].attention.heads for missing in MISSING}
    q, (k, v) = heads["raw"].project(x, lambda t: t)
    assert torch.equal(q[:, 0], x) and torch.equal(k[:, 0], x) and not torch.equal(v[:, 0], x)
    q, (k, v) = heads["tied"].project(x, lambda t: t)
    assert torch.equal(q, k) and not torch.equal(q[:, 0], x)


@pytest.mark.parametrize("attend", [True, False])
def test_a_recurrent_translator_writes_from_what_came_before(attend):
    model = RecurrentTranslator(9, 8, attend, seed=0)
    source, target = torch.randint(9, (2, 5)), torch.randint(9, (2, 6))
    said = model(source, target)
    other = target.clone()
    other[:, 3:] = (other[:, 3:] + 1) % 9
    assert said.shape == (2, 6, 9) and torch.allclose(model(source, other)[:, :3], said[:, :3]) and not torch.allclose(model(source, other), said)
    assert not torch.allclose(model((source + 1) % 9, target)[:, 0], said[:, 0])


@pytest.mark.parametrize("dilated", [True, False])
@pytest.mark.parametrize("attend", [True, False])
def test_a_convolutional_translator_knows_of_its_source_what_it_reaches(attend, dilated):
    model = ConvolutionalTranslator(9, 16, 3, 30, attend=attend, dilated=dilated, seed=0)
    source, target = torch.randint(9, (1, 30)), torch.randint(9, (1, 30))
    kept = {}
    model.embed.register_forward_hook(lambda _, __, out: kept.setdefault("source", out.detach().requires_grad_()) if not kept else kept.setdefault("target", out.detach().requires_grad_()))
    model(source, target)[0, 15].sum().backward()
    seen = (kept["source"].grad[0] != 0).any(-1).nonzero().flatten().tolist()
    assert model.reach == (7 if dilated else 3)
    assert seen == (list(range(30)) if attend else list(range(15 - model.reach, 16 + model.reach)))
    assert (kept["target"].grad[0, 16:] == 0).all() and (kept["target"].grad[0, 15] != 0).any()


def test_static_mixing_weighs_places_and_not_contents():
    """Its answer is linear in the values, nothing comes from behind, and rows longer than its table are refused."""
    model = mix(small(7, width=8, layers=2).build(0), StaticMixing, 6, seed=0)
    layer = model.top.layers[1].attention
    layer.pairs.data.normal_(generator=torch.Generator().manual_seed(0))
    x, y = torch.randn(2, 1, 6, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.allclose(layer(x + y, None)[0], layer(x, None)[0] + layer(y, None)[0], atol=1e-6)
    (grad,) = torch.autograd.grad(layer(x, None)[0][:, 3].sum(), x)
    assert (grad[:, :4] != 0).any(-1).all() and (grad[:, 4:] == 0).all()
    with pytest.raises(ValueError, match="6 places"):
        model(Tokens(torch.zeros(1, 7, dtype=torch.long)))


def test_equal_vectors_share_every_bucket_and_opposite_ones_none():
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    found = buckets(torch.stack([x, 3 * x, -x]), 8, 4, torch.Generator().manual_seed(1))
    assert found.shape == (4, 3, 50) and found.min() >= 0 and found.max() < 8
    assert torch.equal(found[:, 0], found[:, 1]) and not (found[:, 0] == found[:, 2]).any()
    met = together(found[:, 0], found[:, 0])
    assert met.diagonal().all() and 0.125 < met.float().mean() < 0.75
