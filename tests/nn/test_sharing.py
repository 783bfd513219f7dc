"""AXIS sharing: who uses whose weights."""

import pytest
import torch

from polyhead.nn import Cycle, Groups, NoSharing, StackSpec, Tokens

from ..conformance import laws, specs


def test_orders():
    assert NoSharing().order(4) == (0, 1, 2, 3)
    assert Groups().order(4) == (0, 0, 0, 0)
    assert Groups(groups=2).order(6) == (0, 0, 0, 1, 1, 1)
    assert Groups(groups=2).order(5) == (0, 0, 0, 1, 1)
    assert Groups(groups=2, inner=2).order(8) == (0, 1, 0, 1, 2, 3, 2, 3)
    assert Groups(inner=3).order(6) == (0, 1, 2, 0, 1, 2)
    assert Cycle(period=2).order(5) == (0, 1, 0, 1, 0)


@pytest.mark.parametrize("groups, inner, layers", [(3, 1, 2), (1, 2, 3), (2, 2, 2)])
def test_groups_that_the_layers_do_not_fill_are_refused(groups, inner, layers):
    with pytest.raises(ValueError, match="multiple of inner"):
        specs.decoder(sharing=Groups(groups=groups, inner=inner), layers=layers)


@pytest.mark.parametrize("name", specs.SHARINGS)
def test_parameters_count_once_and_gradients_add_up(name):
    spec = specs.decoder(sharing=specs.SHARINGS[name], layers=4)
    model = specs.build(spec)
    sets = len(set(spec.decoder.order()))
    assert len(model.decoder.layers) == sets
    model(Tokens(laws.random_ids(1, 4))).sum().backward()
    weight = model.decoder.layers[0].ffn.up.weight
    assert (weight.grad != 0).any()


def test_one_set_for_all_equals_equal_sets():
    shared, own = specs.build(specs.decoder(sharing=Groups(), layers=3)), specs.build(specs.decoder(layers=3))
    for layer in own.decoder.layers:
        layer.load_state_dict(shared.decoder.layers[0].state_dict())
    rest = {k: v for k, v in shared.state_dict().items() if ".layers." not in k}
    own.load_state_dict(rest, strict=False)
    ids = Tokens(laws.random_ids(2, 6))
    with torch.no_grad():
        laws.close(own(ids), shared(ids))


def test_layers_that_share_are_of_one_kind():
    base = specs.local_full().decoder
    fields = {n: getattr(base, n) for n in ("width", "layers", "embedding", "blocks", "layout", "final_norm")}
    with pytest.raises(ValueError, match="one kind"):
        StackSpec(**fields, sharing=Groups())
